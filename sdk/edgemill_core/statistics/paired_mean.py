"""How much larger a mean loss may be, from paired samples that may depend on their neighbours."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]
RESAMPLES = 4000
SEED = 20240601
"""The same data must always give the same ruling."""


def relative_increase(reference: Losses, variant: Losses) -> float:
    """``mean(variant) / mean(reference) - 1``; infinite where the reference loses nothing and the variant does."""
    before, after = float(np.mean(reference)), float(np.mean(variant))
    if before > 0:
        return after / before - 1
    return 0.0 if after <= 0 else float("inf")


def relative_increase_upper_bound(reference: Losses, variant: Losses, confidence: float) -> float:
    """One-sided upper confidence bound of ``relative_increase``.

    The basic bootstrap over circular blocks of n^(1/3) neighbours, in pairs (Politis and Romano 1992, "A circular
    block-resampling procedure for stationary data"): days follow on each other, so single days may not be drawn.
    It is asymptotic: with less than a hundred samples, or a loss that a few samples carry, it is too narrow.

    Args:
        reference: loss per sample.
        variant: loss per sample, in the same order.
        confidence: e.g. 0.95.
    """
    if len(reference) < 2 or not np.isfinite(reference).all() or not np.isfinite(variant).all():
        return float("inf")
    if np.array_equal(reference, variant):
        return 0.0
    seen = relative_increase(reference, variant)
    drawn = [relative_increase(reference[rows], variant[rows]) for rows in _resamples(len(reference))]
    return float(2 * seen - np.quantile(drawn, 1 - confidence))


def _resamples(count: int) -> NDArray[np.int64]:
    length = max(1, round(count ** (1 / 3)))
    rng = np.random.default_rng(SEED)
    starts = rng.integers(0, count, (RESAMPLES, ceil(count / length)))
    rows = (starts[:, :, None] + np.arange(length)) % count
    return np.asarray(rows.reshape(RESAMPLES, -1)[:, :count], np.int64)
