"""Importers: a trained model as its author left it, to ONNX.

A new kind of file is one new file here and one line in ``IMPORTERS``; a new kind of object, which a function or a
pickle gives, one line in ``objects.OBJECTS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgemill_converters.importers.base import FileImporter, Imported, Native
from edgemill_converters.importers.functions import called
from edgemill_converters.importers.keras_file import import_keras_file
from edgemill_converters.importers.lightgbm_text import import_lightgbm
from edgemill_converters.importers.locating import (
    SAVED_MODEL,
    Located,
    check_known,
    locate_model,
    model_digest,
    side_files,
)
from edgemill_converters.importers.objects import import_object
from edgemill_converters.importers.onnx_file import import_onnx
from edgemill_converters.importers.openvino_ir import import_ir
from edgemill_converters.importers.pickles import import_pickle
from edgemill_converters.importers.saved_model import import_saved_model
from edgemill_converters.importers.sklearn_files import import_skops
from edgemill_converters.importers.torch_files import import_program, import_whole_module, with_weights
from edgemill_converters.importers.transformers_folder import import_transformers
from edgemill_converters.importers.xgboost_model import import_xgboost
from edgemill_converters.passes.keep_output import KeepOutput, output_index
from edgemill_converters.recipe import Recipe
from edgemill_core.durable import sha256_file
from edgemill_core.errors import ModelError

__all__ = ["IMPORTERS", "ImportedModel", "Located", "import_model", "locate_model", "model_digest", "side_files"]

IMPORTERS: dict[str, FileImporter] = {
    ".onnx": import_onnx,
    ".txt": import_lightgbm,
    ".pt2": import_program,
    ".pt": import_whole_module,
    ".pth": import_whole_module,
    ".keras": import_keras_file,
    ".xml": import_ir,
    ".json": import_xgboost,
    ".ubj": import_xgboost,
    ".skops": import_skops,
    ".pkl": import_pickle,
    ".pickle": import_pickle,
    ".joblib": import_pickle,
}
"""By suffix."""
FOLDERS: dict[str, FileImporter] = {SAVED_MODEL: import_saved_model}
"""By a file that lies in it."""


@dataclass(frozen=True)
class ImportedModel:
    """A model as its author left it.

    Attributes:
        source: the file, or the first of several; of a function, its name.
        digest: SHA-256 of the file; of several, over their digests in order.
        proto: its graph.
        classes: the classes its metadata lists, where the recipe names the key.
        native: the model's own library, where the graph is a translation and so not what is to be compared with.
        framework, exporter, pickled: see ``Imported``.
        translated: the graph with all outputs, where making it took long.
    """

    source: Path
    digest: str
    proto: onnx.ModelProto
    classes: tuple[str, ...] | None
    native: Native | None = None
    framework: str = "ONNX"
    exporter: str = ""
    pickled: bool = False
    translated: onnx.ModelProto | None = None


def import_model(recipe: Recipe, translated: Path | None = None) -> ImportedModel:
    """Import the recipe's model. A function that the recipe names is called, so this belongs into a step's process.

    Args:
        translated: its graph with all outputs, where it was translated before.

    Raises:
        MissingPartError: the package that ships it, or the library that reads it, is not installed.
        ModelError: no such file, a kind nobody imports, or not what it says it is.
    """
    located = locate_model(recipe)
    found = _found(recipe, located)
    proto = onnx.load(translated) if translated is not None else found.proto() if callable(found.proto) else found.proto
    whole, native = proto if callable(found.proto) else None, found.native
    if recipe.model.output is not None:
        native = None if native is None else _just(native, output_index(proto, recipe.model.output))
        proto = KeepOutput(recipe.model.output)(proto)
    return ImportedModel(
        located.paths[0] if located.paths else Path(located.name),
        model_digest([sha256_file(path) for path in located.files]),
        proto,
        _classes(recipe, proto),
        native,
        found.framework,
        found.exporter,
        found.pickled,
        whole,
    )


def _just(native: Native, index: int) -> Native:
    return lambda feeds: [native(feeds)[index]]


def _found(recipe: Recipe, located: Located) -> Imported:
    source = recipe.model
    if source.transformers is not None:
        return import_transformers(located.paths, recipe)
    if source.code is None:
        return _from_files(located.paths, recipe)
    made = called(source.code, recipe.folder)
    if source.weights is not None:
        made = with_weights(made, located.paths[0])
    if isinstance(made, (str, Path)):
        path = recipe.path(str(made))
        check_known(path, located, source.code)
        return _from_files([path], recipe)
    return import_object(made, recipe)


def _from_files(paths: Sequence[Path], recipe: Recipe) -> Imported:
    for name, of_folder in FOLDERS.items():
        if (paths[0] / name).is_file():
            return of_folder(paths, recipe)
    suffixes = {path.suffix.lower() for path in paths}
    importer = IMPORTERS.get(suffixes.pop()) if len(suffixes) == 1 else None
    if importer is None:
        raise ModelError(
            f"nobody here imports {paths[0].suffix or 'files without a suffix'}",
            expected=f"files of one kind: {' | '.join(IMPORTERS)}",
            got=", ".join(str(path) for path in paths),
            fix="export the model to ONNX",
        )
    return importer(paths, recipe)


def _classes(recipe: Recipe, proto: onnx.ModelProto) -> tuple[str, ...] | None:
    key = recipe.model.classes
    if key is None:
        return None
    table = {entry.key: entry.value for entry in proto.metadata_props}
    if key not in table:
        raise ModelError(
            f"the model's metadata has no {key!r}",
            expected=f"classes under {key!r}, one a line",
            got=", ".join(table) or "no metadata",
            fix="mend model: classes: in the recipe",
        )
    return tuple(table[key].split("\n"))
