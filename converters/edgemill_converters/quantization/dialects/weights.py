"""INT8 weights, one scale a channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgemill_converters.quantization.dialects.base import QUANTIZABLE
from edgemill_core.tensors import Array

_LARGEST_BIAS = 2**31 - 1


@dataclass(frozen=True)
class QuantizedWeights:
    """``real = stored · scale`` along ``axis``.

    Attributes:
        scale: ``float32[channels]``.
        stored: int8, of the weights' own shape.
    """

    scale: Array
    stored: Array
    axis: int


def has_weights(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether the dialects can quantize the node: its weights are constant and, of a product, a plain matrix."""
    found = constants.get(node.input[1]) if node.op_type in QUANTIZABLE else None
    return found is not None and (node.op_type == "Conv" or len(found.dims) == 2)


def channel_axis(node: onnx.NodeProto, rank: int) -> int:
    """The axis of the weights that the output's channels lie along."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return rank - 1


def most_stored(bits: int) -> int:
    """The largest magnitude of a stored weight: 127 of 8 bits, 64 of 7, as ONNX Runtime's ``reduce_range`` has it."""
    return (1 << bits - 1) - (1 if bits == 8 else 0)


def rounding_errors(weights: Array, bits: int) -> NDArray[np.float64]:
    """``weights`` less what symmetric quantization makes of them.

    Args:
        weights: ``[outputs, …]``, one scale an output.
        bits: see ``most_stored``.
    """
    wide = weights.astype(np.float64)
    most = np.abs(wide).max(axis=tuple(range(1, wide.ndim)), keepdims=True)
    step = np.where(most > 0, most / most_stored(bits), 1.0)
    return np.asarray(wide - np.rint(wide / step) * step)


def quantize_weights(
    weights: onnx.TensorProto, node: onnx.NodeProto, bits: int, bias: Array | None, input_scale: float
) -> QuantizedWeights:
    """Symmetric, the largest magnitude of each channel on the largest number of ``bits``.

    Args:
        bias: of the layer, where it is to be int32 in units of both scales: a channel of tiny weights then takes a
            scale that is large enough for its bias.
        input_scale: of the layer's activation.
    """
    values = numpy_helper.to_array(weights).astype(np.float32)
    axis = channel_axis(node, values.ndim)
    rest = tuple(index for index in range(values.ndim) if index != axis)
    most = most_stored(bits)
    scale = np.abs(values).max(axis=rest).astype(np.float64) / most
    if bias is not None:
        scale = np.maximum(scale, np.abs(bias) / (input_scale * _LARGEST_BIAS) * 1.0001)
    scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1.0).astype(np.float32)
    shape = [-1 if index == axis else 1 for index in range(values.ndim)]
    stored = np.clip(np.rint(values / scale.reshape(shape)), -most, most).astype(np.int8)
    return QuantizedWeights(scale, stored, axis)
