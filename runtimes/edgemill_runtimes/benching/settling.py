"""Whether measured latencies have settled. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = 3
"""So many equal parts of the latest windows must agree."""
P50_SPREAD, P99_SPREAD = 0.05, 0.20
"""How far the parts may lie apart, as a share of their median."""
LEAST_RUNS = 100
"""Of a window: fewer have no 99th percentile."""

Latencies = NDArray[np.float64]


@dataclass(frozen=True)
class Settling:
    """How the latest windows lie together.

    Attributes:
        windows: how many of the latest were compared; 0 if there are too few.
        p50_spread: of the parts' medians, (most - least) / median.
        p99_spread: of the parts' 99th percentiles, likewise.
    """

    windows: int
    p50_spread: float
    p99_spread: float

    @property
    def settled(self) -> bool:
        """The parts agree."""
        return self.windows > 0 and self.p50_spread <= P50_SPREAD and self.p99_spread <= P99_SPREAD


def settling(windows: Sequence[Latencies]) -> Settling:
    """Compare the latest 3 windows; where they do not agree the latest 6 in pairs, the latest 12 in fours, and so on.

    A quantile of few runs wavers more than one of many, so what has not settled is given longer parts.

    Args:
        windows: milliseconds of each run, oldest window first.

    Returns:
        The shortest stretch that has settled, else the longest that there was to compare.
    """
    found, size = Settling(0, float("inf"), float("inf")), 1
    while PARTS * size <= len(windows):
        latest = windows[-PARTS * size :]
        parts = [np.concatenate(latest[start : start + size]) for start in range(0, len(latest), size)]
        if min(map(len, parts)) >= LEAST_RUNS:
            found = Settling(len(latest), _spread(parts, 50), _spread(parts, 99))
            if found.settled:
                break
        size *= 2
    return found


def _spread(parts: Sequence[Latencies], percent: float) -> float:
    values = [float(np.percentile(part, percent)) for part in parts]
    middle = float(np.median(values))
    return (max(values) - min(values)) / middle if middle else 0.0
