"""Bring a graph down to the opset and IR version that the oldest supported release of each runtime reads."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, version_converter

from edgemill_converters.importers.versions import Readable
from edgemill_converters.passes.base import Pass, copy_of
from edgemill_converters.passes.upgrade_opset import opset_of
from edgemill_core.errors import ModelError

_ML = "ai.onnx.ml"
_TYPES = {
    TensorProto.FLOAT8E4M3FN: 9,
    TensorProto.FLOAT8E4M3FNUZ: 9,
    TensorProto.FLOAT8E5M2: 9,
    TensorProto.FLOAT8E5M2FNUZ: 9,
    TensorProto.UINT4: 10,
    TensorProto.INT4: 10,
    TensorProto.FLOAT4E2M1: 11,
}
"""The IR version that brought each type of number (onnx.proto); all else a version brought are notes."""


class FitVersions(Pass):
    """Promises an opset and an IR version that can be read."""

    name = "fit-versions"

    def __init__(self, readable: Readable) -> None:
        self._most = readable

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model) if opset_of(model) <= self._most.opset else self._lowered(model)
        trees = max((opset.version for opset in result.opset_import if opset.domain == _ML), default=0)
        if trees > self._most.ml and any(node.domain == _ML for node in result.graph.node):
            raise _too_new(f"opset {self._most.ml} of {_ML}", f"opset {trees}", "name other targets, or train anew")
        needs = max(
            (_TYPES.get(kind, 13 if kind > TensorProto.FLOAT4E2M1 else 0) for kind in _kinds(result)), default=0
        )
        if needs > self._most.ir:
            got = f"numbers that IR version {needs} brought"
            raise _too_new(f"IR version {self._most.ir}", got, "export the model in float32")
        result.ir_version = min(result.ir_version, self._most.ir)
        return result

    def _lowered(self, model: onnx.ModelProto) -> onnx.ModelProto:
        try:
            result: onnx.ModelProto = version_converter.convert_version(model, self._most.opset)
        except RuntimeError as error:
            got = f"opset {opset_of(model)}, which cannot be lowered: {str(error).strip()[-200:]}"
            fix = f"export the model with opset {min(self._most.opset, 18)}"
            raise _too_new(f"opset {self._most.opset}", got, fix) from error
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if opset_of(result) > self._most.opset or result.ir_version > self._most.ir:
            got = f"opset {opset_of(result)}, IR version {result.ir_version}"
            raise self._broken(f"at most opset {self._most.opset}, IR version {self._most.ir}", got)


def _kinds(model: onnx.ModelProto) -> Iterator[int]:
    yield from (tensor.data_type for tensor in model.graph.initializer)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        yield value.type.tensor_type.elem_type
    for node in model.graph.node:
        yield from (a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to")


def _too_new(expected: str, got: str, fix: str) -> ModelError:
    return ModelError(
        "the model is newer than what the oldest supported release of a target's runtime reads",
        expected=f"at most {expected}",
        got=got,
        fix=fix,
    )
