"""TensorRT: symmetric int8 throughout, no quantized bias (it is refused), weights in FP32 behind a pair."""

from __future__ import annotations

from edgemill_converters.quantization.dialects.base import Dialect

TENSORRT = Dialect("tensorrt", symmetric=True, weights_as_pairs=True)
