"""The camera: a flat label on a product, seen from nearly straight above."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgemill.demo.labels.paint import LABEL, SIZE, STICKER, Colour
from edgemill.demo.labels.photographs import product
from edgemill.demo.labels.printing import Plane
from edgemill.demo.labels.severity import Nuisance
from edgemill_runtimes.frames import Frame
from edgemill_runtimes.frames.opencv import cv2

_NOISE_MARGIN = (320, 240)
_NOISE_UNIT = 64
_VIGNETTES = 8
_SATURATED = 300
"""Grey levels; so far above what a pixel can hold that noise does not bring it back."""


@dataclass(frozen=True)
class Label:
    """A label ready to be stuck on.

    Attributes:
        colour: printed paper, ``float32[height, width, 3]``.
        highlight: reflection that saturates the sensor, opacity on the label; ``None`` where there is none.
    """

    colour: Colour
    highlight: Plane | None = None


def photograph(rng: np.random.Generator, label: Label | None, nuisance: Nuisance) -> Frame:
    """Stick ``label`` on a random product and take the picture; without a label the product alone."""
    warp = warp_of(rng, nuisance)
    scene = product(rng, SIZE)
    if label is not None:
        _stick(scene, label.colour, warp)
    if nuisance.blur > 0.3:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), nuisance.blur), np.uint8)
    light = _vignette(round(nuisance.vignette * _VIGNETTES))
    # Whole grey levels from here on: half the memory, which is what costs most, and sensors count in them too.
    lit = np.asarray(cv2.multiply(scene, light, scale=nuisance.gain / 255, dtype=cv2.CV_16S), np.int16)
    if label is not None and label.highlight is not None:
        shine = cv2.warpPerspective(label.highlight, warp, SIZE, flags=cv2.INTER_LINEAR)
        lit += ((_SATURATED - lit) * shine[..., None]).astype(np.int16)
    strength = nuisance.noise / _NOISE_UNIT
    noisy = cv2.addWeighted(lit, 1.0, _noise(rng), strength, nuisance.offset, dtype=cv2.CV_8U)
    return np.asarray(noisy, np.uint8)


def warp_of(rng: np.random.Generator, nuisance: Nuisance) -> NDArray[np.float64]:
    """The perspective that takes the flat label to its place in the picture, ``float64[3, 3]``."""
    x, y, w, h = STICKER
    flat = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64)
    angle = np.deg2rad(nuisance.tilt)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    middle = np.array([w, h]) / 2
    moved = (flat - middle) @ turn.T + middle + (x, y) + nuisance.shift
    moved += rng.uniform(-nuisance.keystone, nuisance.keystone, moved.shape)
    return np.asarray(cv2.getPerspectiveTransform(flat.astype(np.float32), moved.astype(np.float32)), np.float64)


def _stick(scene: Frame, colour: Colour, warp: NDArray[np.float64]) -> None:
    """Lay the label on the scene, in place, within the rows that it can reach."""
    left, top, right, bottom = _reach(warp)
    part = scene[top:bottom, left:right]
    shift = np.array([(1, 0, -left), (0, 1, -top), (0, 0, 1)], np.float64) @ warp
    size = (right - left, bottom - top)
    paper = np.clip(colour, 0, 255).astype(np.uint8)
    seen = cv2.warpPerspective(paper, shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(_solid(), shift, size, flags=cv2.INTER_LINEAR)
    part[:] = cv2.blendLinear(seen, np.ascontiguousarray(part), cover, 1 - cover)


def _reach(warp: NDArray[np.float64]) -> tuple[int, int, int, int]:
    width, height = LABEL
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float64)
    places = cv2.perspectiveTransform(corners, warp)[0]
    left, top = np.clip(np.floor(places.min(0)) - 1, 0, SIZE).astype(int)
    right, bottom = np.clip(np.ceil(places.max(0)) + 2, 0, SIZE).astype(int)
    return int(left), int(top), int(right), int(bottom)


@lru_cache(maxsize=1)
def _solid() -> Plane:
    return np.ones(LABEL[::-1], np.float32)


@lru_cache(maxsize=_VIGNETTES + 1)
def _vignette(step: int) -> Frame:
    """Light per pixel, 255 in the middle; ``step`` of ``_VIGNETTES`` is lost in the corners."""
    width, height = SIZE
    columns, rows = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    light = 1 - step / _VIGNETTES * (columns**2 + rows**2) / 2
    return np.repeat(np.rint(255 * light[..., None]).astype(np.uint8), 3, axis=2)


@lru_cache(maxsize=1)
def _noise_bank() -> NDArray[np.int16]:
    width, height = SIZE[0] + _NOISE_MARGIN[0], SIZE[1] + _NOISE_MARGIN[1]
    drawn = np.random.default_rng(0).standard_normal((height, width, 3), dtype=np.float32)
    bank = np.rint(drawn * _NOISE_UNIT).astype(np.int16)
    bank.setflags(write=False)
    return bank


def _noise(rng: np.random.Generator) -> NDArray[np.int16]:
    """Noise of sigma ``_NOISE_UNIT``, cut at random from one large sheet: drawing it anew would cost most of a part."""
    width, height = SIZE
    left, top = (int(rng.integers(0, margin)) for margin in _NOISE_MARGIN)
    return _noise_bank()[top : top + height, left : left + width]
