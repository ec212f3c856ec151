"""A folder in DeepPCB's layout, by board.

``NNN_test.jpg`` is a part, ``NNN_temp.jpg`` the same place without defects, already aligned; ``NNN.txt`` has a line
``left top right bottom kind`` a defect, in pixels, kinds counted from 1. The first five characters name the board.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
Grey = NDArray[np.uint8]
Boxes = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """One picture of a board: ``uint8[height, width]`` twice, and ``int64[n, 5]``: corners in pixels, kind from 0."""

    name: str
    test: Grey
    template: Grey
    boxes: Boxes

    @property
    def board(self) -> str:
        return self.name[:5]


def boards_of(folder: Path) -> list[str]:
    """The boards in ``folder``."""
    return sorted({path.name[:5] for path in folder.glob("*_test.jpg")})


def read_parts(folder: Path, boards: Collection[str]) -> list[Part]:
    """All parts of ``boards``, in the order of their names; not a byte of another board is read."""
    names = [path.name.removesuffix("_test.jpg") for path in sorted(folder.glob("*_test.jpg"))]
    return [_part(folder, name) for name in names if name[:5] in boards]


def split(boards: Sequence[str], held_out: Sequence[str], search: Sequence[str]) -> list[str]:
    """The boards to learn from: neither held out nor for choosing.

    Raises:
        SystemExit: a board is named that is not there, or twice, or none is left.
    """
    apart = [*held_out, *search]
    strange = sorted(set(apart) - set(boards)) + sorted({board for board in apart if apart.count(board) > 1})
    rest = [board for board in boards if board not in apart]
    if strange or not rest:
        told = f"no such board, or named twice: {', '.join(strange)}" if strange else "no board is left to learn from"
        raise SystemExit(f"{told}; boards here: {', '.join(boards) or 'none'}")
    return rest


def _part(folder: Path, name: str) -> Part:
    test, template = (
        cv2.imread(str(folder / f"{name}_{which}.jpg"), cv2.IMREAD_GRAYSCALE) for which in ("test", "temp")
    )
    if test is None or template is None or test.shape != template.shape:
        raise SystemExit(f"{folder / name}_test.jpg and _temp.jpg are not two pictures of one size")
    boxes = np.loadtxt(folder / f"{name}.txt", np.int64, ndmin=2).reshape(-1, 5)
    return Part(name, test, template, boxes - [0, 0, 0, 0, 1])
