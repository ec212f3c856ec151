"""A contact sheet: pictures in groups, with captions, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgemill_core.durable import write_bytes
from edgemill_runtimes.frames import Frame, encode_png
from edgemill_runtimes.frames.opencv import cv2

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

COLUMNS, WIDTH, MARGIN, CAPTION, HEADING = 4, 1400, 14, 56, 48
_TILE = (WIDTH - MARGIN * (COLUMNS + 1)) // COLUMNS
_PAPER, _TEXT, _FAINT = (250, 250, 248), (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet.

    Attributes:
        image: ``uint8[height, width, 3]``, blue-green-red.
        title: first line below it.
        caption: further lines.
        group: heading that it stands under.
    """

    image: Frame
    title: str
    caption: str
    group: str


def contact_sheet(tiles: Sequence[Tile], groups: Sequence[str], path: Path) -> None:
    """Write the sheet.

    Args:
        tiles: pictures; those of one group stand together.
        groups: headings in order; one without pictures says "none".
        path: PNG to write.
    """
    from PIL import Image, ImageDraw

    by_group = {name: list(found) for name, found in groupby(sorted(tiles, key=_group), key=_group)}
    rows = {name: -(-len(by_group.get(name, [])) // COLUMNS) for name in groups}
    row_height = _row_height(tiles)
    height = sum(HEADING + max(rows[name] * row_height, 24) for name in groups) + MARGIN
    sheet = Image.new("RGB", (WIDTH, height), _PAPER)
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for name in groups:
        found = by_group.get(name, [])
        draw.text((MARGIN, top), f"{name}: {len(found) or 'none'}", fill=_TEXT, font=_font(26, bold=True))
        top += HEADING
        for index, tile in enumerate(found):
            left = MARGIN + index % COLUMNS * (_TILE + MARGIN)
            below = top + index // COLUMNS * row_height
            sheet.paste(Image.fromarray(_shrunk(tile.image)[..., ::-1]), (left, below))
            _write_below(draw, tile, left, below + row_height - CAPTION - MARGIN + 4)
        top += max(rows[name] * row_height, 24)
    write_bytes(path, encode_png(np.asarray(sheet, np.uint8)[..., ::-1].copy()))


def _group(tile: Tile) -> str:
    return tile.group


def _row_height(tiles: Sequence[Tile]) -> int:
    tallest = max((t.image.shape[0] / t.image.shape[1] for t in tiles), default=0.0)
    return int(_TILE * tallest) + CAPTION + MARGIN


def _shrunk(image: Frame) -> Frame:
    height = max(1, int(image.shape[0] * _TILE / image.shape[1]))
    return np.asarray(cv2.resize(image, (_TILE, height), interpolation=cv2.INTER_AREA), np.uint8)


def _write_below(draw: ImageDraw, tile: Tile, left: int, top: int) -> None:
    draw.text((left, top), tile.title, fill=_FAINT, font=_font(13))
    for number, line in enumerate(_wrapped(draw, tile.caption)):
        draw.text((left, top + 17 + 16 * number), line, fill=_TEXT, font=_font(13))


def _wrapped(draw: ImageDraw, text: str) -> list[str]:
    """At most two lines that fit below a tile; what does not fit is cut off with an ellipsis."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}".strip()
        if draw.textlength(longer, font=_font(13)) <= _TILE:
            line = longer
        else:
            lines.append(line)
            line = word
    lines.append(line)
    return lines if len(lines) <= 2 else [lines[0], lines[1] + " …"]


@lru_cache(maxsize=4)
def _font(size: int, bold: bool = False) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
