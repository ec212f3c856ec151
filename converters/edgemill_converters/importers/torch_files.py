"""PyTorch's files: exported programs, whole modules, and weights for a module that a function gives.

A whole module is a pickle, which runs whatever code its author put there, and is opened only if the recipe says
``trust: true``. Programs and weights are read with ``weights_only``.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgemill_converters.importers.archives import check_archive, refused
from edgemill_converters.importers.base import Imported, named
from edgemill_converters.importers.pickles import missing, untrusted
from edgemill_converters.importers.torch_module import EXPORTERS, exported, import_module, native_of, torch_library
from edgemill_converters.model_source import TorchExporter
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError

_STATE_KEYS = ("state_dict", "model_state_dict", "model")
"""Under which training scripts keep the weights, beside an optimizer's state and the like."""


def import_program(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import a program that ``torch.export.save`` wrote.

    Raises:
        MissingPartError: PyTorch is not installed.
        ModelError: something else, damaged, or one that cannot be translated.
    """
    path = _only(paths)
    check_archive(path, "a program written with torch.export.save")
    torch = torch_library()
    from edgemill_runtimes.engines.torch import load_program

    try:
        program = load_program(path)
    except Exception as error:  # whatever an archive makes PyTorch stumble over
        fix = f"export it again with torch {torch.__version__}"
        raise refused(path, "a program written with torch.export.save", str(error), fix) from error
    if recipe.model.exporter is not TorchExporter.DYNAMO:
        raise refused(path, "exporter: dynamo", recipe.model.exporter.value, "leave out exporter: under model:")
    module, names = program.module(), tuple(program.graph_signature.user_inputs)
    keywords = tuple(program.call_spec.in_spec.child(1).context or ())

    def call(values: Mapping[str, Any]) -> Any:
        places = [values[name] for name in names if name not in keywords]
        return module(*places, **{name: values[name] for name in keywords})

    given = {"input_names": list(names)}
    return Imported(
        lambda: exported(torch, program, given, recipe),
        native_of(torch, call, recipe.input),
        named("torch"),
        EXPORTERS[TorchExporter.DYNAMO],
    )


def import_whole_module(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import a module that ``torch.save`` wrote whole.

    Raises:
        MissingPartError: PyTorch is not installed.
        ModelError: weights alone, TorchScript, damaged, or a pickle that the recipe does not trust.
    """
    path = _only(paths)
    kind = "a module written with torch.save"
    entries = check_archive(path, kind) if zipfile.is_zipfile(path) else []
    if any(name.endswith("archive_format") for name in entries):
        return import_program(paths, recipe)
    if any("/code/" in name or name.endswith("constants.pkl") for name in entries):
        fix = "export it: torch.export.save(torch.export.export(model, example), 'model.pt2')"
        raise refused(path, "a program of torch.export", "TorchScript", fix)
    torch = torch_library()
    if recipe.model.trust:
        try:
            found = _loaded(torch, path, kind, weights_only=False)
        except ImportError as error:
            raise missing(path, error, recipe) from error
        if isinstance(found, torch.nn.Module):
            return _pickled(import_module(found, recipe))
    else:
        try:
            found = _loaded(torch, path, kind, weights_only=True)
        except _Pickled as error:
            raise untrusted(path, str(error)) from error
    fix = (
        "name the function that makes the module: model: {torch: 'package.module:function', weights: " + path.name + "}"
    )
    raise refused(path, kind, f"weights alone ({type(found).__name__})", fix)


def with_weights(module: Any, path: Path) -> Any:
    """The module with the weights of a state dict.

    Raises:
        MissingPartError: what reads them is not installed.
        ModelError: other weights than the module's, or a damaged file, or one that holds more than tensors.
    """
    torch = torch_library()
    if not isinstance(module, torch.nn.Module):
        fix = "name a function that gives a torch.nn.Module, or leave out weights:"
        raise refused(path, "a PyTorch module to put weights into", type(module).__qualname__, fix)
    state = _safetensors(path) if path.suffix.lower() == ".safetensors" else _state(torch, path)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        fix = "name the weights of this very module, or the function that makes the module of these weights"
        raise refused(path, "weights of every part of the module, and no others", str(error), fix) from error
    return module


def _state(torch: Any, path: Path) -> Mapping[str, Any]:
    kind = "a state dict written with torch.save"
    if zipfile.is_zipfile(path):
        check_archive(path, kind)
    try:
        found = _loaded(torch, path, kind, weights_only=True)
    except _Pickled as error:
        fix = "save the state dict alone: torch.save(model.state_dict(), path)"
        raise refused(path, "tensors alone", str(error), fix) from error
    for key in _STATE_KEYS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise refused(path, kind, type(found).__name__)
    return found


class _Pickled(Exception):  # noqa: N818 (a finding that the caller words)
    """The file holds what only a pickle can."""


def _loaded(torch: Any, path: Path, kind: str, *, weights_only: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=weights_only)
    except pickle.UnpicklingError as error:
        said = str(error).strip()
        if weights_only and ("Unsupported" in said or "GLOBAL" in said or "REDUCE" in said):
            raise _Pickled(said.partition("WeightsUnpickler error:")[2].strip() or said) from error
        raise refused(path, kind, said) from error
    except Exception as error:  # the trusted pickle's own code, or whatever a damaged file makes PyTorch stumble over
        if isinstance(error, ImportError) and not weights_only:
            raise  # where the pickle's class comes from, which the caller words
        raise refused(path, kind, f"{type(error).__name__}: {error}") from error


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingPartError(
            "weights in safetensors need a reader",
            expected="the Python package safetensors",
            got=str(error),
            fix="pip install 'edgemill[transformers]'",
        ) from error
    try:
        found: Mapping[str, Any] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise refused(path, "a whole file of safetensors", f"{path.stat().st_size} bytes: {error}") from error
    return found


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) != 1:
        raise ModelError(
            "a PyTorch model is one file",
            expected="one file under model:",
            got=f"{len(paths)} files",
            fix="mend the recipe",
        )
    return paths[0]


def _pickled(found: Imported) -> Imported:
    return Imported(found.proto, found.native, found.framework, found.exporter, pickled=True)
