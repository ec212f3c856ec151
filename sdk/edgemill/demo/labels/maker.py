"""A part: paper, print, fault, camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgemill.demo.labels.codes import draw_code, draw_wrong_code
from edgemill.demo.labels.paint import SIZE, STICKER, Plane, Print, blob, paper, print_code
from edgemill.demo.labels.photographs import product
from edgemill.demo.labels.severity import (
    FAULTS,
    UNREADABLE_BLUR,
    UNREADABLE_INK,
    Nuisance,
    draw_nuisance,
)
from edgemill_runtimes.frames import Frame
from edgemill_runtimes.frames.opencv import cv2

_INK = np.array((30, 22, 20), np.float32)
_WHITE = np.array((255, 255, 255), np.float32)


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


@dataclass
class _Label:
    """A label while it is being made: print, paper and what lies over them."""

    ink: Plane
    paper: NDArray[np.float32]
    opacity: Plane
    glare: Plane
    dirt: Plane


class LabelMaker:
    """Makes parts by number.

    Args:
        seed: of everything.
        bad_share: probability that a part is bad.
    """

    def __init__(self, seed: int, bad_share: float = 0.2) -> None:
        self._seed = seed
        self._bad_share = bad_share

    def part(self, index: int) -> Part:
        """Part ``index``, the same one whenever it is asked for."""
        rng = np.random.default_rng([self._seed, index])
        expected = draw_code(rng)
        fault = str(rng.choice(FAULTS)) if rng.random() < self._bad_share else ""
        printed = draw_wrong_code(rng, expected) if fault == "wrong-code" else expected
        nuisance = _spoil_camera(rng, fault, draw_nuisance(rng))
        label = _label(rng, printed, fault)
        image = _photograph(rng, label, nuisance)
        return Part(image, expected, printed, fault == "", fault)


def _label(rng: np.random.Generator, code: str, fault: str) -> _Label:
    printed = print_code(rng, code)
    sheet, opacity = paper(rng)
    blank = np.zeros_like(opacity)
    label = _Label(printed.ink.copy(), sheet, opacity, blank, blank.copy())
    glyphs = printed.visible(code)
    if fault == "missing-glyph":
        for index in rng.choice(glyphs, int(rng.integers(1, 3)), replace=False):
            left, top, right, bottom = printed.glyphs[index]
            label.ink[top - 8 : bottom + 8, left:right] = 0
    elif fault == "smudge":
        label.dirt = blob(rng, printed.glyphs[int(rng.choice(glyphs))], float(rng.uniform(2, 8)))
    elif fault == "glare":
        label.glare = blob(rng, _neighbours(rng, printed, glyphs), float(rng.uniform(2, 10)))
    elif fault == "no-print":
        label.ink[:] = 0
    elif fault == "no-label":
        label.ink[:] = 0
        label.opacity[:] = 0
    return label


def _neighbours(rng: np.random.Generator, printed: Print, glyphs: list[int]) -> tuple[int, int, int, int]:
    """The common box of two glyphs that stand side by side."""
    pairs = [(a, b) for a, b in pairwise(glyphs) if b == a + 1]
    first, second = pairs[int(rng.integers(len(pairs)))]
    return (*printed.glyphs[first][:2], *printed.glyphs[second][2:])


def _spoil_camera(rng: np.random.Generator, fault: str, nuisance: Nuisance) -> Nuisance:
    """Faults that lie in place, focus or ink supply rather than in single glyphs."""
    if fault == "blur":
        return replace(nuisance, blur=float(rng.uniform(*UNREADABLE_BLUR)))
    if fault == "faded":
        return replace(nuisance, ink=float(rng.uniform(*UNREADABLE_INK)))
    if fault == "cut":
        side = -1 if rng.random() < 0.5 else 1
        return replace(nuisance, shift=(side * float(rng.uniform(130, 240)), nuisance.shift[1]))
    return nuisance


def _photograph(rng: np.random.Generator, label: _Label, nuisance: Nuisance) -> Frame:
    colour = label.paper
    _lay_over(colour, _INK, label.ink * np.float32(nuisance.ink))
    if label.dirt.any():
        _lay_over(colour, _INK, label.dirt)
    _lay_over(colour, _WHITE, _haze(rng, nuisance.haze))
    if label.glare.any():
        # The soft edge lies outside: inside the patch itself nothing of the print is left.
        _lay_over(colour, _WHITE, np.maximum(cv2.GaussianBlur(label.glare, (0, 0), 2), label.glare))
    warp = _warp(rng, nuisance)
    seen = cv2.warpPerspective(colour, warp, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    scene = product(rng, SIZE)
    _lay_over(scene, seen, cv2.warpPerspective(label.opacity, warp, SIZE, flags=cv2.INTER_LINEAR))
    if nuisance.blur > 0.3:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), nuisance.blur), np.float32)
    noisy = cv2.addWeighted(scene, nuisance.gain, _noise(rng), nuisance.noise, nuisance.offset, dtype=cv2.CV_8U)
    return np.asarray(noisy, np.uint8)


def _lay_over(under: NDArray[np.float32], over: NDArray[np.float32], opacity: Plane) -> None:
    """Paint ``over`` onto ``under``, in place because pictures of this size cost most in copies."""
    change = over - under
    change *= opacity[..., None]
    under += change


def _warp(rng: np.random.Generator, nuisance: Nuisance) -> NDArray[np.float64]:
    x, y, w, h = STICKER
    corners = np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], np.float64)
    centre = corners.mean(axis=0)
    angle = np.deg2rad(nuisance.tilt)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    moved = (corners - centre) @ turn.T + centre + nuisance.shift
    moved += rng.uniform(-nuisance.keystone, nuisance.keystone, moved.shape)
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32)))


def _haze(rng: np.random.Generator, strength: float) -> Plane:
    """A soft reflection somewhere on the label."""
    width, height = SIZE
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]
    x, y = float(rng.uniform(60, 580)), float(rng.uniform(110, 250))
    spread = float(rng.uniform(40, 120))
    distance = ((columns - x) ** 2 + (2 * (rows - y)) ** 2) / (2 * spread**2)
    return np.asarray(strength * np.exp(-distance), np.float32)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.float32]:
    width, height = SIZE
    bank = np.random.default_rng(0).standard_normal((height + 240, width + 320, 3), dtype=np.float32)
    bank.setflags(write=False)
    return bank


def _noise(rng: np.random.Generator) -> NDArray[np.float32]:
    """Sensor noise of sigma 1, cut at random from one large sheet because drawing it anew costs most of a part."""
    width, height = SIZE
    top, left = int(rng.integers(0, 240)), int(rng.integers(0, 320))
    return np.ascontiguousarray(_noise_bank()[top : top + height, left : left + width])
