"""Average precision from weights of pictures: one sort, then cumulative sums for as many weightings as are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from edgemill_core.inspection.boxes import Floats, Whole

_CELLS = 8_000_000
"""Detections times weightings held in memory at a time."""


@dataclass(frozen=True)
class Curve:
    """All detections of one class over all pictures, the surest first.

    Attributes:
        pictures: ``int64[n]``: the picture that each is in.
        of_hits: ``int64[h]``: the picture of each that stands for a labelled box.
        ends: ``int64[g]``: the last detection of each run of equal scores that holds a hit.
        hit_ends: ``int64[g]``: the last hit of the same runs, among the hits.
        labelled: ``float64[pictures]``: labelled boxes in each picture.
        kind: the class, by number.
    """

    kind: int
    pictures: Whole
    of_hits: Whole
    ends: Whole
    hit_ends: Whole
    labelled: Floats

    @classmethod
    def of(cls, kind: int, scores: Floats, pictures: Whole, hit: NDArray[np.bool_], labelled: Whole) -> Curve:
        """Sort the detections of a class.

        Equal scores are one threshold: INT8 gives many of them, and an order among them would be chance. Runs without
        a hit are left out, because precision only falls in them and recall stands still.
        """
        order = np.argsort(-scores, kind="stable")
        ranked, hits = scores[order], hit[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
        so_far = np.cumsum(hits)[last]
        gains = np.diff(so_far, prepend=0) > 0
        ranked_pictures = pictures[order]
        hit_ends = so_far[gains] - 1
        return cls(kind, ranked_pictures, ranked_pictures[hits], last[gains], hit_ends, labelled.astype(np.float64))


Curves = tuple[Curve, ...]


def average_precision(curve: Curve, weights: NDArray[np.float32]) -> Floats:
    """Area under precision over recall, with precision made never to rise again from the right.

    All points count (Everingham et al. 2015, "The PASCAL Visual Object Classes Challenge: A Retrospective", as used
    from VOC 2010 on; COCO's 101 points of recall give about the same).

    Args:
        curve: of one class.
        weights: ``float32[pictures, weightings]``, whole numbers: how often each picture counts.

    Returns:
        ``float64[weightings]``; NaN where no labelled box has a weight.
    """
    labelled = curve.labelled @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        if not len(curve.ends):
            return np.where(labelled > 0, 0.0, np.nan)
        right = np.cumsum(weights[curve.of_hits], axis=0)[curve.hit_ends]
        seen = np.cumsum(weights[curve.pictures], axis=0)[curve.ends]
        precision = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        best_behind = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        gained = np.diff(right, axis=0, prepend=np.float32(0))
        area: Floats = np.einsum("gw,gw->w", gained, best_behind, dtype=np.float64) / labelled
        return np.where(labelled > 0, area, np.nan)


def mean_average_precision(by_iou: Sequence[Curves], weights: NDArray[np.float32]) -> Floats:
    """Mean over classes that have labelled boxes, then over intersections over union.

    Args:
        by_iou: the curves of each.
        weights: ``float32[pictures, weightings]``.

    Returns:
        ``float64[weightings]``; NaN where no labelled box has a weight.
    """
    most = max((len(curve.pictures) for curves in by_iou for curve in curves), default=0)
    pieces = np.array_split(np.arange(weights.shape[1]), ceil(most * weights.shape[1] / _CELLS) or 1)
    return np.concatenate([_mean(by_iou, np.ascontiguousarray(weights[:, piece])) for piece in pieces])


def _mean(by_iou: Sequence[Curves], weights: NDArray[np.float32]) -> Floats:
    each = np.array([[average_precision(curve, weights) for curve in curves] for curves in by_iou])
    each = each.reshape(len(by_iou), -1, weights.shape[1])
    there = np.isfinite(each)
    count = there.sum(axis=1)
    total = np.where(there, each, 0.0).sum(axis=1)
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).mean(axis=0)
    return means
