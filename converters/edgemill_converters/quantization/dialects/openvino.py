"""OpenVINO's CPU kernels.

They take uint8 with any zero point, write float or INT8 alike, and do what follows a layer (activation, residual sum,
quantization) on the way: a pair before each layer is enough, and one more behind it is one more rounding. Only a
residual sum takes both its sides in INT8: with one in float it becomes a kernel of its own (5 % of a small detector's
time). The further rounding changed the share of other decisions by half a point at most, on five models.
"""

from __future__ import annotations

from edgemill_converters.quantization.dialects.base import Dialect

OPENVINO = Dialect("openvino", sums=True)
