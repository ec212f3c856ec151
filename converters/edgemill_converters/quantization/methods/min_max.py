"""Outermost extremes: nothing that calibration saw is clipped."""

from __future__ import annotations

from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.statistics import Statistics


class MinMax(Method):
    """Smallest and largest value of all pictures."""

    label = "min-max"

    def _range(self, seen: Statistics) -> tuple[float, float]:
        return seen.low, seen.high
