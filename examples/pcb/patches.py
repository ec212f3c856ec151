"""Patches around labelled defects and around good places of the same parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from augment import around, spot_free_of, turned
from layout import KINDS, Boxes, Part
from pair import Colour, compose, disturbed, noisy

CLASSES = (*KINDS, "good")
SIDE = 96
"""Of a patch, in pixels: a defect's box is 38 long at the median, and what it is shows in what is around it."""
APART = 32
"""A good place has no defect's box within so many pixels, along x or y."""
JITTER = 6.0
NO_BOXES: Boxes = np.zeros((0, 5), np.int64)


@dataclass(frozen=True)
class Place:
    """The middle of a patch, in pixels, and its class, counted as in ``CLASSES``."""

    part: Part
    x: float
    y: float
    kind: int


def defects(parts: list[Part]) -> list[Place]:
    """One a labelled defect, at the middle of its box."""
    found = []
    for part in parts:
        for left, top, right, bottom, kind in part.boxes.tolist():
            found.append(Place(part, (left + right) / 2, (top + bottom) / 2, kind))
    return found


def good_places(parts: list[Part], rng: np.random.Generator) -> Iterator[Place]:
    """As many of each part as it has defects, where pattern ends and board begins: that is where doubt is."""
    for part in parts:
        for _ in range(len(part.boxes)):
            spot = spot_free_of(part, APART, rng)
            if spot is not None:
                yield Place(part, *spot, CLASSES.index("good"))


def seen(place: Place) -> Colour:
    """The patch as the box sees it."""
    return around(compose(place.part.test, place.part.template), (place.x, place.y), SIDE)


def varied(place: Place, rng: np.random.Generator) -> Colour:
    """The patch as training sees it: off its middle, turned, with noise, its template moved by a pixel."""
    middle = (place.x + rng.uniform(-JITTER, JITTER), place.y + rng.uniform(-JITTER, JITTER))
    test, template = (around(grey, middle, SIDE) for grey in (place.part.test, place.part.template))
    if rng.random() < 0.5:
        test, template = noisy(test, rng), disturbed(template, rng, furthest=1)
    return turned(compose(test, template), NO_BOXES, rng)[0]
