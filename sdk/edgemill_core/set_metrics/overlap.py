"""Area under the per-region overlap: how much of each defect is found, whatever its size and whatever the threshold."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgemill_core.evidence import Floats, PixelScores, Side
from edgemill_core.pixel_scores import FALSE_LIMIT
from edgemill_core.set_metrics.base import Rarest, Statistic, Weights, lacking


class RegionsCovered(Statistic):
    """AUPRO: mean share of each defect region that is found, over the share of good pixels that are.

    Integrated up to a share of 0.3 and divided by it (Bergmann, Batzner, Fauser, Sattlegger and Steger 2021, "The MVTec
    Anomaly Detection Dataset", IJCV 129, section 5.2).
    """

    chance: ClassVar[float] = FALSE_LIMIT / 2

    def __init__(self, pixels: PixelScores) -> None:
        self._pixels = pixels
        shows = pixels.regions > 0
        self.rarest = Rarest("pictures with a defect", int(shows.sum()))
        self.each = np.full(len(shows), np.nan)
        if shows.any() and pixels.good.sum() > 0:
            false = pixels.false.sum(axis=0, dtype=np.float64) / pixels.good.sum()
            own = pixels.overlaps[shows] / pixels.regions[shows, None]
            self.each[shows] = _area(np.repeat(false[:, None], int(shows.sum()), axis=1), own.T)

    def _at(self, weights: Weights) -> Floats:
        regions, good = (np.asarray(one @ weights, np.float64) for one in (self._pixels.regions, self._pixels.good))
        there = (regions > 0) & (good > 0)
        overlap = self._pixels.overlaps.T @ weights / np.where(there, regions, 1)
        false = self._pixels.false.T @ weights / np.where(there, good, 1)
        return np.where(there, _area(false, overlap), np.nan)


def _area(false: Floats, overlap: Floats) -> Floats:
    """Below ``overlap`` over ``false``, both ``[thresholds, curves]`` and rising from 0, up to the limit."""
    x = np.concatenate((np.zeros((1, false.shape[1])), false))
    y = np.concatenate((np.zeros((1, overlap.shape[1])), overlap))
    start, end = np.minimum(x[:-1], FALSE_LIMIT), np.minimum(x[1:], FALSE_LIMIT)
    step = np.diff(x, axis=0)
    share = np.divide(end - start, step, out=np.zeros_like(step), where=step > 0)
    area: Floats = ((end - start) * (y[:-1] + share * np.diff(y, axis=0) / 2)).sum(axis=0) / FALSE_LIMIT
    return area


def area_under_per_region_overlap(side: Side) -> Statistic:
    """Of all defect regions that masks show.

    Raises:
        DataError: the task scores no pixels.
    """
    if not isinstance(side.evidence, PixelScores):
        raise lacking("aupro", "a score for every pixel", side)
    return RegionsCovered(side.evidence)
