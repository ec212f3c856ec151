"""Averaged extremes: one odd picture does not stretch the range, and no value that each picture shows is clipped.

The observer of Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.1, with equal weights.
"""

from __future__ import annotations

from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.statistics import Statistics


class Averaged(Method):
    """Mean, over the pictures, of each one's smallest and largest value."""

    label = "averaged min-max"

    def _range(self, seen: Statistics) -> tuple[float, float]:
        return seen.mean_low, seen.mean_high
