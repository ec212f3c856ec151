"""FP16 by casts in the graph: half the size, and the speed of it where the hardware computes in FP16."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto

from edgemill_converters.passes.base import Pass, copy_of
from edgemill_converters.precisions.base import WEIGHED, Given, Precision, Rendered


class ToFloat16(Pass):
    """Weights and compute in FP16; what ONNX has no FP16 form of stays FP32 between casts.

    The writing is that of ONNX Runtime's ``convert_float_to_float16``. Promises that inputs and outputs keep their
    types, and that no convolution or product has FP32 weights left.
    """

    name = "to-float16"

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        self._types = _types(model)
        result: onnx.ModelProto = convert_float_to_float16(copy_of(model), keep_io_types=True)
        # It puts the casts of FP32 inputs behind what reads them.
        inputs, ordered = {value.name for value in result.graph.input}, onnx.GraphProto()
        ordered.node.extend(sorted(result.graph.node, key=lambda node: not _casts(node, inputs)))
        del result.graph.node[:]
        result.graph.node.extend(ordered.node)
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if _types(result) != self._types:
            raise self._broken("inputs and outputs of the same types", f"{_types(result)}, not {self._types}")
        full = {one.name for one in result.graph.initializer if one.data_type == TensorProto.FLOAT}
        left = [node.name for node in result.graph.node if node.op_type in WEIGHED and full & set(node.input)]
        if left:
            raise self._broken("every convolution and product in FP16", f"not so: {', '.join(left[:5])}")


def _casts(node: onnx.NodeProto, tensors: Collection[str]) -> bool:
    return node.op_type == "Cast" and node.input[0] in tensors


def _types(model: onnx.ModelProto) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}


class Fp16(Precision):
    """For any runtime; what it then computes in, its ``facts()`` say."""

    name = "fp16"
    tolerance = 1e-2
    on_nvidia = True

    def render(self, given: Given) -> Rendered:
        """Cast weights and compute."""
        step = ToFloat16()
        return Rendered(step(given.graph), step.name)
