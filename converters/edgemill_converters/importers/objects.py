"""Models as objects in memory, which a function gave or a pickle held: each goes to its library's importer."""

from __future__ import annotations

from typing import Any

from edgemill_converters.importers.base import Imported, ObjectImporter
from edgemill_converters.importers.keras_file import import_keras
from edgemill_converters.importers.lightgbm_text import import_lightgbm_object
from edgemill_converters.importers.onnx_file import import_proto
from edgemill_converters.importers.sklearn_model import import_sklearn_object
from edgemill_converters.importers.torch_module import import_module
from edgemill_converters.importers.xgboost_model import import_xgboost_object
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import ModelError

OBJECTS: dict[str, ObjectImporter] = {
    "keras": import_keras,
    "onnx": import_proto,
    "torch": import_module,
    "lightgbm": import_lightgbm_object,
    "xgboost": import_xgboost_object,
    "sklearn": import_sklearn_object,
}
"""By the library that its class, or the nearest class above it that is in this table, comes from."""


def import_object(model: Any, recipe: Recipe) -> Imported:
    """Import an object.

    Raises:
        MissingPartError: what translates it is not installed.
        ModelError: nobody imports such objects, or it is not what it says it is.
    """
    bases = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    found = next((OBJECTS[base] for base in bases if base in OBJECTS), None)
    if found is None:
        raise ModelError(
            "nobody here imports such an object",
            expected=f"a model of one of: {', '.join(OBJECTS)}",
            got=f"{type(model).__module__}.{type(model).__qualname__}",
            fix="give the model itself, or export it to ONNX",
        )
    return found(model, recipe)
