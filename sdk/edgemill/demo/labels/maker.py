"""A part: paper, print, fault, camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgemill.demo.labels.camera import Label, photograph
from edgemill.demo.labels.codes import draw_code, draw_wrong_code
from edgemill.demo.labels.paint import CENTRE, LABEL, REGION, STICKER, haze, highlight, lay_over, paper, rubbed, smear
from edgemill.demo.labels.printing import Box, Line, set_line
from edgemill.demo.labels.severity import (
    CUT_GLYPHS,
    FAULTS,
    UNREADABLE_BLUR,
    UNREADABLE_INK,
    UNREADABLE_NOISE,
    Nuisance,
    draw_nuisance,
)
from edgemill_runtimes.frames import Frame

_INK, _WHITE = 22.0, 255.0
BATCH = 20
"""Parts of which exactly the share asked for is bad, so that a set of some batches has as many of each kind."""
_PLAY = 8
"""Pixels that tilt and perspective may move a glyph along the line."""


@dataclass(frozen=True)
class Part:
    """A picture and the truth about it.

    Attributes:
        image: ``uint8[360, 640, 3]``, blue-green-red.
        expected: the code that the line expects.
        printed: the code that went to the print head.
        good: ``printed`` is ``expected`` and every glyph is whole.
        fault: one of ``FAULTS``; empty for a good part.
    """

    image: Frame
    expected: str
    printed: str
    good: bool
    fault: str


@dataclass(frozen=True)
class Plan:
    """All that is decided about a part before it is painted; the tests hold the truth against it.

    Attributes:
        expected: the code that the line expects.
        fault: one of ``FAULTS``; empty for a good part.
        line: the code at the print head.
        lost: indices of the characters that the print head drops, or that a blot or a highlight takes away.
        nuisance: what the camera does.
    """

    expected: str
    fault: str
    line: Line
    lost: tuple[int, ...]
    nuisance: Nuisance


class LabelMaker:
    """Makes parts by number.

    Args:
        seed: of everything.
        bad_share: of every ``BATCH`` parts, rounded; parts that stay good under a larger share look the same.
    """

    def __init__(self, seed: int, bad_share: float = 0.2) -> None:
        self._seed = seed
        self._bad_share = bad_share

    def part(self, index: int) -> Part:
        """Part ``index``, the same one whenever it is asked for."""
        rng = np.random.default_rng([self._seed, index])
        plan = draw_plan(rng, self._is_bad(index))
        image = photograph(rng, _label(rng, plan), plan.nuisance)
        return Part(image, plan.expected, plan.line.code, plan.fault == "", plan.fault)

    def _is_bad(self, index: int) -> bool:
        batch, place = divmod(index, BATCH)
        ranks = np.random.default_rng([self._seed, batch, BATCH]).permutation(BATCH)
        return bool(ranks[place] < round(self._bad_share * BATCH))


def draw_plan(rng: np.random.Generator, bad: bool) -> Plan:
    """Decide what is printed, what is wrong with it, and how it is seen."""
    kind = str(rng.choice(FAULTS))
    fault = kind if bad else ""
    expected = draw_code(rng)
    line = set_line(rng, draw_wrong_code(rng, expected) if fault == "wrong-code" else expected, CENTRE)
    return Plan(expected, fault, line, _lose(rng, line, fault), _spoil(rng, line, fault, draw_nuisance(rng)))


def _lose(rng: np.random.Generator, line: Line, fault: str) -> tuple[int, ...]:
    if fault == "missing-glyph":
        return tuple(int(i) for i in rng.choice(line.legible, int(rng.integers(1, 3)), replace=False))
    if fault == "smudge":
        return (int(rng.choice(line.legible)),)
    if fault == "glare":
        return line.pair(rng)
    if fault in {"no-print", "no-label"}:
        return tuple(range(len(line.code)))
    return ()


def _spoil(rng: np.random.Generator, line: Line, fault: str, nuisance: Nuisance) -> Nuisance:
    """Faults that lie in place, focus or ink supply rather than in single glyphs."""
    if fault == "blur":
        return replace(nuisance, blur=float(rng.uniform(*UNREADABLE_BLUR)))
    if fault == "faded":
        ink, noise = float(rng.uniform(*UNREADABLE_INK)), float(rng.uniform(*UNREADABLE_NOISE))
        return replace(nuisance, ink=ink, noise=max(noise, nuisance.noise))
    if fault == "cut":
        return replace(nuisance, shift=(_cut_shift(rng, line), nuisance.shift[1]))
    return nuisance


def _cut_shift(rng: np.random.Generator, line: Line) -> float:
    """Pixels along the line that put its first or last few characters outside the region."""
    count = int(rng.integers(CUT_GLYPHS[0], CUT_GLYPHS[1] + 1))
    if rng.random() < 0.5:
        return float(REGION[0] - _PLAY - STICKER[0] - line.lefts[count])
    return float(REGION[0] + REGION[2] + _PLAY - STICKER[0] - line.lefts[-1 - count])


def _label(rng: np.random.Generator, plan: Plan) -> Label | None:
    if plan.fault == "no-label":
        return None
    colour = paper(rng)
    dropped = plan.lost if plan.fault in {"missing-glyph", "no-print"} else ()
    ink = plan.line.ink(LABEL, dropped) * rubbed(rng, plan.nuisance.wear)
    lay_over(colour, _INK, ink * np.float32(plan.nuisance.ink))
    if plan.fault == "smudge":
        lay_over(colour, _INK, smear(rng, _around(plan)))
    lay_over(colour, _WHITE, haze(rng, plan.nuisance.haze))
    return Label(colour, highlight(_around(plan)) if plan.fault == "glare" else None)


def _around(plan: Plan) -> Box:
    boxes = np.array([plan.line.box(index) for index in plan.lost])
    left, top = boxes[:, :2].min(0)
    right, bottom = boxes[:, 2:].max(0)
    return int(left), int(top), int(right), int(bottom)
