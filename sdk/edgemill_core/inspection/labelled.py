"""Labelled boxes, and found ones, in the frame that the model sees: what average precision compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.inspection.boxes import Floats, Whole
from edgemill_core.inspection.findings import Box, Finding
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Truth

LEAST_SEEN = 0.5
"""A labelled box of which the region shows less than this share counts neither way."""


@dataclass(frozen=True)
class Detections:
    """Everything that was found in one picture, down to low scores, the surest first.

    Attributes:
        corners: ``float64[n, 4]``: left, top, right, bottom in shares of what the model sees.
        scores: ``float64[n]``, never rising.
        kinds: ``int64[n]``, the class of each by number.
    """

    corners: Floats
    scores: Floats
    kinds: Whole


@dataclass(frozen=True)
class Labelled:
    """What is to be found in one picture.

    Attributes:
        corners: ``float64[n, 4]``, as those of detections.
        kinds: ``int64[n]``, the class of each by number.
        ignored: ``bool[n]``: finding it counts neither for nor against.
    """

    corners: Floats
    kinds: Whole
    ignored: NDArray[np.bool_]


def labelled_in(truth: Truth, classes: Sequence[str], declared: PictureInput) -> Labelled:
    """The truth's boxes in shares of the region that the model looks at, or of the whole picture.

    A box that the region cuts is cut to it; outside of it there is none.

    Raises:
        ValueError: the truth has no boxes or no size, or a box of a class that is none of ``classes``.
    """
    if truth.boxes is None or truth.size is None:
        raise ValueError("a truth without boxes, or without the size of its picture")
    region = declared.region
    origin, extent = ((region.x, region.y), (region.width, region.height)) if region else ((0, 0), truth.size)
    pixels = np.array([(b.left, b.top, b.right, b.bottom) for b in truth.boxes], np.float64).reshape(-1, 4)
    whole = (pixels - np.tile(origin, 2)) / np.tile(extent, 2)
    cut = np.clip(whole, 0.0, 1.0)
    seen = _area(cut) / np.maximum(_area(whole), 1e-300)
    kinds = np.array([classes.index(box.kind) for box in truth.boxes], np.int64)
    ignored = np.array([box.ignored for box in truth.boxes], np.bool_) | (seen < LEAST_SEEN)
    there = seen > 0
    return Labelled(cut[there], kinds[there], ignored[there])


def as_findings(labelled: Labelled, classes: Sequence[str]) -> list[Finding]:
    """The labels that count as findings that are beyond doubt, so that rules can be asked about them."""
    boxes = [Box(*(float(value) for value in corners)) for corners in labelled.corners[~labelled.ignored]]
    kinds = labelled.kinds[~labelled.ignored]
    return [Finding(classes[kind], 1.0, box, box.area) for kind, box in zip(kinds, boxes, strict=True)]


def _area(corners: Floats) -> Floats:
    area: Floats = np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1)
    return area
