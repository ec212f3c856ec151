"""What calibration keeps of a tensor: a few numbers and a histogram, however many pictures there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    channel_means: Array


class RunningStatistics:
    """The same while pictures still come."""

    def __init__(self) -> None:
        self._pictures = 0
        self._sums = np.zeros(2)
        self._ends = np.zeros(2)
        self._channels: Array = np.zeros(1)
        self._histogram = StreamingHistogram()

    def add(self, low: float, high: float, channel_means: Array, values: Array) -> None:
        """Take one picture's extremes, means and values in; all must be finite."""
        first = self._pictures == 0
        self._pictures += 1
        self._sums += low, high
        self._ends = np.array([low, high] if first else [min(self._ends[0], low), max(self._ends[1], high)])
        self._channels = self._channels + channel_means.ravel()
        self._histogram.add(values)

    @property
    def found(self) -> Statistics:
        """What was seen so far; at least one picture."""
        mean_low, mean_high = (float(end) for end in self._sums / self._pictures)
        low, high = (float(end) for end in self._ends)
        return Statistics(mean_low, mean_high, low, high, self._histogram.found, self._channels / self._pictures)
