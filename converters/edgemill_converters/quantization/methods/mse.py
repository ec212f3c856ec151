"""Least mean squared error: clipping costs the values outside, not clipping costs resolution for all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.statistics import Statistics

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
LEVELS = 255
_SHARES = np.linspace(1.0, 0.02, 99)
_ROUNDS = 2


class MeanSquaredError(Method):
    """The range, of shrunken ones, whose quantized values lie nearest to the true ones.

    Both ends are shrunk together first, then each alone, in steps of a hundredth of the whole range.
    """

    label = "mse"

    def _range(self, seen: Statistics) -> tuple[float, float]:
        found = seen.histogram
        held = found.counts > 0
        centres, weights = ((found.edges[:-1] + found.edges[1:]) / 2)[held], found.counts[held]
        low, high = min(seen.low, 0.0), max(seen.high, 0.0)
        below, above = _best(centres, weights, low * _SHARES, high * _SHARES)
        for _ in range(_ROUNDS):
            below, above = _best(centres, weights, low * _SHARES, np.full(_SHARES.size, above))
            below, above = _best(centres, weights, np.full(_SHARES.size, below), high * _SHARES)
        return below, above


def _best(values: Floats, weights: Counts, lows: Floats, highs: Floats) -> tuple[float, float]:
    index = int(np.argmin(squared_errors(values, weights, lows, highs)))
    return float(lows[index]), float(highs[index])


def squared_errors(values: Floats, weights: Counts, lows: Floats, highs: Floats) -> Floats:
    """Weighted mean squared error of ``values`` in 8 bits, per range.

    Args:
        values, weights: ``[values]``.
        lows, highs: ``[ranges]``; zero within.

    Returns:
        ``float64[ranges]``.
    """
    step = np.maximum((highs - lows) / LEVELS, np.finfo(np.float64).tiny)[:, None]
    zero = np.rint(-lows[:, None] / step)
    errors = (np.clip(np.rint(values / step), -zero, LEVELS - zero) * step - values) ** 2
    return np.asarray(errors @ weights / weights.sum())
