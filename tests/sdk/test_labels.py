"""The generator's truth is the truth, and it says the same thing twice."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edgemill.demo.contact_sheet import Tile, contact_sheet
from edgemill.demo.labels import ALPHABET, FAULTS, REGION, SIZE, LabelMaker, generate
from edgemill.demo.labels.codes import draw_code, draw_wrong_code
from edgemill.demo.labels.paint import blob, print_code
from edgemill_runtimes.frames import read_picture

PARTS = [LabelMaker(11, bad_share=0.6).part(index) for index in range(120)]


def test_a_part_depends_on_seed_and_number_alone() -> None:
    again = LabelMaker(11, bad_share=0.6)
    for index in (119, 3, 40):
        np.testing.assert_array_equal(again.part(index).image, PARTS[index].image)
        assert again.part(index).expected == PARTS[index].expected


def test_different_seeds_share_neither_picture_nor_code() -> None:
    others = [LabelMaker(12, bad_share=0.6).part(index) for index in range(30)]
    assert not {p.expected for p in PARTS} & {p.expected for p in others}
    assert not {p.image.tobytes() for p in PARTS} & {p.image.tobytes() for p in others}


def test_every_fault_occurs_and_only_on_bad_parts() -> None:
    assert {p.fault for p in PARTS} == {"", *FAULTS}
    for part in PARTS:
        assert part.good == (part.fault == "")
        assert (part.printed != part.expected) == (part.fault == "wrong-code")
        assert part.image.shape == (SIZE[1], SIZE[0], 3)
        assert set(part.expected) | set(part.printed) <= set(ALPHABET)


def test_wrong_codes_are_always_other_codes_of_the_same_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        right = draw_code(rng)
        wrong = draw_wrong_code(rng, right)
        assert wrong != right
        assert len(wrong) == len(right) == 14


@pytest.mark.parametrize("seed", range(20))
def test_the_code_stands_inside_the_region_and_each_glyph_in_its_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    code = draw_code(rng)
    printed = print_code(rng, code)
    x, y, width, height = REGION
    rows, columns = np.nonzero(printed.ink)
    assert x + 10 < columns.min() < columns.max() < x + width - 10
    assert y < rows.min() < rows.max() < y + height
    covered = np.zeros_like(printed.ink)
    for left, top, right, bottom in printed.glyphs:
        covered[top:bottom, left:right] = 1
    assert printed.ink[covered == 0].max(initial=0) == 0
    for index in printed.visible(code):
        left, top, right, bottom = printed.glyphs[index]
        assert printed.ink[top:bottom, left:right].max() > 0.9


@pytest.mark.parametrize("seed", range(20))
def test_a_blob_leaves_nothing_of_its_glyph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    printed = print_code(rng, draw_code(rng))
    left, top, right, bottom = printed.glyphs[2]
    assert blob(rng, printed.glyphs[2], 2)[top:bottom, left:right].min() == 1


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    samples = generate(tmp_path, 8, 5, bad_share=0.5, prefix="p")
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    maker = LabelMaker(5, 0.5)
    for index, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        assert sample.truth is not None
        assert (row["file"], row["expected"]) == (sample.id, sample.context["expected"])
        assert (row["good"] == "1", row["printed"]) == (sample.truth.good, sample.truth.text)
        np.testing.assert_array_equal(read_picture(sample.picture), maker.part(index).image)


def test_the_contact_sheet_shows_its_groups_and_says_none(tmp_path: Path) -> None:
    tiles = [Tile(PARTS[i].image, f"part {i}", "expected A, read B, " * 6, "escapes") for i in range(5)]
    contact_sheet(tiles, ["escapes", "overkill"], tmp_path / "sheet.png")
    full = read_picture(tmp_path / "sheet.png")
    contact_sheet([], ["escapes", "overkill"], tmp_path / "empty.png")
    empty = read_picture(tmp_path / "empty.png")
    assert full.shape[1] == empty.shape[1] == 1400
    assert full.shape[0] > empty.shape[0] + 2 * 200
    assert empty.min() < 100
