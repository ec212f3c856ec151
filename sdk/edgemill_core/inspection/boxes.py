"""Boxes that stand for the same thing: the surest one stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def suppress(boxes: Floats, scores: Floats, kinds: Whole, most_overlap: float) -> Whole:
    """Non-maximum suppression, each class by itself.

    Args:
        boxes: ``float64[n, 4]``: left, top, right, bottom.
        scores: ``float64[n]``.
        kinds: ``int64[n]``, the class of each.
        most_overlap: intersection over union above which the less sure of two boxes of one class goes.

    Returns:
        Indices of those that stay, the surest first; of equal scores the first one.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, kinds = boxes[order], kinds[order]
    overlap = intersection_over_union(boxes, boxes)
    rivals = (overlap > most_overlap) & (kinds[:, None] == kinds[None, :])
    alive = np.ones(len(order), bool)
    for index in range(len(order)):
        if alive[index]:
            alive[index + 1 :] &= ~rivals[index, index + 1 :]
    kept: Whole = order[alive].astype(np.int64)
    return kept


def intersection_over_union(one: Floats, other: Floats) -> Floats:
    """Of every box of ``one`` with every box of ``other``: ``float64[n, m]``; 0 where both are empty."""
    top_left = np.maximum(one[:, None, :2], other[None, :, :2])
    bottom_right = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    union = _area(one)[:, None] + _area(other)[None, :] - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def _area(boxes: Floats) -> Floats:
    area: Floats = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return area
