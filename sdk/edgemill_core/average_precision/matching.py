"""Which detection stands for which labelled box: once per picture, whatever weight the picture has later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgemill_core.average_precision.curves import Curve, Curves
from edgemill_core.inspection.boxes import Floats, intersection_over_union
from edgemill_core.inspection.labelled import Detections, Labelled

Marks = NDArray[np.int8]
HIT, FALSE, NEITHER = 1, 0, -1


def curves_of(found: Sequence[Detections], labelled: Sequence[Labelled], ious: Sequence[float]) -> tuple[Curves, ...]:
    """Match all pictures.

    Args:
        found: per picture.
        labelled: per picture, in the same order.
        ious: least intersections over union at which a detection stands for a labelled box.

    Returns:
        Per ``iou`` one curve for each class that has a labelled box anywhere, in the order of their numbers.
    """
    kinds = sorted({int(kind) for picture in labelled for kind in picture.kinds[~picture.ignored]})
    by_kind = [_of_class(found, labelled, kind, ious) for kind in kinds]
    return tuple(tuple(curves[index] for curves in by_kind) for index in range(len(ious)))


def _of_class(
    found: Sequence[Detections], labelled: Sequence[Labelled], kind: int, ious: Sequence[float]
) -> list[Curve]:
    scores, pictures, marks = [], [], []
    count = np.zeros(len(labelled), np.int64)
    for number, (seen, truth) in enumerate(zip(found, labelled, strict=True)):
        of_kind, wanted = seen.kinds == kind, truth.kinds == kind
        count[number] = int((wanted & ~truth.ignored).sum())
        if of_kind.any():
            scores.append(seen.scores[of_kind])
            pictures.append(np.full(len(scores[-1]), number))
            marks.append(match(seen.corners[of_kind], truth.corners[wanted], truth.ignored[wanted], ious))
    if not scores:
        return [Curve.of(kind, np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_), count) for _ in ious]
    all_scores, all_pictures, all_marks = (
        np.concatenate(scores),
        np.concatenate(pictures),
        np.concatenate(marks, axis=1),
    )
    counts = [mark != NEITHER for mark in all_marks]
    return [
        Curve.of(kind, all_scores[c], all_pictures[c], mark[c] == HIT, count)
        for c, mark in zip(counts, all_marks, strict=True)
    ]


def match(corners: Floats, wanted: Floats, ignored: NDArray[np.bool_], ious: Sequence[float]) -> Marks:
    """Mark the detections of one class in one picture.

    The surest detection takes the free labelled box that it overlaps most, if by ``iou`` or more (the rule of COCO's
    evaluation, Lin et al. 2014, "Microsoft COCO"; VOC's would count a second box on a taken label as false at once).
    One that takes none is false, unless the share ``iou`` of it lies in an ignored box: then it counts neither way.

    Args:
        corners: ``float64[n, 4]``, the surest first.
        wanted: ``float64[m, 4]``, the labelled boxes.
        ignored: ``bool[m]``.
        ious: each by itself.

    Returns:
        ``int8[len(ious), n]``: ``HIT``, ``FALSE`` or ``NEITHER``.
    """
    overlap = intersection_over_union(corners, wanted[~ignored])
    within = _share_within(corners, wanted[ignored])
    marks = np.full((len(ious), len(corners)), FALSE, np.int8)
    for mark, iou in zip(marks, ious, strict=True):
        mark[within >= iou] = NEITHER
        free = overlap.copy()
        for row in np.flatnonzero((overlap >= iou).any(axis=1)):
            best = int(free[row].argmax())
            if free[row, best] >= iou:
                mark[row] = HIT
                free[:, best] = -1.0
    return marks


def _share_within(corners: Floats, areas: Floats) -> Floats:
    """Largest share of each detection that one of ``areas`` covers; 0 where there are none."""
    if not len(areas):
        return np.zeros(len(corners))
    top_left = np.maximum(corners[:, None, :2], areas[None, :, :2])
    bottom_right = np.minimum(corners[:, None, 2:], areas[None, :, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    own = np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1)
    share: Floats = shared.max(axis=1) / np.maximum(own, 1e-300)
    return share
