"""Least loss of information between the values and what 8 bits make of them.

Migacz 2017, "8-bit Inference with TensorRT" (GTC, S7310): of all thresholds on the absolute value take the one whose
quantized distribution has the least Kullback-Leibler divergence from the clipped one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.statistics import Statistics

LEVELS = 128
"""Of the absolute value, in 8 bits."""
_STEPS = 256
_SMALL = 1e-4
"""What an empty bin gets, so that a divergence exists; ONNX Runtime's calibrator takes the same."""


class Entropy(Method):
    """``[-threshold, threshold]``, as far as values were seen."""

    label = "entropy"

    def _range(self, seen: Statistics) -> tuple[float, float]:
        threshold = best_bins(seen.histogram.magnitudes) * seen.histogram.width
        return -threshold, threshold


def best_bins(magnitudes: NDArray[np.int64], levels: int = LEVELS) -> int:
    """How many bins of absolute values, from zero, to keep.

    Args:
        magnitudes: ``int64[bins]``, more than ``levels``.
    """
    filled = np.flatnonzero(magnitudes)
    if not filled.size or filled[-1] < levels:
        return magnitudes.size
    counts = magnitudes.astype(np.float64)
    # The zeros that a ReLU makes are exact at any threshold; as a spike in one bin they would drown the rest.
    counts[0] = counts[1]
    most = int(filled[-1]) + 1
    candidates = np.unique(np.linspace(levels, most, _STEPS).astype(int))
    return int(candidates[np.argmin([divergence(counts, int(bins), levels) for bins in candidates])])


def divergence(counts: NDArray[np.float64], bins: int, levels: int) -> float:
    """Kullback-Leibler divergence of the first ``bins`` bins, all beyond clipped into the last, when quantized.

    Args:
        counts: ``float64[…]``.
    """
    kept = counts[:bins]
    clipped = kept.copy()
    clipped[-1] += counts[bins:].sum()
    starts = np.arange(levels) * bins // levels
    present = clipped > 0
    members = np.add.reduceat(present.astype(np.float64), starts)
    levelled = np.add.reduceat(kept, starts) / np.maximum(members, 1)
    quantized = np.repeat(levelled, np.diff(np.append(starts, bins))) * present
    p, q = _smooth(clipped), _smooth(quantized)
    return float((p * np.log(p / q)).sum())


def _smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """As shares of 1; empty bins get a little of what the others have."""
    total = counts.sum()
    if not total:
        return np.full(counts.size, 1 / counts.size)
    empty = counts == 0
    spread = np.where(empty, _SMALL, counts - _SMALL * empty.sum() / (~empty).sum())
    return np.asarray(np.maximum(spread, _SMALL) / np.maximum(spread, _SMALL).sum())
