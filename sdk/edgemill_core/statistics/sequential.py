"""Wald's sequential probability ratio test on a rate, cut off after so many samples, with its exact error rates.

After n samples of which k hit, the likelihood ratio of the rates ``high`` and ``low`` is

    (high / low)^k ((1 - high) / (1 - low))^(n - k).

At 1 / alpha or above, the rate is concluded to be high, at beta or below low, else one more sample is taken (Wald 1945,
Annals of Mathematical Statistics 16, 117-186). With these bounds the open-ended test errs by no more than alpha and
beta (his own, (1 - beta) / alpha and beta / (1 - alpha), bound their sum alone). What they leave unused is spent on an
end: the test is cut off at the first n at which some count tells the two rates apart and both errors, taken over all
samples from the first to that one, are still within alpha and beta. Nothing of this is approximated: each n has few
counts at which the test goes on, and their probabilities follow from those of n - 1 (Aroian 1968, Technometrics 10,
125-132).

Samples are taken to be independent, each with the same rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import ceil, floor, log, log1p
from statistics import NormalDist

import numpy as np

from edgemill_core.statistics.binomial import Floats

MOST_SAMPLES = 50_000
"""No test is made that may take more."""


class Conclusion(str, Enum):
    """What a test says of a rate."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Reached:
    """Where a test ended, or is.

    Attributes:
        seen: samples.
        hits: of these.
        conclusion: ``None``: not yet.
    """

    seen: int
    hits: int
    conclusion: Conclusion | None


START = Reached(0, 0, None)
"""Before the first sample."""


@dataclass(frozen=True)
class Characteristic:
    """What a test does at one rate, exactly.

    Attributes:
        high: probability that it concludes ``HIGH``.
        samples: that it takes, on the average.
    """

    high: float
    samples: float


@dataclass(frozen=True)
class SequentialTest:
    """Two bounds for each number of samples.

    Attributes:
        accept: the most hits of n samples with which the rate is low, at n - 1; -1 where no count is.
        reject: the fewest with which it is high. The last two leave nothing between them.
    """

    accept: tuple[int, ...]
    reject: tuple[int, ...]

    @property
    def most(self) -> int:
        """Samples after which it has decided, whatever they are."""
        return len(self.reject)

    def conclusion(self, seen: int, hits: int) -> Conclusion | None:
        """What is concluded after ``seen`` samples, unless something was before; ``None``: take one more."""
        if not seen:
            return None
        if hits >= self.reject[seen - 1]:
            return Conclusion.HIGH
        return Conclusion.LOW if hits <= self.accept[seen - 1] else None

    def walk(self, samples: Iterable[bool]) -> Reached:
        """Take samples until it concludes, or there are no more."""
        at = START
        for hit in samples:
            at = self.step(at, hit)
            if at.conclusion is not None:
                break
        return at

    def step(self, at: Reached, hit: bool) -> Reached:
        """One more sample; none is taken once it has concluded."""
        if at.conclusion is not None:
            return at
        seen, hits = at.seen + 1, at.hits + hit
        return Reached(seen, hits, self.conclusion(seen, hits))

    def characteristic(self, rate: float) -> Characteristic:
        """What it does where ``rate``, from 0 to 1, is the true one."""
        high = samples = 0.0
        going, lowest = np.ones(1), 0
        for accept, reject in zip(self.accept, self.reject, strict=True):
            samples += float(going.sum())
            going, lowest, _, over = _one_more(going, lowest, rate, accept, reject)
            high += over
        return Characteristic(high, samples)


@lru_cache(maxsize=32)
def sequential_test(low: float, high: float, alpha: float, beta: float) -> SequentialTest:
    """The test of a rate of ``low`` or less against one of ``high`` or more.

    Args:
        low: 0 < low < high.
        high: below 1.
        alpha: most that the probability of concluding ``HIGH`` may be at any rate up to ``low``; 0 < alpha < 1/2.
        beta: of concluding ``LOW`` at any rate from ``high`` on.

    Raises:
        ValueError: no such test, or none that ends within ``MOST_SAMPLES``.
    """
    if not (0 < low < high < 1 and 0 < alpha < 0.5 and 0 < beta < 0.5):
        raise ValueError("rates must be 0 < low < high < 1, errors between 0 and 1/2")
    too_many = f"a rate of {low:g} is not told from {high:g} within {MOST_SAMPLES} samples; name rates further apart"
    if _of_a_fixed_size(low, high, alpha, beta) > MOST_SAMPLES:
        raise ValueError(too_many)
    accepts: list[int] = []
    rejects: list[int] = []
    at = [_Going(low), _Going(high)]
    for accept, reject in _bounds(low, high, alpha, beta):
        for one in at:
            one.go_on(accept, reject)
        if (cut := _cut(at[0], at[1], alpha, beta)) is not None:
            return SequentialTest((*accepts, cut - 1), (*rejects, cut))
        accepts.append(accept)
        rejects.append(reject)
    raise ValueError(too_many)


def _of_a_fixed_size(low: float, high: float, alpha: float, beta: float) -> float:
    """Samples that a test of one size would take, about; no bound, but tells what is out of reach."""
    a, b = (-NormalDist().inv_cdf(error) for error in (alpha, beta))
    spread = a * (low * (1 - low)) ** 0.5 + b * (high * (1 - high)) ** 0.5
    return float((spread / (high - low)) ** 2)


def _bounds(low: float, high: float, alpha: float, beta: float) -> Iterator[tuple[int, int]]:
    down = log1p(-low) - log1p(-high)
    step = log(high) - log(low) + down
    for seen in range(1, MOST_SAMPLES + 1):
        accept = floor((log(beta) + seen * down) / step)
        yield max(-1, accept), ceil((seen * down - log(alpha)) / step)


class _Going:
    """Where the test still goes on at one rate.

    Attributes:
        mass: probability of each count from ``lowest`` on at which one more sample is taken.
        under: that it concluded ``LOW`` so far.
        over: that it concluded ``HIGH``.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.mass, self.lowest = rate, np.ones(1), 0
        self.under = self.over = 0.0

    def go_on(self, accept: int, reject: int) -> None:
        self.mass, self.lowest, under, over = _one_more(self.mass, self.lowest, self.rate, accept, reject)
        self.under, self.over = self.under + under, self.over + over


def _one_more(going: Floats, lowest: int, rate: float, accept: int, reject: int) -> tuple[Floats, int, float, float]:
    """Counts at which the test goes on after one more sample, the lowest of them, and what was concluded by it."""
    after = np.zeros(going.size + 1)
    after[:-1] = going * (1 - rate)
    after[1:] += going * rate
    first, last = max(0, accept + 1 - lowest), max(0, reject - lowest)
    return after[first:last], lowest + first, float(after[:first].sum()), float(after[last:].sum())


def _cut(at_low: _Going, at_high: _Going, alpha: float, beta: float) -> int | None:
    """The fewest hits with which the rate may be called high, and with any less low; ``None`` if no number will do."""
    above = np.concatenate((np.cumsum(at_low.mass[::-1])[::-1], [0.0]))
    below = np.concatenate(([0.0], np.cumsum(at_high.mass)))
    holds = (at_low.over + above <= alpha) & (at_high.under + below <= beta)
    return at_low.lowest + int(np.argmax(holds)) if holds.any() else None
