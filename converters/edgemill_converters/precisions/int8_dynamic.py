"""Dynamic INT8: weights quantized beforehand, activations by the range of each run; nothing to calibrate."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from edgemill_converters.passes.base import Pass, copy_of
from edgemill_converters.precisions.base import Given, Precision, Rendered
from edgemill_core.errors import ModelError

LAYERS = ("MatMul", "Gemm")
"""Convolutions stay FP32: ONNX Runtime's ``ConvInteger`` took 14 to 43 times as long as FP32 (efficientnet-lite0)."""


class QuantizeDynamically(Pass):
    """``MatMulInteger`` behind ``DynamicQuantizeLinear``, which ONNX Runtime fuses into one kernel.

    The writing is that of ONNX Runtime's ``quantize_dynamic``: one scale per output of a layer, signed weights.
    Weights that are no matrix stay in FP32, and so do Gemms that are more than a product and a sum. Promises that no
    other product with constant weights does.
    """

    name = "quantize-dynamically"

    def __init__(self, weight_bits: int) -> None:
        self._weight_bits = weight_bits

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        from onnxruntime.quantization import QuantizationMode, QuantType
        from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer

        if not _products(model):
            raise _nothing(model)
        quantizer = ONNXQuantizer(
            copy_of(model),
            per_channel=True,
            reduce_range=self._weight_bits == 7,
            mode=QuantizationMode.IntegerOps,
            static=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=None,
            nodes_to_quantize=[],
            nodes_to_exclude=[name for name, beyond in _constant(model) if beyond],
            op_types_to_quantize=list(LAYERS),
            extra_options={"MatMulConstBOnly": True},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        result: onnx.ModelProto = quantizer.model.model
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if left := _products(result):
            raise self._broken("every product with constant weights in INT8", f"not so: {', '.join(left[:5])}")


def _products(model: onnx.ModelProto) -> list[str]:
    """Products with constant weights that ONNX Runtime's writer takes."""
    return [name for name, beyond in _constant(model) if not beyond]


def _constant(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """All products with constant weights, each with what makes it more than a plain one."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found = [node for node in model.graph.node if node.op_type in LAYERS and node.input[1] in weights]
    return [(node.name, _beyond(node, weights[node.input[1]])) for node in found]


def _beyond(node: onnx.NodeProto, weights: onnx.TensorProto) -> str:
    """E.g. ``alpha 0.5``, which the writer leaves alone, or weights that are no matrix, of which it makes no graph."""
    if len(weights.dims) != 2:
        return f"weights [{', '.join(map(str, weights.dims))}]"
    told = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = {"alpha": 1, "beta": 1, "transA": 0} if node.op_type == "Gemm" else {}
    return ", ".join(f"{key} {told[key]:g}" for key, value in plain.items() if told.get(key, value) != value)


def _nothing(model: onnx.ModelProto) -> ModelError:
    left = [f"{name} ({beyond})" for name, beyond in _constant(model)]
    out = "leave int8-dynamic out of precisions: under targets: in the recipe"
    return ModelError(
        "the model has no layer that can be quantized dynamically",
        expected=" or ".join(LAYERS)
        + " with constant weights"
        + (" in two dimensions; of Gemm with alpha 1, beta 1 and transA 0" if left else ""),
        got=", ".join(left[:5]) or "none; convolutions are slower so than in FP32",
        fix=f"export the model with plain products, or {out}" if left else out,
    )


class Int8Dynamic(Precision):
    """ONNX Runtime alone: OpenVINO takes ``MatMulInteger`` apart and computes it in FP32."""

    name = "int8-dynamic"
    tolerance = 0.25
    integer = True

    def runtimes(self) -> Collection[str]:
        """ONNX Runtime alone."""
        return ("onnxruntime",)

    def render(self, given: Given) -> Rendered:
        """Quantize the weights; the activations follow at each run."""
        step = QuantizeDynamically(given.machine.int8_weight_bits)
        return Rendered(step(given.graph), step.name)
