"""Paper, print and what happens to them, on a flat canvas before the camera looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgemill_runtimes.frames.opencv import cv2

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Plane = NDArray[np.float32]

SIZE = (640, 360)
"""Width and height of a picture, pixels."""
REGION = (80, 150, 480, 72)
"""x, y, width, height of the fixed region in which the code is read, pixels."""
STICKER = (44, 112, 552, 136)
"""x, y, width, height of the label at its nominal place, pixels."""
_FONTS = ("DejaVuSansMono-Bold.ttf", "DejaVuSansMono.ttf")


@dataclass(frozen=True)
class Print:
    """A code as printed.

    Attributes:
        ink: opacity per pixel, ``float32[height, width]`` in 0 to 1.
        glyphs: per character its box ``(left, top, right, bottom)``, pixels; a space has an empty print.
    """

    ink: Plane
    glyphs: tuple[tuple[int, int, int, int], ...]

    def visible(self, code: str) -> list[int]:
        """Indices of the characters that carry ink enough to tell them by: neither space nor hyphen."""
        return [index for index, character in enumerate(code) if character not in " -"]


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def print_code(rng: np.random.Generator, code: str) -> Print:
    """Print ``code`` in the middle of the region, in one of several weights and sizes."""
    from PIL import Image, ImageDraw

    name, size = str(rng.choice(_FONTS)), int(rng.integers(44, 51))
    canvas = Image.new("L", SIZE)
    draw = ImageDraw.Draw(canvas)
    advance = draw.textlength("0", font=_font(name, size))
    x, y, width, height = REGION
    left = x + (width - advance * len(code)) / 2 + float(rng.uniform(-8, 8))
    middle = y + height / 2
    for index, character in enumerate(code):
        draw.text((left + index * advance, middle), character, fill=255, font=_font(name, size), anchor="lm")
    tops = (int(middle - size * 0.55), int(middle + size * 0.45))
    boxes = tuple(
        (int(left + index * advance), tops[0], int(np.ceil(left + (index + 1) * advance)), tops[1])
        for index in range(len(code))
    )
    return Print(np.asarray(canvas, np.float32) / np.float32(255), boxes)


def paper(rng: np.random.Generator) -> tuple[NDArray[np.float32], Plane]:
    """The sticker with rules, a brand bar and a pattern of bars: colour and opacity per pixel."""
    width, height = SIZE
    x, y, w, h = STICKER
    colour = np.empty((height, width, 3), np.float32)
    colour[:] = rng.uniform((205, 215, 215), (255, 255, 255)).astype(np.float32)
    opacity = np.zeros((height, width), np.float32)
    cv2.rectangle(opacity, (x, y), (x + w, y + h), 1.0, -1)
    brand = tuple(float(v) for v in rng.uniform(20, 160, 3))
    cv2.rectangle(colour, (x, y), (x + w, y + 18), brand, -1)
    cv2.line(colour, (x + 10, y + h - 22), (x + w - 10, y + h - 22), (90, 90, 90), 1)
    bars = np.cumsum(rng.integers(3, 9, 40)) + x + 14
    for left in bars[bars < x + w - 20]:
        cv2.rectangle(
            colour, (int(left), y + h - 17), (int(left) + int(rng.integers(1, 4)), y + h - 5), (40, 40, 40), -1
        )
    return colour, opacity


def blob(rng: np.random.Generator, box: tuple[int, int, int, int], margin: float) -> Plane:
    """An uneven patch that covers ``box`` and ``margin`` pixels around it wholly, ``float32[height, width]``."""
    width, height = SIZE
    left, top, right, bottom = box
    centre = ((left + right) / 2, (top + bottom) / 2)
    # The smallest ellipse around a rectangle has its half axes times sqrt(2).
    half = ((right - left) / 2 + margin) * 1.45, ((bottom - top) / 2 + margin) * 1.45
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    uneven = 1 + rng.uniform(0, 0.25, 40)
    points = np.stack([centre[0] + half[0] * uneven * np.cos(angles), centre[1] + half[1] * uneven * np.sin(angles)], 1)
    patch = np.zeros((height, width), np.float32)
    cv2.fillPoly(patch, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
    return patch
