"""LightGBM's text models: every booster becomes a TreeEnsemble in float64, which computes what LightGBM computes.

LightGBM walks doubles against double thresholds and adds leaf values in the order of its trees; ONNX's TreeEnsemble of
``ai.onnx.ml`` 5 does the same where its tensors are float64. One node a booster keeps the order of the sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.importers.base import Imported
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.row_input import RowInput
from edgemill_core.tensors import Array

INPUT, OUTPUT = "row", "scores"
_LEQ = 0
_PLAIN = ("quantile", "regression", "regression_l1", "huber", "fair", "mape")
"""Objectives whose raw scores are what they forecast; others put a function behind the sum."""
_TREES_MOST = 80
"""Up to so many trees ONNX Runtime adds one row's leaves in their order; beyond it splits the sum among threads."""


def import_lightgbm(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Read text models of LightGBM that give one number each.

    Raises:
        MissingPartError: LightGBM is not installed.
        ModelError: not such a model, other features than the recipe's, or something that would not be exact.
    """
    lightgbm = _library()
    if not isinstance(recipe.input, RowInput):
        raise _refused(paths[0], "features: under input:", "input: size", "name the model's columns under features:")
    boosters = [_booster(lightgbm, path) for path in paths]
    for path, booster in zip(paths, boosters, strict=True):
        _check(path, booster, recipe.input)
    scale = _scale(recipe, recipe.input)
    proto = _graph([booster.dump_model() for booster in boosters], paths, len(recipe.input.features), scale)

    def native(feeds: Mapping[str, Array]) -> list[Array]:
        rows = feeds[INPUT]
        columns = [booster.predict(rows, raw_score=True, num_threads=1) for booster in boosters]
        scores = np.stack(columns, axis=1).astype(np.float64)
        return [scores if scale is None else scores * np.asarray(rows, np.float64)[:, scale : scale + 1]]

    return Imported(proto, native)


def _library() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingPartError(
            "a LightGBM model needs LightGBM on the build machine",
            expected="the Python package lightgbm",
            got=str(error),
            fix="pip install 'edgemill[trees]'",
        ) from error
    return lightgbm


def _booster(lightgbm: Any, path: Path) -> Any:
    try:
        return lightgbm.Booster(model_file=str(path))
    except lightgbm.basic.LightGBMError as error:
        raise _refused(
            path, "a model that Booster.save_model wrote", str(error)[:200], "save the model again"
        ) from error


def _refused(path: Path, expected: str, got: str, fix: str) -> ModelError:
    return ModelError(f"{path} cannot be imported as a LightGBM model", expected=expected, got=got, fix=fix)


def _check(path: Path, booster: Any, declared: RowInput) -> None:
    names = tuple(booster.feature_name())
    if names != declared.names:
        raise _refused(path, f"features {', '.join(names)}", ", ".join(declared.names), "write them so under input:")
    if booster.num_model_per_iteration() != 1:
        raise _refused(
            path, "one number a row", "a model of several classes", "build such models when they are supported"
        )
    if booster.num_trees() > _TREES_MOST:
        fix = f"train with at most {_TREES_MOST} trees, or split the model"
        raise _refused(path, f"at most {_TREES_MOST} trees, whose sum is exact", f"{booster.num_trees()}", fix)


def _scale(recipe: Recipe, declared: RowInput) -> int | None:
    name = recipe.model.scaled_by
    if name is None:
        return None
    if name not in declared.names:
        raise ModelError(
            "the model is scaled by a feature that there is not",
            expected=" | ".join(declared.names),
            got=name,
            fix="mend scaled_by: under model: in the recipe",
        )
    return declared.names.index(name)


@dataclass
class _Ensemble:
    """The columns of a TreeEnsemble node."""

    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    true_leafs: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    false_leafs: list[int] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(self, tree: dict[str, Any]) -> None:
        """Add a tree; one that is a single leaf becomes a split with that leaf on both sides."""
        self.roots.append(len(self.features))
        if "leaf_value" in tree:
            self._split(0, 0.0)
            self._join(self.roots[-1], tree, tree)
        else:
            self._node(tree)

    def _split(self, feature: int, threshold: float) -> int:
        self.features.append(feature)
        self.splits.append(threshold)
        for column in (self.true_ids, self.true_leafs, self.false_ids, self.false_leafs):
            column.append(0)
        return len(self.features) - 1

    def _node(self, node: dict[str, Any]) -> int:
        place = self._split(int(node["split_feature"]), float(node["threshold"]))
        self._join(place, node["left_child"], node["right_child"])
        return place

    def _join(self, place: int, left: dict[str, Any], right: dict[str, Any]) -> None:
        for child, ids, leafs in ((left, self.true_ids, self.true_leafs), (right, self.false_ids, self.false_leafs)):
            leafs[place] = int("leaf_value" in child)
            if "leaf_value" in child:
                self.leaves.append(float(child["leaf_value"]))
                ids[place] = len(self.leaves) - 1
            else:
                ids[place] = self._node(child)

    def node(self, output: str) -> onnx.NodeProto:
        """As an ONNX node."""
        return helper.make_node(
            "TreeEnsemble",
            [INPUT],
            [output],
            domain="ai.onnx.ml",
            n_targets=1,
            aggregate_function=1,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=self.features,
            nodes_splits=_tensor(np.array(self.splits, np.float64)),
            nodes_modes=_tensor(np.full(len(self.splits), _LEQ, np.uint8)),
            nodes_truenodeids=self.true_ids,
            nodes_trueleafs=self.true_leafs,
            nodes_falsenodeids=self.false_ids,
            nodes_falseleafs=self.false_leafs,
            leaf_targetids=[0] * len(self.leaves),
            leaf_weights=_tensor(np.array(self.leaves, np.float64)),
        )


def _tensor(values: Array) -> TensorProto:
    return numpy_helper.from_array(values)


def _graph(
    models: Sequence[dict[str, Any]], paths: Sequence[Path], features: int, scale: int | None
) -> onnx.ModelProto:
    nodes, columns = [], []
    for number, (model, path) in enumerate(zip(models, paths, strict=True)):
        words = str(model.get("objective", "")).split()
        if not words or words[0] not in _PLAIN or "sqrt" in words:
            fix = f"train with one of: {', '.join(_PLAIN)}"
            raise _refused(path, "an objective whose scores are the forecasts", " ".join(words) or "none", fix)
        if model.get("average_output"):
            raise _refused(path, "trees whose leaves are added", "a random forest, whose leaves are averaged", "boost")
        ensemble = _Ensemble()
        for tree in model["tree_info"]:
            _check_exact(path, tree["tree_structure"])
            ensemble.add(tree["tree_structure"])
        columns.append(f"column-{number}")
        nodes.append(ensemble.node(columns[-1]))
    initializers: list[TensorProto] = []
    last = OUTPUT if scale is None else "unscaled"
    nodes.append(helper.make_node("Concat", columns, [last], axis=1))
    if scale is not None:
        initializers.append(numpy_helper.from_array(np.array([scale], np.int64), "scale-column"))
        nodes.append(helper.make_node("Gather", [INPUT, "scale-column"], ["scale"], axis=1))
        nodes.append(helper.make_node("Mul", [last, "scale"], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [1, features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [1, len(models)])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _check_exact(path: Path, tree: dict[str, Any]) -> None:
    for node in _splits(tree):
        if node["decision_type"] != "<=":
            fix = "train without categorical features"
            raise _refused(path, "splits by <=", f"a split by {node['decision_type']}", fix)
        if node["missing_type"] == "Zero":
            fix = "train without zero_as_missing"
            raise _refused(path, "zero as a number", "zero taken for a missing value", fix)
    if any("leaf_coeff" in leaf for leaf in _leaves(tree)):
        raise _refused(path, "a number in each leaf", "a linear model in each leaf", "train without linear_tree")


def _splits(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "leaf_value" not in node:
        yield node
        yield from _splits(node["left_child"])
        yield from _splits(node["right_child"])


def _leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "leaf_value" in node:
        yield node
    else:
        yield from _leaves(node["left_child"])
        yield from _leaves(node["right_child"])
