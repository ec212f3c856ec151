"""What a recipe says under ``quantization:``."""

from __future__ import annotations

from typing import Literal

from edgemill_core.validation import Strict


class Quantization(Strict):
    """How INT8 variants come about.

    Attributes:
        method: how a tensor's range is made from what calibration saw of it.
    """

    method: Literal["averaged"] = "averaged"
