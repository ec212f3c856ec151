"""A percentile: rare values are clipped, whatever they mean."""

from __future__ import annotations

import numpy as np

from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.statistics import Statistics

DEFAULT = 99.99


class Percentile(Method):
    """The range that holds ``percent`` of all values, with as many left out below as above.

    Both ends are outer edges of bins, so they keep at least the share asked for, and are one bin off at most.

    Args:
        percent: between 50 and 100.
    """

    def __init__(self, percent: float = DEFAULT) -> None:
        self._percent = percent

    @property
    def label(self) -> str:
        """E.g. ``percentile 99.99``."""
        return f"percentile {self._percent:g}"

    def _range(self, seen: Statistics) -> tuple[float, float]:
        counts, edges = seen.histogram.counts, seen.histogram.edges
        left_out = counts.sum() * (100 - self._percent) / 200
        below = np.searchsorted(np.cumsum(counts), left_out, side="right")
        above = np.searchsorted(np.cumsum(counts[::-1]), left_out, side="right")
        return float(edges[below]), float(edges[counts.size - above])
