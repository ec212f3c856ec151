"""LightGBM's models: trees become a TreeEnsemble in float64, which computes what LightGBM computes.

LightGBM walks doubles against double thresholds and adds leaf values in the order of its trees; ONNX's TreeEnsemble of
``ai.onnx.ml`` 5 compares likewise where its tensors are float64, and the sums keep the order. What stands behind them
(sigmoid, softmax, exponential) is computed in float64 too, up to the last bits of ``exp``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_converters.importers import links
from edgemill_converters.importers.base import Imported, named
from edgemill_converters.importers.graph_writer import ROW, GraphWriter
from edgemill_converters.importers.lightgbm_file import LightGbmText, read_lightgbm
from edgemill_converters.importers.row_source import RowSource
from edgemill_converters.importers.tree import NoTree
from edgemill_converters.importers.tree_sums import EXPORTER, boosted
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array

_KIND = "a LightGBM model"
Link = Callable[[GraphWriter, str], str]
_PLAIN = ("quantile", "regression", "regression_l1", "huber", "fair", "mape", "lambdarank", "rank_xendcg")
"""Objectives whose raw scores are what they forecast; others put a function behind the sum."""
_LINKS: dict[str, Link] = {
    "poisson": links.exponential,
    "gamma": links.exponential,
    "tweedie": links.exponential,
    "cross_entropy_lambda": links.log_one_plus_exp,
    "multiclass": links.softmax,
}
_SIGMOIDS = ("binary", "multiclassova", "cross_entropy")
_CLASSES = ("binary", "multiclass", "multiclassova")
"""Objectives that give a probability a class."""


@dataclass(frozen=True)
class _Model:
    source: RowSource
    text: LightGbmText


def import_lightgbm(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Read text models of LightGBM; several of one number each make one model of several numbers.

    Raises:
        MissingPartError: LightGBM is not installed.
        ModelError: not such a model, other features than the recipe's, or something that would not be exact.
    """
    sources = [RowSource(str(path), _KIND, recipe) for path in paths]
    return _imported(
        [_Model(source, _saved(source, path)) for source, path in zip(sources, paths, strict=True)], recipe
    )


def import_lightgbm_object(model: Any, recipe: Recipe) -> Imported:
    """A ``Booster``, or an estimator of LightGBM's scikit-learn interface.

    Raises:
        ModelError: see ``import_lightgbm``.
    """
    source = RowSource.of_object(model, _KIND, recipe)
    booster = getattr(model, "booster_", model)
    if hasattr(model, "classes_"):
        source.check_classes(len(model.classes_), list(model.classes_))
    return _imported([_Model(source, _read(source, booster.model_to_string()))], recipe)


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


def _not_saved(source: RowSource, got: str) -> ModelError:
    return source.refused("a model that Booster.save_model wrote", got[:200], "save the model again")


def _saved(source: RowSource, path: Path) -> LightGbmText:
    try:
        return _read(source, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _not_saved(source, str(error)) from error


def _read(source: RowSource, text: str) -> LightGbmText:
    try:
        return read_lightgbm(text)
    except NoTree as error:
        raise _not_saved(source, str(error)) from error


def _imported(models: Sequence[_Model], recipe: Recipe) -> Imported:
    for model in models:
        _check(model, alone=len(models) == 1)
    boosters = [_booster(model) for model in models]
    first, scale = models[0], _scale(recipe, models[0].source)
    features = len(first.source.declared.features)
    writer = GraphWriter(features)
    columns = [model.text.trees[k :: model.text.outputs] for model in models for k in range(model.text.outputs)]
    try:
        scores = boosted(writer, ROW, features, columns, "<=", np.float64)
    except NoTree as error:
        raise _not_saved(first.source, str(error)) from error
    if "average_output" in first.text.header:
        scores = writer.add("Div", scores, writer.constant(np.array(len(columns[0]), np.float64)))
    name, _ = first.text.objective
    doubled = first.source.classifies and name == "binary"
    given = _behind(writer, models, scores)
    if doubled:
        given = links.two_columns(writer, given, np.float64)
    if scale is not None:
        chosen = writer.add("Gather", ROW, writer.constant(np.array([scale], np.int64)), axis=1)
        given = writer.add("Mul", given, chosen)
    proto = writer.model(given, len(columns) + doubled, np.float64)
    first.source.check_runtimes(proto)
    native = partial(_native, boosters, doubled, scale)
    return Imported(proto, native, named("lightgbm", "LightGBM"), EXPORTER)


def _booster(model: _Model) -> Any:
    lightgbm = _library()
    try:
        return lightgbm.Booster(model_str=model.text.text)
    except (lightgbm.basic.LightGBMError, ValueError, LookupError) as error:
        raise _not_saved(model.source, str(error)) from error


def _native(boosters: Sequence[Any], doubled: bool, scale: int | None, feeds: Mapping[str, Array]) -> list[Array]:
    rows = feeds[ROW]
    parts = [
        np.asarray(booster.predict(rows, num_threads=1), np.float64).reshape(len(rows), -1) for booster in boosters
    ]
    scores = np.concatenate(parts, axis=1)
    if doubled:
        scores = np.concatenate([1.0 - scores, scores], axis=1)
    return [scores if scale is None else scores * np.asarray(rows, np.float64)[:, scale : scale + 1]]


def _check(model: _Model, alone: bool) -> None:
    source, text = model.source, model.text
    source.check_features(text.features, len(text.features))
    name, settings = text.objective
    known = (*_PLAIN, *_LINKS, *_SIGMOIDS)
    if name not in known:
        raise source.refused(" | ".join(known), f"objective {name or 'none'}", "train with one of these")
    outputs = settings.get("num_class", "") if name.startswith("multiclass") else "1"
    if outputs != str(text.outputs):
        raise _not_saved(source, f"objective {name} of {outputs or 'no'} outputs, and trees of {text.outputs}")
    if not alone and (name not in _PLAIN or "sqrt" in settings or "average_output" in text.header):
        got = f"objective {text.header['objective']}{', averaged' if 'average_output' in text.header else ''}"
        raise source.refused("several files only of models whose sums are the forecasts", got, "name one file")
    if not alone and text.outputs != 1:
        raise source.refused("one number from each of several files", f"{text.outputs}", "name one file")
    if name in _CLASSES and (source.classifies or text.outputs > 1):
        source.check_classes(max(2, text.outputs))
        source.check_alone()
    elif source.classifies:
        fix = f"train with one of: {', '.join(_CLASSES)}"
        raise source.refused("an objective of classes, as the task has it", f"objective {name}", fix)


def _behind(writer: GraphWriter, models: Sequence[_Model], scores: str) -> str:
    """What the objective puts behind the sums."""
    name, settings = models[0].text.objective
    if name in _SIGMOIDS:
        return links.sigmoid(writer, scores, float(settings.get("sigmoid", 1.0)))
    if "sqrt" in settings and len(models) == 1:
        return links.signed_square(writer, scores)
    return _LINKS[name](writer, scores) if name in _LINKS else scores


def _scale(recipe: Recipe, source: RowSource) -> int | None:
    name, names = recipe.model.scaled_by, source.declared.names
    if name is None:
        return None
    if name not in names:
        raise ModelError(
            "the model is scaled by a feature that there is not",
            expected=" | ".join(names),
            got=name,
            fix="mend scaled_by: under model: in the recipe",
        )
    return names.index(name)
