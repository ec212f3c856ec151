"""Boxes that stand for the same thing: the surest one stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def suppress(boxes: Floats, scores: Floats, kinds: Whole, most_overlap: float, most: int | None = None) -> Whole:
    """Non-maximum suppression, each class by itself.

    Args:
        boxes: ``float64[n, 4]``: left, top, right, bottom.
        scores: ``float64[n]``.
        kinds: ``int64[n]``, the class of each.
        most_overlap: intersection over union above which the less sure of two boxes of one class goes.
        most: of one class that stay; no limit if not given. It is counted after suppression, so that boxes of one
            thing, or of one class, never push out another.

    Returns:
        Indices of those that stay, the surest first; of equal scores the first one.
    """
    kept: list[int] = []
    for kind in np.unique(kinds):
        of_kind = np.flatnonzero(kinds == kind)
        left, stay = of_kind[np.argsort(-scores[of_kind], kind="stable")], 0
        while len(left) and stay != most:
            first, left, stay = left[0], left[1:], stay + 1
            kept.append(int(first))
            left = left[intersection_over_union(boxes[first][None], boxes[left])[0] <= most_overlap]
    found = np.sort(np.asarray(kept, np.int64))
    surest: Whole = found[np.argsort(-scores[found], kind="stable")]
    return surest


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
