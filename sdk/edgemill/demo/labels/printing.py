"""The print head: one line of a code, glyph by glyph, as opacity of ink on a flat label."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Plane = NDArray[np.float32]
Box = tuple[int, int, int, int]

_FACES = (
    ("DejaVuSansMono-Bold.ttf", (34, 48)),
    ("DejaVuSansMono.ttf", (34, 48)),
    ("DejaVuSans-Bold.ttf", (31, 41)),
)
"""Font file and the span of its sizes, pixels; the proportional face is wider at the same size."""
_OVERHANG = 3
"""Pixels that a glyph may reach over its cell."""


@dataclass(frozen=True)
class Line:
    """Where each character of a code stands on the label.

    Attributes:
        code: the characters.
        face: font file.
        size: pixels.
        lefts: left edge of each cell and the right edge of the last, pixels.
        middle: height at which the line's middle stands, pixels.
    """

    code: str
    face: str
    size: int
    lefts: tuple[int, ...]
    middle: int

    @property
    def legible(self) -> list[int]:
        """Indices of the characters that a code can be told by: neither space nor hyphen."""
        return [index for index, character in enumerate(self.code) if character not in " -"]

    def ink(self, size: tuple[int, int], dropped: Collection[int] = ()) -> Plane:
        """Opacity of the print on a label of ``size``; ``dropped`` characters are never printed."""
        plane = np.zeros(size[::-1], np.float32)
        for index, character in enumerate(self.code):
            if index in dropped or character == " ":
                continue
            glyph = _glyph(self.face, self.size, character)
            left, top = self.lefts[index] - _OVERHANG, self.middle - glyph.shape[0] // 2
            under = plane[top : top + glyph.shape[0], left : left + glyph.shape[1]]
            np.maximum(under, glyph, out=under)
        return plane

    def box(self, index: int) -> Box:
        """Left, top, right and bottom of a character's ink, pixels."""
        glyph = _glyph(self.face, self.size, self.code[index])
        rows, columns = np.flatnonzero(glyph.any(1)), np.flatnonzero(glyph.any(0))
        left, top = self.lefts[index] - _OVERHANG, self.middle - glyph.shape[0] // 2
        return (
            left + int(columns[0]),
            top + int(rows[0]),
            left + int(columns[-1]) + 1,
            top + int(rows[-1]) + 1,
        )

    def pair(self, rng: np.random.Generator) -> tuple[int, int]:
        """Two legible characters that stand side by side."""
        pairs = [(a, b) for a, b in pairwise(self.legible) if b == a + 1]
        return pairs[int(rng.integers(len(pairs)))]


def set_line(rng: np.random.Generator, code: str, centre: tuple[int, int]) -> Line:
    """Set ``code`` in one of several faces and sizes, nearly centred on ``centre``."""
    face, sizes = _FACES[int(rng.integers(len(_FACES)))]
    size = int(rng.integers(sizes[0], sizes[1] + 1))
    edges = np.cumsum([0.0, *(_advance(face, size, character) for character in code)])
    left = centre[0] - edges[-1] / 2 + rng.uniform(-8, 8)
    return Line(code, face, size, tuple(round(float(left + edge)) for edge in edges), centre[1])


@lru_cache(maxsize=64)
def _font(face: str, size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", face)), size)


@lru_cache(maxsize=2048)
def _advance(face: str, size: int, character: str) -> float:
    return float(_font(face, size).getlength(character))


@lru_cache(maxsize=2048)
def _glyph(face: str, size: int, character: str) -> Plane:
    """A glyph's opacity in its cell, with room for what hangs over at the sides."""
    from PIL import Image, ImageDraw

    width = int(np.ceil(_advance(face, size, character))) + 2 * _OVERHANG
    cell = Image.new("L", (width, 2 * (size // 2 + 2)))
    ImageDraw.Draw(cell).text((_OVERHANG, cell.height / 2), character, 255, _font(face, size), anchor="lm")
    plane = np.asarray(cell, np.float32) / np.float32(255)
    plane.setflags(write=False)
    return plane
