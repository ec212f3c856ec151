"""A plan written as Q/DQ, in the dialect that each runtime fuses best.

No single graph serves all runtimes: what ONNX Runtime fuses whole, TensorRT refuses, and what suits TensorRT is
slower than FP32 on ONNX Runtime. The writing itself is ONNX Runtime's own ``QDQQuantizer``, fed with our plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgemill_converters.passes.base import Pass
from edgemill_converters.quantization.bias import ShiftBias
from edgemill_converters.quantization.plan import Plan
from edgemill_core.errors import ModelError


@dataclass(frozen=True)
class Dialect:
    """How a runtime wants its Q/DQ.

    Attributes:
        signed_activations: int8 rather than uint8.
        symmetric_activations: zero point 0.
        quantized_bias: int32 bias behind its own DequantizeLinear.
        weights_as_pairs: FP32 weights behind a Q/DQ pair rather than stored INT8 weights behind a DQ.
    """

    name: str
    signed_activations: bool
    symmetric_activations: bool
    quantized_bias: bool
    weights_as_pairs: bool


_CPU = Dialect("unsigned", False, False, quantized_bias=True, weights_as_pairs=False)
DIALECTS: dict[str, Dialect] = {
    "onnxruntime": _CPU,
    "openvino": _CPU,
    "tensorrt": Dialect("symmetric", True, True, quantized_bias=False, weights_as_pairs=True),
}


class WriteQdq(Pass):
    """Write ``plan`` into the graph. Promises a Q/DQ pair at the input of every layer of the plan."""

    name = "write-qdq"

    def __init__(self, plan: Plan, dialect: Dialect) -> None:
        self._plan = plan
        self._dialect = dialect

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        if not self._plan.layers:
            raise ModelError(
                "the model has no layer that can be quantized",
                expected="Conv, MatMul or Gemm with constant weights",
                got="none",
                fix="write precisions: [fp32] under targets: in the recipe",
            )
        ranges = {
            name: (np.array(found.low, np.float32), np.array(found.high, np.float32))
            for name, found in self._plan.ranges.items()
        }
        dialect = self._dialect
        quantizer = QDQQuantizer(
            ShiftBias(self._plan)(model),
            per_channel=True,
            reduce_range=self._plan.weight_bits == 7,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if dialect.signed_activations else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
            nodes_to_quantize=list(self._plan.layers),
            nodes_to_exclude=[],
            op_types_to_quantize=sorted({n.op_type for n in model.graph.node if n.name in self._plan.layers}),
            extra_options={
                "ActivationSymmetric": dialect.symmetric_activations,
                "WeightSymmetric": True,
                "QuantizeBias": dialect.quantized_bias,
                "AddQDQPairToWeight": dialect.weights_as_pairs,
            },
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        result: onnx.ModelProto = quantizer.model.model
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        dequantized = {name for node in result.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        bare = [n.name for n in result.graph.node if n.name in self._plan.layers and n.input[0] not in dequantized]
        if bare:
            raise self._broken("every layer of the plan reads dequantized values", f"not so: {', '.join(bare[:5])}")
