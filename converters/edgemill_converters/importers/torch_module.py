"""PyTorch modules, translated by the exporter that goes by way of ``torch.export``; the module itself is the reference.

The old exporter follows one run of the model and freezes what depended on the input into the graph, silently. So it is
taken only where the recipe asks for it, and the report says so.
"""

from __future__ import annotations

import inspect
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.importers.base import Imported, Native, named, one_by_one
from edgemill_converters.importers.cleaning import cleaned
from edgemill_converters.importers.versions import readable_by
from edgemill_converters.model_source import TorchExporter
from edgemill_converters.recipe import Recipe
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.picture_input import Layout, PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tensors import Array

OLDEST_OPSET, USUAL_OPSET = 18, 18
"""The exporter's operators are written for 18; anything else is converted from it."""
EXPORTERS = {
    TorchExporter.DYNAMO: "torch.onnx.export(dynamo=True)",
    TorchExporter.TORCHSCRIPT: "PyTorch's old exporter, torch.onnx.export(dynamo=False), as the recipe asks for",
}


def torch_library(extra: str = "torch") -> Any:
    """PyTorch.

    Args:
        extra: what to install where it is missing.

    Raises:
        MissingPartError: it, or what its exporter needs, is not installed.
    """
    try:
        import onnxscript  # noqa: F401 (the exporter needs it, and says so only halfway)
        import torch
    except ImportError as error:
        raise MissingPartError(
            "a PyTorch model needs PyTorch on the build machine",
            expected="the Python packages torch and onnxscript",
            got=str(error),
            fix=f"pip install 'edgemill[{extra}]'",
        ) from error
    return torch


def import_module(module: Any, recipe: Recipe) -> Imported:
    """Import a module that lies in memory.

    Raises:
        MissingPartError: PyTorch is not installed.
        ModelError: it does not take what the recipe's input says, or cannot be translated.
    """
    torch = torch_library()
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            "this PyTorch object is no model",
            expected="a torch.nn.Module",
            got=type(module).__qualname__,
            fix="give the module itself",
        )
    module.eval()
    kinds = {value.dtype for value in module.parameters() if value.is_floating_point()}
    if kinds & {torch.float16, torch.bfloat16}:
        module.float()  # wider, so no weight changes
    examples = _examples(torch, recipe.input, torch.float64 if torch.float64 in kinds else torch.float32)
    call = _Call(module, tuple(examples), _by_name(module, recipe.input, examples))
    outputs = tuple(name for name, _ in _tried(torch, call, examples))
    return Imported(
        lambda: translate(torch, call, examples, outputs, recipe),
        native_of(torch, call, recipe.input),
        named("torch"),
        EXPORTERS[recipe.model.exporter],
    )


@dataclass(frozen=True)
class _Call:
    """How a module is called: with which names, in order, and whether by them."""

    module: Any
    names: tuple[str, ...]
    by_name: bool

    def __call__(self, values: Mapping[str, Any]) -> Any:
        if self.by_name:
            return self.module(**{name: values[name] for name in self.names})
        return self.module(*(values[name] for name in self.names))


def _examples(torch: Any, declared: AnyInput, kind: Any) -> dict[str, Any]:
    """One input of zeros each, by name; of floats as wide as the weights."""
    if isinstance(declared, PictureInput):
        (width, height), channels = declared.size, declared.channels
        nchw = declared.layout is Layout.NCHW
        shape = (1, channels, height, width) if nchw else (1, height, width, channels)
        return {"image": torch.zeros(shape, dtype=kind)}
    if isinstance(declared, RowInput):
        return {"features": torch.zeros((1, len(declared.features)), dtype=kind)}
    if declared.fixed:
        raise ModelError(
            "a PyTorch model cannot be given fixed inputs",
            expected="tensors: alone under input:",
            got=f"fixed: {', '.join(declared.fixed)}",
            fix="wrap the module in one that has these values in it",
        )
    return {name: torch.zeros(one.shape, dtype=getattr(torch, one.dtype)) for name, one in declared.tensors.items()}


def _by_name(module: Any, declared: AnyInput, examples: Mapping[str, Any]) -> bool:
    if isinstance(declared, (PictureInput, RowInput)):
        return False
    return set(examples) <= set(inspect.signature(module.forward).parameters)


def flat(found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors in what a module gave, each by its key or its place, in PyTorch's own order."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from flat(value, f"{name}_{key}" if name else str(key))
    elif isinstance(found, (tuple, list)):
        for index, value in enumerate(found):
            yield from flat(value, f"{name}_{index}" if name else f"output_{index}")
    elif found is not None:
        yield name or "output", found


def _tried(torch: Any, call: _Call, examples: Mapping[str, Any]) -> list[tuple[str, Any]]:
    try:
        with torch.inference_mode():
            found = list(flat(call(examples)))
    except Exception as error:  # the module is the user's: whatever it raises
        shapes = ", ".join(f"{name}: {list(value.shape)}" for name, value in examples.items())
        raise ModelError(
            "the PyTorch model does not take the recipe's input",
            expected=f"a model that takes {shapes}",
            got=f"{type(error).__name__}: {str(error).strip()[:300]}",
            fix="mend input: in the recipe, or the model",
        ) from error
    odd = [f"{name}: {type(value).__name__}" for name, value in found if not isinstance(value, torch.Tensor)]
    if odd or not found:
        raise ModelError(
            "the PyTorch model gives something else than tensors",
            expected="tensors, or tuples, lists and mappings of them",
            got=", ".join(odd) or "nothing",
            fix="wrap it in a module that gives tensors alone",
        )
    return found


def native_of(torch: Any, call: Any, declared: AnyInput) -> Native:
    """The module as the reference; ``call`` takes tensors by name."""

    def native(feeds: Mapping[str, Array]) -> list[Array]:
        # A copy: PyTorch neither takes what is read-only nor promises to leave its inputs alone.
        given = {name: torch.from_numpy(np.array(value)) for name, value in feeds.items()}
        with torch.inference_mode():
            return [np.array(value.cpu().numpy()) for _, value in flat(call(given))]

    return one_by_one(native, declared)


def translate(
    torch: Any, call: _Call, examples: Mapping[str, Any], outputs: Sequence[str], recipe: Recipe
) -> onnx.ModelProto:
    """The module as a graph.

    Raises:
        ModelError: it cannot be translated.
    """
    given = {"kwargs": dict(examples)} if call.by_name else {"args": tuple(examples.values())}
    names = {"input_names": list(examples), "output_names": list(outputs)}
    return exported(torch, call.module, {**given, **names}, recipe)


def exported(torch: Any, module: Any, given: Mapping[str, Any], recipe: Recipe) -> onnx.ModelProto:
    """What ``torch.onnx.export`` makes of a module or an exported program."""
    opset = min(USUAL_OPSET, readable_by(recipe.targets).opset)
    old = recipe.model.exporter is TorchExporter.TORCHSCRIPT
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            if old:
                path = Path(folder, "model.onnx")
                torch.onnx.export(module, f=path, dynamo=False, opset_version=opset, **given)
                proto = onnx.load(path)
            else:
                program = torch.onnx.export(module, dynamo=True, opset_version=opset, verbose=False, **given)
                proto = program.model_proto
    except Exception as error:  # the exporter has no common root
        fix = "change what it names in the model" + ("" if old else "; or try exporter: torchscript under model:")
        raise ModelError(
            "PyTorch cannot translate the model to ONNX",
            expected=f"a model that {EXPORTERS[recipe.model.exporter]} takes",
            got=_root(error),
            fix=fix,
        ) from error
    return cleaned(proto, list(given["output_names"]) if "output_names" in given else None)


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip()[:400]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own insides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
