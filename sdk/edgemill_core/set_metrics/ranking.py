"""Area under the receiver operating characteristic of the decision whether a part is fit."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgemill_core.evidence import ClassScores, Floats, PixelScores, Side
from edgemill_core.set_metrics.base import Rarest, Statistic, Weights, divided, lacking


class RankedRight(Statistic):
    """The chance that a good part ranks above a bad one, equal scores counting half (Mann and Whitney 1947).

    A sample's own part is the share of parts of the other kind that it stands right to: the structural components of
    DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44, 837-845. Their normal bound is not used: it is 0 wide where nothing differs.

    Args:
        fitness: ``float64[samples]``.
        good: ``bool[samples]``.
    """

    chance: ClassVar[float] = 0.5

    def __init__(self, fitness: Floats, good: NDArray[np.bool_]) -> None:
        self._good = np.flatnonzero(good)
        bad = np.flatnonzero(~good)
        self._bad = bad[np.argsort(fitness[bad], kind="stable")]
        ranked, above = fitness[self._bad], fitness[self._good]
        self._below = np.searchsorted(ranked, above, "left"), np.searchsorted(ranked, above, "right")
        self.each = self._own_parts(len(fitness), ranked, np.sort(above))
        kind, count = min((("good", len(self._good)), ("bad", len(bad))), key=lambda one: one[1])
        self.rarest = Rarest(kind, count)

    def _own_parts(self, count: int, ranked: Floats, above: Floats) -> Floats:
        each = np.full(count, np.nan)
        if len(ranked) and len(above):
            each[self._good] = sum(self._below) / 2 / len(ranked)
            beneath = np.searchsorted(above, ranked, "left") + np.searchsorted(above, ranked, "right")
            each[self._bad] = 1 - beneath / 2 / len(above)
        return each

    def _at(self, weights: Weights) -> Floats:
        good, bad = weights[self._good], weights[self._bad]
        so_far = np.concatenate((np.zeros((1, weights.shape[1]), np.float32), np.cumsum(bad, axis=0)))
        low, high = self._below
        right = np.einsum("gw,gw->w", good, so_far[low] + so_far[high], dtype=np.float64) / 2
        return divided(right, good.sum(axis=0, dtype=np.float64) * so_far[-1])


def area_under_roc(side: Side) -> Statistic:
    """How well good parts are told from bad ones, whatever the limits.

    Raises:
        DataError: the task gives no scores.
    """
    if not isinstance(side.evidence, (ClassScores, PixelScores)):
        raise lacking("auroc", "how fit the task takes each part to be", side)
    return RankedRight(side.evidence.fitness, np.array([truth.good for truth in side.truths], np.bool_))
