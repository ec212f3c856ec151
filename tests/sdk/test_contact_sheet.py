"""The contact sheet: groups in order, captions that fit, and "none" where there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemill.demo.contact_sheet import COLUMNS, WIDTH, Tile, contact_sheet
from edgemill_runtimes.frames import Frame, read_picture

GROUPS = ("escapes", "overkill")


def _sheet(path: Path, count: int, caption: str = "expected A, read B") -> Frame:
    tiles = [Tile(np.full((360, 640, 3), (0, 0, 255), np.uint8), f"part {i}", caption, "escapes") for i in range(count)]
    contact_sheet(tiles, GROUPS, path)
    return read_picture(path)


def test_it_shows_its_groups_and_says_none(tmp_path: Path) -> None:
    full, empty = _sheet(tmp_path / "full.png", 5), _sheet(tmp_path / "empty.png", 0)
    assert full.shape[1] == empty.shape[1] == WIDTH
    assert full.shape[0] > empty.shape[0] + 2 * 200
    assert empty.min() < 100


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_every_tile_is_shown(tmp_path: Path, count: int) -> None:
    sheet = _sheet(tmp_path / "sheet.png", count)
    one = (_sheet(tmp_path / "one.png", 1) == (0, 0, 255)).all(2).sum()
    assert (sheet == (0, 0, 255)).all(2).sum() == count * one


def test_a_long_caption_is_cut_off_inside_its_tile(tmp_path: Path) -> None:
    short, long = _sheet(tmp_path / "a.png", 1), _sheet(tmp_path / "b.png", 1, "expected A, read B, " * 12)
    assert short.shape == long.shape
    beyond = WIDTH // COLUMNS + 20
    below = slice(100, None)
    np.testing.assert_array_equal(long[below, beyond:], short[below, beyond:])
