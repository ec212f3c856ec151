"""Weight-only INT8: a quarter of the size, computed in float."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass, copy_of
from edgemill_converters.precisions.base import WEIGHED, Given, Precision, Rendered
from edgemill_converters.quantization.dialects.weights import channel_axis
from edgemill_core.errors import ModelError
from edgemill_core.tensors import Array

_LEAST = 4096
"""Weights of fewer numbers than this are left alone: they take little room, and early and depthwise layers have them.
On efficientnet-lite0 that costs 0.3 % of FP32's size, and logits are 0.5 rather than 2.4 off at most."""


class StoreWeightsInInt8(Pass):
    """Weights as INT8 with one scale a channel, symmetric, made float again in the graph.

    Where the runtime folds constants but not ``DequantizeLinear`` (ONNX Runtime keeps it for fusing, and would run it
    each time), they are made float again by ``Cast`` and ``Mul``. Promises that no large FP32 weights are left.

    Args:
        dequantize: whether by ``DequantizeLinear``.
    """

    name = "store-weights-in-int8"

    def __init__(self, dequantize: bool) -> None:
        self._dequantize = dequantize

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        graph = result.graph
        found = _weights(graph)
        if not found:
            raise ModelError(
                "the model has no weights worth storing in INT8",
                expected=f"{', '.join(WEIGHED)} with constant weights, {_LEAST} numbers or more",
                got="none",
                fix="leave int8-weights out of precisions: under targets: in the recipe",
            )
        before: list[onnx.NodeProto] = []
        for name, axis in found.items():
            before += self._store(graph, name, axis)
        nodes = [*before, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        return result

    def _store(self, graph: onnx.GraphProto, name: str, axis: int) -> list[onnx.NodeProto]:
        """Replace one tensor; the nodes that this gives write it anew, under its own name."""
        old = next(tensor for tensor in graph.initializer if tensor.name == name)
        stored, scales = quantized(numpy_helper.to_array(old), axis)
        graph.initializer.remove(old)
        graph.initializer.append(numpy_helper.from_array(stored, f"{name}_int8"))
        graph.initializer.append(
            numpy_helper.from_array(scales.ravel() if self._dequantize else scales, f"{name}_scale")
        )
        if self._dequantize:
            inputs = [f"{name}_int8", f"{name}_scale"]
            return [helper.make_node("DequantizeLinear", inputs, [name], f"{name}_dequantize", axis=axis)]
        return [
            helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], f"{name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name], f"{name}_mul"),
        ]

    def _check(self, result: onnx.ModelProto) -> None:
        if left := list(_weights(result.graph)):
            raise self._broken("all weights in INT8", f"not so: {', '.join(left[:5])}")


def quantized(weights: NDArray[np.float32], axis: int) -> tuple[Array, Array]:
    """Round to -127..127 with one scale for each index along ``axis``.

    Returns:
        int8 of the same shape, and float32 scales that broadcast to it; times each other they are at most half a scale
        from the weights.
    """
    others = tuple(index for index in range(weights.ndim) if index != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scales: NDArray[np.float32] = np.asarray(largest / 127, np.float32)
    scales = np.where(scales > 0, scales, np.float32(1))  # what is too small for a scale becomes 0
    return np.clip(np.rint(weights / scales), -127, 127).astype(np.int8), scales


def _weights(graph: onnx.GraphProto) -> dict[str, int]:
    """FP32 weights worth it, with the axis of the layer's outputs."""
    table = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in WEIGHED and node.input[1] in table and np.prod(table[node.input[1]].dims) >= _LEAST:
            found.setdefault(node.input[1], channel_axis(node, len(table[node.input[1]].dims)))
    return found


class Int8Weights(Precision):
    """For any runtime."""

    name = "int8-weights"
    tolerance = 1e-3

    def render(self, given: Given) -> Rendered:
        """Store the weights."""
        step = StoreWeightsInInt8(dequantize=given.runtime != "onnxruntime")
        return Rendered(step(given.graph), step.name)
