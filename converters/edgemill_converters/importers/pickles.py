"""Pickles: opened only if the recipe says ``trust: true``, in a step's own process, and the report says so."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgemill_converters.importers.archives import refused
from edgemill_converters.importers.base import Imported
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError


def import_pickle(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import the model in a pickle, or in joblib's form of one.

    Raises:
        MissingPartError: a library that the model is of is not installed.
        ModelError: the recipe does not trust it, or it holds something else.
    """
    from edgemill_converters.importers.objects import import_object  # which knows the libraries' importers, as we do

    (path,) = paths
    if not recipe.model.trust:
        raise untrusted(path, "a pickle")
    return replace(import_object(_opened(path, recipe), recipe), pickled=True)


def untrusted(path: Path, got: str) -> ModelError:
    """The error for a pickle that the recipe does not trust; it was not opened."""
    return ModelError(
        f"{path} is a pickle, which runs code when it is opened; it was not",
        expected="a model in a form that only holds numbers, or trust: true under model:",
        got=got.strip()[:300],
        fix="save the model in such a form (state dict, exported program, ONNX); "
        "or, if you know who made the file, write trust: true",
    )


def missing(path: Path, error: ImportError, recipe: Recipe) -> MissingPartError:
    """The error for a trusted pickle of a class whose module is not there, or lies beside the recipe."""
    top = (error.name or "").partition(".")[0]
    beside = bool(top) and ((recipe.folder / f"{top}.py").is_file() or (recipe.folder / top).is_dir())
    by_function = f'give it by a function of yours: model: "module:function", e.g. "{top}:make"'
    return MissingPartError(
        f"{path} needs a library that is not installed"
        if not beside
        else f"{path} needs code that lies beside the recipe",
        expected="the libraries that it was made with" + (", and no class from beside the recipe" if beside else ""),
        got=str(error),
        fix=by_function if beside else f"pip install {top}" if top else "install what it was made with",
    )


def _loaded(path: Path) -> Any:
    if path.suffix.lower() == ".joblib":
        import joblib

        return joblib.load(path)
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 (the recipe says trust: true)


def _opened(path: Path, recipe: Recipe) -> Any:
    try:
        with warnings.catch_warnings():
            # Of scikit-learn, where another version saved the model: what it then gives, nobody knows.
            warnings.filterwarnings("error", message="Trying to unpickle estimator")
            return _loaded(path)
    except ImportError as error:
        raise missing(path, error, recipe) from error
    except Exception as error:  # the pickle's own code
        raise refused(path, "a whole pickle", f"{type(error).__name__}: {error}") from error
