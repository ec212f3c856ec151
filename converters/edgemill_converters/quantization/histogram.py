"""A histogram of a stream of values whose range is not known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, ldexp

import numpy as np
from numpy.typing import NDArray

from edgemill_core.tensors import Array

BINS = 4096
"""Even: zero is an edge. The outermost value lies in the outer half of its side: 1,024 bins at least reach it."""
_LEAST = 2.0**-60
"""Half-width to begin with; smaller values count as zero."""


@dataclass(frozen=True)
class Histogram:
    """How often values fell into equal bins around zero.

    Attributes:
        limit: the bins span ``-limit`` to ``limit``.
        counts: ``int64[bins]``.
    """

    limit: float
    counts: NDArray[np.int64]

    @property
    def width(self) -> float:
        """Of one bin."""
        return 2 * self.limit / self.counts.size

    @property
    def edges(self) -> NDArray[np.float64]:
        """``float64[bins + 1]``."""
        return np.linspace(-self.limit, self.limit, self.counts.size + 1)

    @property
    def magnitudes(self) -> NDArray[np.int64]:
        """Counts by absolute value, from zero up, ``int64[bins / 2]``."""
        half = self.counts.size // 2
        return np.asarray(self.counts[half:] + self.counts[:half][::-1])


class StreamingHistogram:
    """Counts values in a fixed number of bins; where one falls outside, the range doubles and bins merge in pairs.

    Because limits are powers of two and merging is exact, the counts are those that one histogram of all values over
    the final range would have, in whatever order they came.
    """

    def __init__(self) -> None:
        self._limit = _LEAST
        self._counts = np.zeros(BINS, np.int64)

    def add(self, values: Array) -> None:
        """Count ``values``, floats of any shape; all must be finite."""
        if not values.size:
            return
        most = max(-float(values.min()), float(values.max()))
        if most > self._limit:
            self._widen(_power_from(most))
        # A product with a power of two is exact, so no value crosses an edge by rounding.
        scaled = np.multiply(values.ravel(), BINS / 2 / self._limit)
        places = np.floor(scaled, out=scaled).astype(np.int64)
        places += BINS // 2
        self._counts += np.bincount(np.minimum(places, BINS - 1, out=places), minlength=BINS)

    def _widen(self, limit: float) -> None:
        if not self._counts.any():
            self._limit = limit
        while self._limit < limit:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[:] = 0
            self._counts[BINS // 4 : -BINS // 4] = merged
            self._limit *= 2

    @property
    def found(self) -> Histogram:
        """What was counted so far."""
        return Histogram(self._limit, self._counts.copy())


def _power_from(value: float) -> float:
    """The least power of two that is not below ``value``."""
    share, exponent = frexp(value)
    return ldexp(1.0, exponent - (share == 0.5))
