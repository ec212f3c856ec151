"""What a dialect says, and how a range becomes a scale and a zero point in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemill_converters.quantization.plan import Range
from edgemill_core.tensors import Array

QUANTIZABLE = ("Conv", "MatMul", "Gemm")
"""What the dialects can quantize, where the second operand is constant."""


@dataclass(frozen=True)
class Encoding:
    """``real = (stored − zero_point) · scale``.

    Attributes:
        dtype: numpy's name of the stored type, int8 or uint8.
    """

    scale: float
    zero_point: int
    dtype: str

    @property
    def operands(self) -> tuple[Array, Array]:
        """Scale and zero point as QuantizeLinear takes them, of no dimension."""
        return np.array(self.scale, np.float32), np.array(self.zero_point, self.dtype)


@dataclass(frozen=True)
class Dialect:
    """How a runtime wants its Q/DQ.

    Attributes:
        name: for reports.
        symmetric: activations are int8 with zero point 0, rather than uint8 with any.
        outputs: types of layers whose output is quantized too, behind their activation.
        sums: what a layer gives to a sum whose other side is quantized is quantized too.
        quantized_bias: int32 bias behind its own DequantizeLinear.
        weights_as_pairs: FP32 weights behind a Q/DQ pair rather than stored INT8 weights behind a DQ.
        idioms: GELU and the mean over a plane are written as the one node that the runtime has for them.
    """

    name: str
    symmetric: bool = False
    outputs: tuple[str, ...] = ()
    sums: bool = False
    quantized_bias: bool = False
    weights_as_pairs: bool = False
    idioms: bool = False

    def encoding(self, found: Range) -> Encoding:
        """Scale and zero point of an activation.

        Zero is always represented exactly, because padding needs it (Jacob et al. 2018, "Quantization and Training of
        Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.1); a symmetric one keeps to
        −127…127.
        """
        low, high = min(found.low, 0.0), max(found.high, 0.0)
        if self.symmetric:
            return Encoding(_step(max(-low, high), 127), 0, "int8")
        scale = _step(high - low, 255)
        return Encoding(scale, round(-low / scale), "uint8")


def _step(span: float, steps: int) -> float:
    """``span / steps``; where float32 has no normal number for it, as if the span were 1."""
    step = span / steps
    return step if step >= float(np.finfo(np.float32).tiny) else 1 / steps
