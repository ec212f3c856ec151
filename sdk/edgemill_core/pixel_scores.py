"""Maps of scores beside masks, picture by picture, to sums that are small: what AUPRO and IoU are made from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgemill_core.evidence import PixelScores
from edgemill_core.inspection.regions import regions

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
FALSE_LIMIT = 0.3
"""Share of good pixels up to which AUPRO is integrated, as in Bergmann et al. (2021)."""
_STEPS, _BEYOND = 150, 10
_SAMPLED = 4096
"""Good pixels of a picture by which thresholds are chosen."""


def pixel_scores(
    count: int, scores: Callable[[int], Map], masks: Callable[[int], Mask | None], least: float
) -> PixelScores:
    """Look at each picture twice: once to choose thresholds, once to count.

    Thresholds are chosen among the scores of good pixels, densely where few of them are above; what is at or above
    each is then counted exactly.

    Args:
        count: pictures.
        scores: of one by its number, ``float[height, width]``, higher where a defect is likelier. One that is not all
            numbers finds nothing, and its part is taken to be unfit.
        masks: ``bool[height, width]``, true where a defect is; ``None`` where nobody knows.
        least: score from which on a pixel is found.
    """
    sampled, highest = [np.empty(0, np.float32)], np.zeros(count)
    most = np.float32(-np.inf)
    for number in range(count):
        looked, mask = np.asarray(scores(number), np.float32), masks(number)
        broken = not np.isfinite(looked).all()
        highest[number] = np.inf if broken else looked.max()
        if mask is not None and not broken:
            good = looked[~mask]
            most = good.max(initial=most)
            sampled.append(good[:: max(1, len(good) // _SAMPLED)])
    thresholds = _thresholds(np.concatenate(sampled), most)
    sums = np.zeros((2, count, len(thresholds)), np.float32)
    sizes = np.zeros((4, count))
    for number in range(count):
        mask = masks(number)
        if mask is not None:
            looked = np.asarray(scores(number), np.float32)
            if not np.isfinite(looked).all():
                looked = np.full_like(looked, -np.inf)
            sums[:, number], sizes[:, number] = _counted(looked, mask, thresholds, least)
    return PixelScores(-highest, sums[0], sums[1], *sizes)


def _thresholds(good: NDArray[np.float32], most: np.float32) -> NDArray[np.float32]:
    """Falling: the first is above every good pixel, the last below everything."""
    shares = FALSE_LIMIT * np.linspace(0, 1, _STEPS) ** 2
    shares = np.concatenate((shares, np.linspace(FALSE_LIMIT, 1, _BEYOND)[1:]))
    levels = np.quantile(good, 1 - shares) if len(good) else np.empty(0)
    ends = -np.inf, np.nextafter(most, np.float32(np.inf))
    found: NDArray[np.float32] = np.unique(np.append(levels, ends).astype(np.float32))[::-1]
    return found


def _counted(
    scores: Map, mask: Mask, thresholds: NDArray[np.float32], least: float
) -> tuple[NDArray[np.float64], tuple[float, float, float, float]]:
    """Of one picture: regions' shares and good pixels at or above each threshold; regions, good pixels, IoU's parts."""
    found, steps = scores >= least, len(thresholds)
    good = np.sort(scores[~mask])  # many: one sort is ten times as fast as a search for each
    false = len(good) - np.searchsorted(good, thresholds, side="left")
    numbers = regions(mask)[mask] - 1
    count = int(numbers.max(initial=-1)) + 1
    # Place of the highest threshold that each pixel reaches, among falling ones.
    place = steps - np.searchsorted(thresholds[::-1], scores[mask], side="right")
    reached = np.bincount(numbers * steps + place, minlength=count * steps).reshape(count, steps).cumsum(axis=1)
    shares = (reached / reached[:, -1:]).sum(axis=0)
    sizes = (float(count), float(len(good)), float((found & mask).sum()), float((found | mask).sum()))
    return np.stack((shares, false.astype(np.float64))), sizes
