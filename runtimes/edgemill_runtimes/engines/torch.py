"""PyTorch, the reference: an exported program (``.pt2``) as its author's framework runs it. Not for boxes.

The only module of the runtimes that imports ``torch``. No pickle is read: the archive's tensors come with
``weights_only``. Archives with more in them than a program, such as compiled code, are refused.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine
from edgemill_runtimes.engines.facts import Compiled, Layer
from edgemill_runtimes.engines.torch_entries import check_entries
from edgemill_runtimes.engines.torch_sizes import check_sizes

_PRECISIONS = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_PRODUCTS = ("linear", "matmul", "mm", "bmm", "addmm")


class TorchEngine(Engine):
    """An exported program on one device."""

    runtime = "torch"

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        self._check_device()
        try:
            self._program = load_program(self.graph)
        except Exception as error:  # whatever an archive of another version makes it stumble over
            raise self._unreadable(str(error).strip()[:400]) from error
        self._module = self._program.module().to(self.settings.device.lower())
        values = {node.name: node.meta.get("val") for node in self._program.graph.nodes}
        signature = self._program.graph_signature
        inputs = tuple(_spec(name, values[name]) for name in signature.user_inputs)
        return inputs, tuple(_spec(name, values[name]) for name in signature.user_outputs)

    def _check_device(self) -> None:
        device = self.settings.device
        if device != "CPU" and not (device == "CUDA" and torch.cuda.is_available()):
            raise MissingPartError(
                f"PyTorch has no device {device!r} here",
                expected="CPU, or CUDA where there is a GPU",
                got=f"CPU; torch {torch.__version__}, {torch.cuda.device_count()} GPUs",
                fix="write device: CPU, or install the driver and a build of torch for it",
            )

    def _unreadable(self, got: str) -> ModelError:
        return ModelError(
            f"PyTorch cannot load {self.graph.name}",
            expected="a program written with torch.export.save",
            got=got,
            fix=f"export it again with torch {torch.__version__}",
        )

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self.settings.threads is not None and torch.get_num_threads() != self.settings.threads:
            torch.set_num_threads(self.settings.threads)  # of the whole process: PyTorch has no other
        device = self.settings.device.lower()
        # A copy: PyTorch neither takes what is read-only nor promises to leave its inputs alone.
        given = [torch.from_numpy(np.array(feeds[spec.name])).to(device) for spec in self.inputs]
        with torch.inference_mode():
            found = self._module(*given)
        values = found if isinstance(found, (tuple, list)) else (found,)
        return {spec.name: np.array(value.cpu().numpy()) for spec, value in zip(self.outputs, values, strict=True)}

    def _compiled(self) -> Compiled:
        layers = tuple(layer for node in self._program.graph.nodes if (layer := _layer(node)) is not None)
        return Compiled(torch.__version__, self.settings.device, layers, {}, {"threads": str(torch.get_num_threads())})

    def _close(self) -> None:
        del self._module, self._program


def _layer(node: Any) -> Layer | None:
    kind = str(node.target).split(".")[1] if node.op == "call_function" and "." in str(node.target) else ""
    is_conv = kind.startswith("conv") or kind == "convolution"
    if not (is_conv or kind in _PRODUCTS):
        return None
    out = node.meta["val"]
    operands = [arg.meta["val"] for arg in node.args if hasattr(arg, "meta") and "val" in arg.meta]
    precision = str(out.dtype).removeprefix("torch.")
    # addmm takes what it adds before its two factors.
    inner = prod(operands[1].shape[1:]) if is_conv else operands[1 if kind == "addmm" else 0].shape[-1]
    macs = prod(out.shape) * inner
    return Layer(node.name, _PRECISIONS.get(precision, precision), macs if isinstance(macs, int) else None)


def load_program(path: Path) -> Any:
    """Read an exported program, no pickle, and no compiled code.

    ``torch.export.load`` by itself would: it reads again with ``weights_only=False`` what it could not read without,
    such as sample inputs, reads objects that are no tensors by ``pickle.loads``, loads the shared libraries of
    compiled models that lie beside the program, and has Python evaluate the sizes in it.

    Raises:
        ValueError: it is no archive, or holds more than a program.
        Exception: whatever an archive that is damaged, or of another version, makes PyTorch stumble over.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("another kind of file, or one that was cut off")
    with zipfile.ZipFile(path) as archive:
        check_entries([name.partition("/")[2] for name in archive.namelist()])
    # PyTorch's own reader too: in a file made for it, the two may find another table of contents.
    reader = torch._C.PyTorchFileReader(str(path))
    names = reader.get_all_records()
    check_entries(names)
    for name in names:
        if name.startswith("models/"):
            check_sizes(reader.get_record(name))
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"  # PyTorch's own switch, which no argument overrules
    try:
        return torch.export.load(path)
    finally:
        del os.environ[_WEIGHTS_ONLY]
        if before is not None:
            os.environ[_WEIGHTS_ONLY] = before


def _spec(name: str, value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(name, str(value.dtype).removeprefix("torch."), shape)
