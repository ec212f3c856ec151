"""XGBoost's own files, JSON and UBJSON: read and checked before XGBoost sees them.

XGBoost reads them by recursion and trusts the numbers in them: what is nested too deep, or a child that is no node,
ends its process. Schema: "Introduction to Model IO" in XGBoost's documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgemill_converters.importers.tree import NoTree, Tree
from edgemill_converters.importers.ubjson import read_ubjson
from edgemill_core.tensors import Array

_NODES = ("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left")
_STATISTICS = ("base_weights", "loss_changes", "sum_hessian", "split_type")


@dataclass(frozen=True)
class XgboostModel:
    """What stands in a file.

    Attributes:
        document: all of it.
        version: of the XGBoost that wrote it.
        objective: its name.
        features: names of the columns; none if it was trained without.
        feature_count: how many there are.
        columns: the trees of each output, in the order in which they are added.
        rounds: iterations of boosting.
        best_round: the one that early stopping found, if it stopped.
    """

    document: Mapping[str, Any]
    version: tuple[int, ...]
    objective: str
    features: tuple[str, ...]
    feature_count: int
    columns: tuple[tuple[Tree, ...], ...]
    rounds: int
    best_round: int | None


def parse_xgboost(content: bytes) -> Mapping[str, Any]:
    """JSON, or UBJSON, by its first bytes.

    Raises:
        NoTree: neither, cut off, nested too deep, or a key twice; in words.
    """
    try:
        # Both begin with a brace; in UBJSON a length follows, in JSON a quote or space.
        text = content[1:2] in (b'"', b" ", b"\n", b"\r", b"\t")
        found = json.loads(content, object_pairs_hook=_once) if text else read_ubjson(content)
    except (ValueError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise NoTree(f"{len(content)} bytes: {said}") from error
    if not isinstance(found, dict):
        raise NoTree("no object at its top")
    return found


def read_xgboost(document: Mapping[str, Any]) -> XgboostModel:
    """The model in a document.

    Raises:
        NoTree: it lacks something, contradicts itself, or is of a kind that nobody here imports; in words.
    """
    try:
        return _model(document)
    except KeyError as error:
        raise NoTree(f"it lacks {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise error if isinstance(error, NoTree) else NoTree(f"not as XGBoost writes it: {error}") from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _model(document: Mapping[str, Any]) -> XgboostModel:
    learner = document["learner"]
    booster, told = learner["gradient_booster"], learner["learner_model_param"]
    if booster["name"] != "gbtree":
        raise NoTree(f"booster {str(booster['name'])[:20]!r}, where gbtree is known; train with booster=gbtree")
    if int(told.get("num_target", 1)) > 1:
        raise NoTree(f"{told['num_target']} targets; train one model a target")
    outputs, model = max(1, int(told["num_class"])), booster["model"]
    count = int(told["num_feature"])
    trees = tuple(_tree(tree, number, count) for number, tree in enumerate(model["trees"]))
    groups = [int(group) for group in model["tree_info"]]
    _check_counts(model, trees, groups, outputs)
    columns = tuple(
        tuple(tree for tree, group in zip(trees, groups, strict=True) if group == k) for k in range(outputs)
    )
    parallel = max(1, int(model["gbtree_model_param"].get("num_parallel_tree", 1)))
    best = learner.get("attributes", {}).get("best_iteration")
    names = learner.get("feature_names", [])
    return XgboostModel(
        document,
        tuple(int(number) for number in document["version"]),
        str(learner["objective"]["name"]),
        tuple(str(name) for name in names),
        count,
        columns,
        len(trees) // (outputs * parallel),
        None if best is None else int(best),
    )


def _check_counts(model: Mapping[str, Any], trees: Sequence[Tree], groups: Sequence[int], outputs: int) -> None:
    said = int(model["gbtree_model_param"]["num_trees"])
    if said != len(trees) or len(groups) != len(trees) or not trees:
        raise NoTree(f"{len(trees)} trees, where it says {said}, and {len(groups)} are of an output")
    if set(groups) != set(range(outputs)):
        raise NoTree(f"trees of outputs {sorted(set(groups))[:5]}, where there are {outputs}")
    steps = np.asarray(model.get("iteration_indptr", [0, len(trees)]), np.int64)
    if steps[0] != 0 or steps[-1] != len(trees) or (np.diff(steps) < 0).any():
        raise NoTree("iterations that are not its trees")


def _tree(written: Mapping[str, Any], number: int, features: int) -> Tree:
    try:
        if int(written["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise NoTree("leaves of several numbers; train without multi_strategy=multi_output_tree")
        nodes = int(written["tree_param"]["num_nodes"])
        columns = {key: _numbers(written, key, nodes) for key in (*_NODES, *_STATISTICS) if key in written}
        if columns["split_type"].any() or len(written.get("categories", [])):
            raise NoTree("a split by category; train without enable_categorical")
        left, right = (columns[key].astype(np.int64) for key in ("left_children", "right_children"))
        conditions = columns["split_conditions"].astype(np.float32)
        tree = Tree(left, right, columns["split_indices"].astype(np.int64), conditions, conditions)
        inner = tree.check(features)
        inner = inner[tree.splits[inner]]
        parents = columns["parents"].astype(np.int64)
        if (parents[left[inner]] != inner).any() or (parents[right[inner]] != inner).any():
            raise NoTree("parents that are not those of the children")
    except (NoTree, KeyError) as error:
        raise NoTree(f"tree {number}: {f'no {error}' if isinstance(error, KeyError) else error}") from error
    return tree


def _numbers(written: Mapping[str, Any], key: str, nodes: int) -> Array:
    found = np.asarray(written[key])
    if found.shape != (nodes,) or (nodes and found.dtype.kind not in "iufb"):
        raise NoTree(f"{key} is not {nodes} numbers")
    return found
