"""Squares to learn from: cut out, turned, mirrored, moved against their template, with noise."""

from __future__ import annotations

import numpy as np
from layout import Boxes, Part
from pair import Colour, compose, disturbed, noisy

AT_A_DEFECT, GOOD = 0.7, 0.1
"""How often a square is laid around a defect; how often the part is replaced by its template, with nothing to find."""


def square(part: Part, side: int, rng: np.random.Generator) -> tuple[Colour, Boxes]:
    """A composed square and the boxes whose middle is in it."""
    top, left = _corner(part, side, rng)
    where = np.s_[top : top + side, left : left + side]
    template = part.template[where]
    if rng.random() < GOOD:
        test, boxes = disturbed(template, rng), part.boxes[:0]
    else:
        test, boxes = part.test[where], part.boxes - [left, top, left, top, 0]
        if rng.random() < 0.5:
            test, template = noisy(test, rng), disturbed(template, rng, furthest=1)
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    boxes = boxes[((middle >= 0) & (middle < side)).all(1)]
    return turned(compose(test, template), boxes, rng)


def turned(picture: Colour, boxes: Boxes, rng: np.random.Generator) -> tuple[Colour, Boxes]:
    """One of the eight ways to lay a square."""
    side = len(picture)
    if rng.random() < 0.5:
        picture, boxes = (
            picture[:, ::-1],
            np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], *boxes.T[3:]], 1),
        )
    if rng.random() < 0.5:
        picture, boxes = (
            picture[::-1],
            np.stack([boxes[:, 0], side - boxes[:, 3], boxes[:, 2], side - boxes[:, 1], boxes[:, 4]], 1),
        )
    if rng.random() < 0.5:
        picture, boxes = picture.swapaxes(0, 1), boxes[:, [1, 0, 3, 2, 4]]
    return np.ascontiguousarray(picture), boxes


def around(picture: Colour, middle: tuple[float, float], side: int) -> Colour:
    """The square around ``middle`` (x, y); beyond the picture its edge is repeated."""
    x, y = (round(value) - side // 2 for value in middle)
    rows = np.clip(np.arange(y, y + side), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, picture.shape[1] - 1)
    return np.ascontiguousarray(picture[rows[:, None], columns])


def _corner(part: Part, side: int, rng: np.random.Generator) -> tuple[int, int]:
    room = np.array(part.test.shape) - side
    if len(part.boxes) and rng.random() < AT_A_DEFECT:
        left, top, right, bottom, _ = part.boxes[rng.integers(len(part.boxes))]
        wish = np.array([(top + bottom) / 2, (left + right) / 2]) - rng.uniform(0.1, 0.9, 2) * side
        top, left = np.clip(wish.round().astype(int), 0, room)
        return int(top), int(left)
    return int(rng.integers(0, room[0] + 1)), int(rng.integers(0, room[1] + 1))


def spot_free_of(part: Part, apart: int, rng: np.random.Generator) -> tuple[float, float] | None:
    """A place on the edge of the pattern, at least ``apart`` pixels (along x or y) from every defect's box."""
    across = np.abs(np.diff(part.template.astype(np.int16), axis=1))[:-1] > 60
    down = np.abs(np.diff(part.template.astype(np.int16), axis=0))[:, :-1] > 60
    edge = across | down
    for left, top, right, bottom, _ in part.boxes:
        edge[max(0, top - apart) : bottom + apart, max(0, left - apart) : right + apart] = False
    places = np.flatnonzero(edge)
    if not len(places):
        return None
    y, x = np.unravel_index(rng.choice(places), edge.shape)
    return float(x), float(y)
