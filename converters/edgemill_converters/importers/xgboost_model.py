"""XGBoost's models: trees in float32, which is what XGBoost computes in, whatever it is given.

XGBoost rounds a row to float32, goes left where a value is *below* the threshold, and adds leaves in the order of its
trees to its base score. The graph does the same, so that sums are XGBoost's to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_converters.importers import links
from edgemill_converters.importers.base import Imported
from edgemill_converters.importers.graph_writer import ROW, GraphWriter
from edgemill_converters.importers.row_source import RowSource
from edgemill_converters.importers.tree import NoTree
from edgemill_converters.importers.tree_sums import EXPORTER, boosted
from edgemill_converters.importers.xgboost_file import XgboostModel, parse_xgboost, read_xgboost
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array

_KIND = "an XGBoost model"
Link = Callable[[GraphWriter, str], str]
_PLAIN = (
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "binary:logitraw",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
)
"""Objectives whose sums are what they forecast."""
_LINKS: dict[str, Link] = {
    "binary:logistic": links.sigmoid32,
    "reg:logistic": links.sigmoid32,
    "multi:softprob": links.softmax32,
    "multi:softmax": links.softmax32,
    "count:poisson": links.exponential32,
    "reg:gamma": links.exponential32,
    "reg:tweedie": links.exponential32,
    "survival:cox": links.exponential32,
}
_CLASSES = ("binary:logistic", "multi:softprob", "multi:softmax")


def import_xgboost(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Read a model that ``Booster.save_model`` or ``XGBModel.save_model`` wrote, JSON or UBJSON.

    Raises:
        MissingPartError: XGBoost is not installed.
        ModelError: not such a model, of a newer XGBoost than is installed, other features than the recipe's, or
            something that nobody here imports.
    """
    source = RowSource(str(paths[0]), _KIND, recipe)
    if len(paths) != 1:
        raise source.refused("one file", f"{len(paths)} files", "name one file under model:")
    try:
        content = paths[0].read_bytes()
    except OSError as error:
        raise source.refused("a file that can be read", str(error), "mend model: in the recipe") from error
    return _imported(source, content)


def import_xgboost_object(model: Any, recipe: Recipe) -> Imported:
    """A ``Booster``, or an estimator of XGBoost's scikit-learn interface, with the rounds that it predicts with.

    Raises:
        ModelError: see ``import_xgboost``.
    """
    source = RowSource.of_object(model, _KIND, recipe)
    booster = model
    if hasattr(model, "get_booster"):
        if not np.isnan(model.missing):
            raise source.refused("every number as a number", f"missing={model.missing}", "train with missing=nan")
        booster = model.get_booster()
        if booster.attr("best_iteration") is not None:
            booster = booster[: int(booster.attr("best_iteration")) + 1]
            booster.set_attr(best_iteration=None)
    if hasattr(model, "classes_"):
        source.check_classes(len(model.classes_), list(model.classes_))
    return _imported(source, bytes(booster.save_raw("ubj")))


def _library() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingPartError(
            "an XGBoost model needs XGBoost on the build machine",
            expected="the Python package xgboost",
            got=str(error),
            fix="pip install 'edgemill[xgboost]'",
        ) from error
    return xgboost


def _imported(source: RowSource, content: bytes) -> Imported:
    xgboost = _library()
    try:
        model = read_xgboost(parse_xgboost(content))
    except NoTree as error:
        raise _not_saved(source, str(error)) from error
    _check(source, model, xgboost.__version__)
    booster = _booster(source, xgboost, content)
    writer = GraphWriter(model.feature_count)
    row, outputs = writer.cast(ROW, np.float32), len(model.columns)
    base = _base(source, xgboost, model)
    given = boosted(writer, row, model.feature_count, model.columns, "<", np.float32, base)
    if model.objective in _LINKS:
        given = _LINKS[model.objective](writer, given)
    doubled = model.objective == "binary:logistic" and source.classifies
    if doubled:
        given = links.two_columns(writer, given, np.float32)
    proto = writer.model(given, outputs + doubled, np.float32)
    source.check_runtimes(proto)
    return Imported(proto, partial(_native, booster, doubled), f"XGBoost {xgboost.__version__}", EXPORTER)


def _native(booster: Any, doubled: bool, feeds: Mapping[str, Array]) -> list[Array]:
    rows = np.asarray(feeds[ROW], np.float64)
    scores = np.asarray(booster.inplace_predict(rows, validate_features=False), np.float32).reshape(len(rows), -1)
    return [np.concatenate([1 - scores, scores], axis=1) if doubled else scores]


def _check(source: RowSource, model: XgboostModel, installed: str) -> None:
    source.check_alone()
    source.check_features(model.features, model.feature_count)
    here = tuple(int(number) for number in installed.split(".")[:2])
    if model.version[:2] > here:
        raise source.refused(
            f"a model of XGBoost {installed} or older, which is installed here",
            f"one of {'.'.join(map(str, model.version))}",
            "install the XGBoost that it was trained with",
        )
    if model.objective not in (*_PLAIN, *_LINKS):
        fix = "train with one of these, or put your own function behind the scores"
        raise source.refused(" | ".join((*_PLAIN, *_LINKS)), f"objective {model.objective[:40]}", fix)
    if model.best_round is not None and model.best_round + 1 < model.rounds:
        raise source.refused(
            "a model that says how many of its rounds count",
            f"{model.rounds} rounds, of which early stopping found {model.best_round + 1} to be best",
            "save booster[: booster.best_iteration + 1], or the booster without the attribute best_iteration",
        )
    if model.objective in _CLASSES and (source.classifies or len(model.columns) > 1):
        source.check_classes(max(2, len(model.columns)))
    elif source.classifies:
        fix = f"train with one of: {', '.join(_CLASSES)}"
        raise source.refused("an objective of classes, as the task has it", f"objective {model.objective}", fix)


def _booster(source: RowSource, xgboost: Any, content: bytes) -> Any:
    try:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(content))
        if json.loads(booster.save_config())["learner"]["objective"]["name"] == "multi:softmax":
            booster.set_param({"objective": "multi:softprob"})  # the same sums, and probabilities behind them
    except xgboost.core.XGBoostError as error:
        raise _not_saved(source, str(error).strip().splitlines()[0]) from error
    return booster


def _not_saved(source: RowSource, got: str) -> ModelError:
    return source.refused("what save_model wrote as .json or .ubj", got[:300], "save the model again")


def _base(source: RowSource, xgboost: Any, model: XgboostModel) -> Array:
    """What XGBoost's sums start from, by its own arithmetic: the scores of the same model with leaves of zero."""
    document = json.loads(json.dumps(dict(model.document), default=_listed))
    learned = document["learner"]["gradient_booster"]["model"]
    outputs, trees = len(model.columns), learned["trees"]
    learned["trees"] = [_nothing(trees[0], number) for number in range(outputs)]
    learned["tree_info"] = list(range(outputs))
    learned["iteration_indptr"] = [0, outputs]
    learned["gbtree_model_param"]["num_trees"] = str(outputs)
    learned["gbtree_model_param"]["num_parallel_tree"] = "1"
    booster = _booster(source, xgboost, json.dumps(document).encode())
    row = np.zeros((1, model.feature_count))
    found = booster.inplace_predict(row, predict_type="margin", validate_features=False)
    return np.asarray(found, np.float32).reshape(-1)


def _nothing(tree: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A tree of one leaf, zero, with the keys that ``tree`` has."""
    ends = {"left_children": -1, "right_children": -1, "parents": 2147483647}
    made: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, list):
            made[key] = [] if key.startswith("categories") else [ends.get(key, type(value[0])(0))]
        else:
            made[key] = value
    made["id"] = number
    made["tree_param"] = {**tree["tree_param"], "num_nodes": "1", "num_deleted": "0"}
    return made


def _listed(values: Any) -> Any:
    return values.tolist()
