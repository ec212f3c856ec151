"""Paper and what lies over it, on a flat label before the camera looks at it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgemill.demo.labels.printing import Box, Plane
from edgemill_runtimes.frames.opencv import cv2

SIZE = (640, 360)
"""Width and height of a picture, pixels."""
REGION = (80, 150, 480, 72)
"""x, y, width, height of the fixed region in which the code is read, pixels."""
STICKER = (44, 112, 552, 136)
"""x, y, width, height of the label at its nominal place, pixels."""
LABEL = STICKER[2:]
"""Width and height of the flat label, pixels."""
CENTRE = (REGION[0] + REGION[2] // 2 - STICKER[0], REGION[1] + REGION[3] // 2 - STICKER[1])
"""Middle of the region on the flat label."""

_SPOT = 5

Colour = NDArray[np.float32]


def paper(rng: np.random.Generator) -> Colour:
    """The sticker with a brand bar, a rule and a pattern of bars, ``float32[height, width, 3]``."""
    width, height = LABEL
    colour = np.empty((height, width, 3), np.float32)
    colour[:] = rng.uniform((215, 220, 220), (255, 255, 255)).astype(np.float32)
    brand = tuple(float(v) for v in rng.uniform(20, 160, 3))
    cv2.rectangle(colour, (0, 0), (width, 18), brand, -1)
    cv2.rectangle(colour, (14, 6), (14 + int(rng.integers(60, 160)), 11), (235, 235, 235), -1)
    cv2.line(colour, (10, height - 22), (width - 10, height - 22), (90, 90, 90), 1)
    lefts = 14 + np.cumsum(rng.integers(3, 9, 40))
    for left, thick in zip(lefts.tolist(), rng.integers(1, 4, 40).tolist(), strict=True):
        colour[height - 17 : height - 5, left : left + thick] = 40
    return colour


def lay_over(under: Colour, over: float, opacity: Plane) -> None:
    """Paint grey ``over`` onto ``under``, in place because copies of pictures cost most of a part."""
    keep = np.float32(1) - opacity
    under *= keep[..., None]
    under += (opacity * np.float32(over))[..., None]


def smear(rng: np.random.Generator, box: Box) -> Plane:
    """A blot that covers ``box`` wholly and trails off to one side, opacity on the flat label."""
    width, height = LABEL
    left, top, right, bottom = box
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    # The smallest ellipse around a rectangle has its half axes times sqrt(2); three pixels are for the lens' blur.
    half = (np.array([right - left, bottom - top]) / 2 + 3) * np.sqrt(2)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    wave = sum(rng.uniform(0.02, 0.06) * (1 + np.sin(k * angle + rng.uniform(0, 6.28))) for k in (2, 3, 5))
    radius = 1.01 + np.asarray(wave)
    outline = centre + half * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    blot = np.zeros((height, width), np.float32)
    cv2.fillPoly(blot, [np.rint(outline).astype(np.int32)], 1.0, cv2.LINE_AA)
    reach = int(rng.integers(30, 80))
    trail = cv2.blur(blot, (2 * reach + 1, 3))
    return np.asarray(np.maximum(blot, np.float32(rng.uniform(0.3, 0.9)) * trail), np.float32)


def rubbed(rng: np.random.Generator, wear: float) -> Plane:
    """Share of the ink that is left on the flat label: spots about ``_SPOT`` pixels wide lose up to ``wear`` of it."""
    width, height = LABEL
    spots = rng.random((height // _SPOT, width // _SPOT), dtype=np.float32)
    lost = np.asarray(cv2.resize(spots, LABEL, interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(1 - np.float32(wear) * lost, np.float32)


def highlight(box: Box) -> Plane:
    """A reflection that wipes out ``box`` wholly and fades around it, opacity on the flat label."""
    left, top, right, bottom = box
    half = (right - left) / 2 + 4, (bottom - top) / 2 + 4
    # At a corner of the box the exponent is 1; above full opacity the sensor is saturated.
    falloff = _bump((left + right) / 2, (top + bottom) / 2, half[0], half[1])
    return np.asarray(np.minimum(falloff * np.float32(np.e), 1), np.float32)


def haze(rng: np.random.Generator, strength: float) -> Plane:
    """A soft reflection somewhere on the label that leaves the print visible."""
    width, height = LABEL
    spread = float(rng.uniform(60, 170))
    return _bump(float(rng.uniform(0, width)), float(rng.uniform(0, height)), spread, spread / 2) * np.float32(strength)


def _bump(x: float, y: float, half_width: float, half_height: float) -> Plane:
    """A Gaussian that is 1 in the middle and 1/e at the corners of the box, ``float32`` on the flat label."""
    columns, rows = _grid()
    across = np.exp(-((columns - np.float32(x)) ** 2) / np.float32(2 * half_width**2))
    along = np.exp(-((rows - np.float32(y)) ** 2) / np.float32(2 * half_height**2))
    return np.asarray(along * across, np.float32)


@lru_cache(maxsize=1)
def _grid() -> tuple[Plane, Plane]:
    width, height = LABEL
    return np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
