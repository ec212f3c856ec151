"""Is a variant at most δ worse than its reference, on the same samples? An exact answer.

Of n samples, ``worse`` went wrong with the variant only and ``better`` went wrong with the reference only. The drop
is the difference of the two probabilities, and (worse, better, rest) is trinomial.

The p-value for H0: drop ≥ δ orders outcomes by the signed root of the likelihood ratio and takes the largest tail
probability over the unknown rate of discordant pairs, so the test keeps its level exactly for every n (exact
unconditional test; Sidik 2003, Statistics in Medicine 22, 265-278, with Tango's score as the ordering). The
likelihood ratio is used because the score ranks "no discordant pair at all" too low where few are expected: at 99 %
it would ask for more samples than the (1 - δ)^n ≤ α that the likelihood ratio needs (299 for 1 point at 95 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log

import numpy as np

from edgemill_core.statistics.binomial import Floats, lower_bound, upper_bound
from edgemill_core.statistics.trinomial import Integers, below, staircase

_SCAN, _PEAKS, _ROUNDS, _ZOOM = 24, 3, 3, 9
"""The scan over the unknown rate: points to begin with, peaks followed, rounds of refinement, points a round."""


@dataclass(frozen=True)
class PairedCounts:
    """What a paired comparison saw.

    Attributes:
        n: samples in the metric's population.
        worse: samples that only the variant got wrong.
        better: samples that only the reference got wrong.
    """

    n: int
    worse: int
    better: int

    def __post_init__(self) -> None:
        if self.n < 0 or self.worse < 0 or self.better < 0 or self.worse + self.better > self.n:
            raise ValueError(f"no such comparison: {self}")

    @property
    def drop(self) -> float:
        """Observed drop, in parts of 1; 0 where there are no samples."""
        return (self.worse - self.better) / self.n if self.n else 0.0


def _plogp(counts: Floats, p: Floats) -> Floats:
    """``counts * log(p)`` with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts == 0, 0.0, counts * np.log(np.maximum(p, 0.0)))


def signed_root(worse: Floats, better: Floats, n: int, delta: float) -> Floats:
    """Signed root of the likelihood ratio for H0: drop = δ; the smaller, the stronger the evidence for less.

    The constrained estimate of the probability of ``better`` is the closed form of Tango (1998, Statistics in
    Medicine 17, 891-908, equation 6).
    """
    rest = n - worse - better
    b = -worse - better + (2 * n + better - worse) * delta
    root = np.sqrt(np.maximum(b * b + 8 * n * better * delta * (1 - delta), 0.0))
    q = np.clip((root - b) / (4 * n), 0.0, (1 - delta) / 2)
    free = _plogp(worse, worse / n) + _plogp(better, better / n) + _plogp(rest, rest / n)
    held = _plogp(worse, q + delta) + _plogp(better, q) + _plogp(rest, 1 - delta - 2 * q)
    signed: Floats = np.sign(worse - better - n * delta) * np.sqrt(np.maximum(2 * (free - held), 0.0))
    return signed


def _as_good_as(counts: PairedCounts, delta: float) -> Integers:
    """The edge of all outcomes at least as good as what was seen: per count of ``better`` the largest ``worse``.

    The signed root grows with ``worse`` and falls with ``better``: its square has the derivatives 2 log(1 + μ/ν) and
    2 log(1 - μ/ν), with ν and μ the multipliers of the constrained estimate, and μ has the sign of the root. So a
    bisection finds the edge, and among all drops of δ or more that of δ has the largest tail.
    """
    n = counts.n
    seen = signed_root(np.array([float(counts.worse)]), np.array([float(counts.better)]), n, delta)[0]
    better = np.arange(n + 1, dtype=np.float64)
    low = np.full(n + 1, -1, dtype=np.int64)
    low[counts.better] = counts.worse
    high = np.arange(n, -1, -1, dtype=np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        good = signed_root(middle.astype(np.float64), better, n, delta) <= seen + 1e-9
        low = np.where(good, middle, low)
        high = np.where(good, high, middle - 1)
    return staircase(low)


def _largest_tail(edge: Integers, delta: float) -> float:
    """Largest probability of the outcomes within ``edge`` over all rates of ``better``, to about 1e-6 of itself."""

    def tails(angles: Floats) -> Floats:
        return below(edge, delta, (1 - delta) / 2 * np.sin(angles) ** 2)

    # In the arcsine of the root of a rate all tails are about equally smooth (Anscombe 1948), 1 / (2 √n) being one
    # standard deviation.
    angles = np.linspace(0, np.pi / 2, _SCAN + 2 * int(edge.size**0.5))
    found = tails(angles)
    padded = np.concatenate(([-1.0], found, [-1.0]))
    peaks = np.flatnonzero((found >= padded[:-2]) & (found >= padded[2:]))
    centres, reach = angles[peaks[np.argsort(found[peaks])[-_PEAKS:]]], angles[1]
    for _ in range(_ROUNDS):
        near = np.clip(centres[:, None] + np.linspace(-reach, reach, _ZOOM), 0, np.pi / 2)
        found = tails(near.ravel()).reshape(near.shape)
        centres, reach = near[np.arange(centres.size), found.argmax(axis=1)], reach * 2 / (_ZOOM - 1)
    return min(1.0, float(found.max()))


@lru_cache(maxsize=4096)
def non_inferiority_p_value(counts: PairedCounts, delta: float) -> float:
    """P-value of H0: the true drop is δ or more. Small means: the variant is inside the budget.

    Args:
        counts: the paired comparison.
        delta: the budget, 0 < δ < 1.
    """
    if not 0 < delta < 1:
        raise ValueError(f"a drop bound lies between 0 and 1, not {delta}")
    if counts.n == 0:
        return 1.0
    return _largest_tail(_as_good_as(counts, delta), delta)


@lru_cache(maxsize=4096)
def drop_upper_bound(counts: PairedCounts, confidence: float, delta: float, tolerance: float = 1e-5) -> float:
    """One-sided upper confidence bound of the drop, by inverting the exact test.

    Outcomes are ordered anew at each bound, so p need not fall steadily: with many flips on few samples it may rise
    again by about a thousandth beyond the bound. That is left alone, because an order kept from ``delta`` would cost
    half as much again (3 of 100 worse: 11.8 % instead of 7.6 %). The judge goes by the test at ``delta`` itself.

    Args:
        counts: the paired comparison.
        confidence: e.g. 0.95.
        delta: the budget; the bound is at or below it exactly where the test at ``delta`` says so.
        tolerance: the bound is rounded up by at most this much.

    Returns:
        The bound, in parts of 1. The test knows positive drops only, so it is always above 0.
    """
    if counts.n == 0:
        return 1.0
    alpha = 1 - confidence
    low, high = (0.0, delta) if non_inferiority_p_value(counts, delta) <= alpha else (delta, 1.0)
    low = max(low, min(counts.drop, high))
    gap_low, gap_high = 1 - log(alpha), -1.0
    # Regula falsi on log p (Illinois variant, Dowell and Jarratt 1971): p falls almost exponentially in the bound.
    while high - low > tolerance:
        share = min(max(gap_low / (gap_low - gap_high), 0.02), 0.98)
        middle = low + (high - low) * share
        gap = log(max(non_inferiority_p_value(counts, middle), 1e-300)) - log(alpha)
        if gap <= 0:
            high, gap_high, gap_low = middle, min(gap, -1e-12), gap_low / 2
        else:
            low, gap_low, gap_high = middle, gap, gap_high / 2
    return high


def drop_lower_bound(counts: PairedCounts, confidence: float) -> float:
    """One-sided lower confidence bound of the drop: two exact binomial bounds that share the error evenly."""
    share = 1 - (1 - confidence) / 2
    return lower_bound(counts.worse, counts.n, share) - upper_bound(counts.better, counts.n, share)


def samples_needed(counts: PairedCounts, delta: float, confidence: float, limit: int = 20_000) -> int | None:
    """About how many samples would show the budget kept if the rates seen so far held.

    Returns:
        The smallest such n found (never below what n takes when nothing flips), or ``None`` if no n up to
        ``limit`` would do, e.g. because the observed drop is at or over the budget.
    """
    alpha = 1 - confidence
    smallest = ceil(log(alpha) / log(1 - delta))
    if counts.worse == counts.better == 0:
        return smallest
    if counts.drop >= delta:
        return None

    def passes(n: int) -> bool:
        scale = n / counts.n
        seen = PairedCounts(n, ceil(counts.worse * scale), int(counts.better * scale))
        return non_inferiority_p_value(seen, delta) <= alpha

    low, high = smallest - 1, max(smallest, counts.n)
    while not passes(high):
        low, high = high, high * 2
        if high > limit:
            return None
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
