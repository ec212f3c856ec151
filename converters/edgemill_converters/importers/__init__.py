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
from edgemill_converters.importers.lightgbm_text import import_lightgbm
from edgemill_converters.importers.locating import Located, locate_model, model_digest, side_files
from edgemill_converters.importers.objects import import_object
from edgemill_converters.importers.onnx_file import import_onnx
from edgemill_converters.recipe import Recipe
from edgemill_core.durable import sha256_file
from edgemill_core.errors import ModelError

__all__ = ["IMPORTERS", "ImportedModel", "Located", "import_model", "locate_model", "model_digest", "side_files"]

IMPORTERS: dict[str, FileImporter] = {
    ".onnx": import_onnx,
    ".txt": import_lightgbm,
}
"""By suffix."""


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
    """

    source: Path
    digest: str
    proto: onnx.ModelProto
    classes: tuple[str, ...] | None
    native: Native | None = None
    framework: str = "ONNX"
    exporter: str = ""
    pickled: bool = False


def import_model(recipe: Recipe, translated: Path | None = None) -> ImportedModel:
    """Import the recipe's model. A function that the recipe names is called, so this belongs into a step's process.

    Args:
        translated: its graph, where it was imported before.

    Raises:
        MissingPartError: the package that ships it, or the library that reads it, is not installed.
        ModelError: no such file, a kind nobody imports, or not what it says it is.
    """
    located = locate_model(recipe)
    found = _found(recipe, located)
    if translated is not None:
        proto = onnx.load(translated)
    else:
        proto = found.proto if isinstance(found.proto, onnx.ModelProto) else found.proto()
    return ImportedModel(
        located.paths[0] if located.paths else Path(located.name),
        model_digest([sha256_file(path) for path in located.files]),
        proto,
        _classes(recipe, proto),
        found.native,
        found.framework,
        found.exporter,
        found.pickled,
    )


def _found(recipe: Recipe, located: Located) -> Imported:
    source = recipe.model
    if source.code is None:
        return _from_files(located.paths, recipe)
    made = called(source.code, recipe.folder)
    if isinstance(made, (str, Path)):
        return _from_files([recipe.path(str(made))], recipe)
    return import_object(made, recipe)


def _from_files(paths: Sequence[Path], recipe: Recipe) -> Imported:
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
