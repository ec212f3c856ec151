"""Probability that (worse, better, rest) of n paired samples falls under a staircase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.statistics.binomial import Floats, log_factorials

Integers = NDArray[np.int64]

_CELLS = 500_000
"""Terms held in memory at a time."""


def staircase(edge: Integers) -> Integers:
    """The smallest edge at or above ``edge`` that never falls, as far as n lets it rise.

    Args:
        edge: ``int64[n + 1]``, per count of ``better`` the largest ``worse`` inside, -1 for none.
    """
    highest: Integers = np.minimum(np.maximum.accumulate(edge), np.arange(edge.size - 1, -1, -1))
    return highest


def below(edge: Integers, delta: float, better_rates: Floats) -> Floats:
    """P(worse ≤ edge[better]) where P(worse) = P(better) + δ, for each rate of ``better``.

    Given ``better``, ``worse`` is binomial. Along the staircase its distribution function grows by one positive term
    a step: F(k+1; m) = F(k; m) + pmf(k+1; m) up the stairs, and F(k; m-1) = F(k; m) + p pmf(k; m-1) as one more
    ``better`` takes a trial away. So nothing is left out and nothing cancels.

    Args:
        edge: ``int64[n + 1]``, a ``staircase`` with at least one outcome inside.
        delta: the drop, 0 < δ < 1.
        better_rates: each from 0 to (1 - δ) / 2.
    """
    steps = _Walk(edge)
    pieces = max(1, 2 * edge.size * better_rates.size // _CELLS)
    return np.concatenate([steps.tails(delta, rates) for rates in np.array_split(better_rates, pieces)])


class _Walk:
    """The steps along a staircase, from its first outcome to where it holds every outcome of a column."""

    def __init__(self, edge: Integers) -> None:
        self.n = edge.size - 1
        first = int(np.argmax(edge >= 0))
        self.last = int(np.argmax(edge == np.arange(self.n, -1, -1)))
        inner = edge[first : self.last]
        before = np.concatenate(([-1], inner))[:-1]
        steps = inner - before + 1
        column = np.repeat(np.arange(inner.size), steps)
        climbed = np.arange(column.size) - np.repeat(np.cumsum(steps) - steps, steps)
        # The very first step would come from a column before the first; there is none.
        self.worse = (before[column] + climbed)[1:]
        self.trials = (self.n - first - column)[1:]
        self.trial_lost = (climbed == 0)[1:]
        self.columns = slice(first, self.last)
        self.ends = np.cumsum(steps) - 2
        logs = log_factorials(self.n)
        self.ways = logs[self.trials] - logs[self.worse] - logs[self.trials - self.worse]
        self.better = np.arange(self.n + 1)
        self.better_ways = logs[self.n] - logs[self.better] - logs[self.n - self.better]

    def tails(self, delta: float, better_rates: Floats) -> Floats:
        """One probability per rate."""
        q = np.maximum(better_rates, 1e-300)[:, None]
        p = np.minimum((q + delta) / (1 - q), 1 - 1e-16)
        better = np.exp(self.better_ways + self.better * np.log(q) + (self.n - self.better) * np.log1p(-q))
        exponent = self.ways + (self.worse + self.trial_lost) * np.log(p) + (self.trials - self.worse) * np.log1p(-p)
        inside = np.ones_like(better)
        inside[:, : self.columns.start] = 0.0
        inside[:, self.columns] = np.cumsum(np.exp(exponent), axis=1)[:, self.ends]
        total: Floats = (better * inside).sum(axis=1)
        return total
