"""OpenVINO's CPU kernels.

They take uint8 with any zero point, write float or INT8 alike, and do what follows a layer (activation, residual sum,
quantization) on the way: a pair before each layer is enough, and one more behind it is one more rounding.
"""

from __future__ import annotations

from edgemill_converters.quantization.dialects.base import Dialect

OPENVINO = Dialect("openvino")
