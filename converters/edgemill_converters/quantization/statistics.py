"""What calibration keeps of a tensor: a few numbers and a histogram, however many pictures there are."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from edgemill_converters.quantization.histogram import Histogram, StreamingHistogram
from edgemill_core.tensors import Array


@dataclass(frozen=True)
class Statistics:
    """One tensor over all calibration pictures.

    Attributes:
        mean_low, mean_high: means, over the pictures, of each one's smallest and largest value.
        low, high: outermost values.
        histogram: of every value of a small tensor, of an even sample of a large one (see ``watching.SAMPLE``).
        channel_means: mean of each channel, ``float64[channels]``; of one element where the tensor has no known axis
            of channels.
    """

    mean_low: float
    mean_high: float
    low: float
    high: float
    histogram: Histogram
    channel_means: NDArray[np.float64]


_HELD = 16_384
"""Values that wait to be counted together: many small counts cost more than one large one."""


class RunningStatistics:
    """The same while pictures still come."""

    def __init__(self) -> None:
        self._pictures = 0
        self._sum_low = self._sum_high = 0.0
        self._low, self._high = inf, -inf
        self._channels: NDArray[np.float64] = np.zeros(1)
        self._histogram = StreamingHistogram()
        self._waiting: list[Array] = []

    def add(self, low: float, high: float, channel_means: Array, values: Array) -> None:
        """Take one picture's extremes, means and values in; all must be finite."""
        self._pictures += 1
        self._sum_low += low
        self._sum_high += high
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._channels = self._channels + np.asarray(channel_means, np.float64)
        self._waiting.append(values.ravel())
        if len(self._waiting) * values.size >= _HELD:
            self._count()

    def _count(self) -> None:
        if self._waiting:
            self._histogram.add(np.concatenate(self._waiting))
            self._waiting.clear()

    @property
    def found(self) -> Statistics:
        """What was seen so far; at least one picture."""
        self._count()
        return Statistics(
            self._sum_low / self._pictures,
            self._sum_high / self._pictures,
            self._low,
            self._high,
            self._histogram.found,
            self._channels / self._pictures,
        )
