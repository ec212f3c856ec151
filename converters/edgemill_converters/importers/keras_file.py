"""Keras 3 models: run on PyTorch, where every Keras model is a PyTorch module, and translated as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgemill_converters.importers.archives import check_archive, refused
from edgemill_converters.importers.base import Imported, named
from edgemill_converters.importers.torch_module import import_module, torch_library
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensor_input import TensorInput


def import_keras_file(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import what ``Model.save`` of Keras 3 wrote.

    Raises:
        MissingPartError: Keras or PyTorch is not installed.
        ModelError: another kind of file, damaged, or with code in it (Lambda layers).
    """
    (path,) = paths
    check_archive(path, "a model that Keras 3 saved")
    keras = _library()
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras has no common root
        fix = "save it again with Keras 3, without Lambda layers and layers of your own; or give it by a function"
        raise refused(path, "a model that Keras 3 saved", f"{type(error).__name__}: {error}", fix) from error
    return import_keras(model, recipe)


def import_keras(model: Any, recipe: Recipe) -> Imported:
    """Import a Keras model that lies in memory.

    Raises:
        MissingPartError: Keras or PyTorch is not installed.
        ModelError: it runs on another backend than PyTorch, or see ``import_module``.
    """
    torch, keras = torch_library("keras"), _library()
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            "the Keras model runs on another backend than PyTorch",
            expected="KERAS_BACKEND=torch",
            got=f"{type(model).__name__} on {keras.backend.backend()}",
            fix="leave KERAS_BACKEND alone, or set it to torch, before Keras is imported",
        )
    found = import_module(_by_names(torch, model, recipe), recipe)
    return replace(found, framework=f"{named('keras')} on {found.framework}")


def _by_names(torch: Any, model: Any, recipe: Recipe) -> Any:
    """Keras takes several inputs as one mapping, where PyTorch's exporter wants them one by one."""
    declared = recipe.input
    if not isinstance(declared, TensorInput) or len(declared.tensors) == 1:
        return model

    names = declared.names

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(dict(zip(names, values, strict=True)))

    return Named()


def _library() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch_library("keras")
    try:
        import keras
    except ImportError as error:
        raise MissingPartError(
            "a Keras model needs Keras on the build machine",
            expected="the Python package keras, version 3",
            got=str(error),
            fix="pip install 'edgemill[keras]'",
        ) from error
    return keras
