"""The generator's truth is the truth, and it says the same thing twice."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgemill.demo.labels import ALPHABET, FAULTS, REGION, SIZE, LabelMaker, generate
from edgemill.demo.labels import severity as sv
from edgemill.demo.labels.camera import warp_of
from edgemill.demo.labels.codes import draw_code, draw_wrong_code
from edgemill.demo.labels.maker import Plan, draw_plan
from edgemill.demo.labels.paint import CENTRE, LABEL, STICKER, highlight, rubbed, smear
from edgemill.demo.labels.printing import set_line
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.frames.opencv import cv2

PARTS = [LabelMaker(11, bad_share=0.6).part(index) for index in range(120)]
PLANS = [(draw_plan(rng, i % 5 < 3), rng) for i in range(400) for rng in [np.random.default_rng([7, i])]]


def _plans(fault: str) -> list[tuple[Plan, np.random.Generator]]:
    found = [(plan, rng) for plan, rng in PLANS if plan.fault == fault]
    assert found
    return found


def _seen(plan: Plan, rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """Where ``ink`` lands in the picture."""
    return np.asarray(cv2.warpPerspective(ink, warp_of(rng, plan.nuisance), SIZE))


def _inside(plane: np.ndarray) -> np.ndarray:
    x, y, width, height = REGION
    return plane[y : y + height, x : x + width]


def test_a_part_depends_on_seed_and_number_alone() -> None:
    again = LabelMaker(11, bad_share=0.6)
    for index in (119, 3, 40):
        np.testing.assert_array_equal(again.part(index).image, PARTS[index].image)
        assert again.part(index).expected == PARTS[index].expected


@pytest.mark.parametrize(("share", "bad"), [(0.0, 0), (0.2, 12), (0.5, 30), (1.0, 60)])
def test_the_share_of_bad_parts_is_exact(share: float, bad: int) -> None:
    maker = LabelMaker(4, share)
    assert sum(not maker.part(index).good for index in range(60)) == bad


def test_a_good_part_does_not_depend_on_the_share_of_bad_ones() -> None:
    index = next(i for i, part in enumerate(PARTS) if part.good)
    np.testing.assert_array_equal(LabelMaker(11, bad_share=0.0).part(index).image, PARTS[index].image)


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
        assert part.image.dtype == np.uint8
        assert set(part.expected) | set(part.printed) <= set(ALPHABET)


def test_wrong_codes_are_always_other_codes_of_the_same_form() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        right = draw_code(rng)
        wrong = draw_wrong_code(rng, right)
        assert wrong != right
        assert len(wrong) == len(right) == 14


@pytest.mark.parametrize("seed", range(30))
def test_the_code_stands_inside_the_region_with_margins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(set_line(rng, draw_code(rng), CENTRE).ink(LABEL))
    x, y, width, height = REGION
    assert x + 20 < STICKER[0] + columns.min() < STICKER[0] + columns.max() < x + width - 20
    assert y + 8 < STICKER[1] + rows.min() < STICKER[1] + rows.max() < y + height - 8


@pytest.mark.parametrize("fault", ["", "wrong-code"])
def test_a_readable_code_is_wholly_in_the_region_and_legible(fault: str) -> None:
    for plan, rng in _plans(fault):
        assert plan.lost == ()
        assert plan.nuisance.legible
        assert plan.nuisance.blur <= sv.HARD["blur"][1]
        seen = _seen(plan, rng, plan.line.ink(LABEL))
        assert seen.sum() - _inside(seen).sum() <= 1e-3 * seen.sum()


def test_contrast_counts_what_overexposure_clips() -> None:
    nuisance = replace(_plans("")[0][0].nuisance, ink=1.0, wear=0.0, haze=0.4, gain=1.0, offset=0.0)
    assert replace(nuisance, offset=20.0).contrast == pytest.approx(nuisance.contrast - 20)
    assert not replace(nuisance, offset=90.0).legible


def test_worn_ink_is_still_ink() -> None:
    left = rubbed(np.random.default_rng(0), 0.7)
    assert left.shape == LABEL[::-1]
    assert 0.3 <= left.min() < left.max() <= 1


def test_a_missing_glyph_was_never_printed() -> None:
    for plan, _ in _plans("missing-glyph"):
        clean, printed = plan.line.ink(LABEL), plan.line.ink(LABEL, plan.lost)
        assert plan.lost
        alone = [plan.line.ink(LABEL, [i for i in range(14) if i != index]) for index in range(14)]
        for index in plan.lost:
            assert plan.line.code[index] not in " -"
            others = np.max([alone[i] for i in range(14) if i not in plan.lost], axis=0)
            assert not printed[(alone[index] > 0) & (others == 0)].any()
        assert clean.sum() > printed.sum()


def test_a_smudge_and_a_highlight_leave_nothing_of_their_glyphs() -> None:
    for fault in ("smudge", "glare"):
        for plan, rng in _plans(fault):
            boxes = [plan.line.box(index) for index in plan.lost]
            box = (min(b[0] for b in boxes), boxes[0][1], max(b[2] for b in boxes), max(b[3] for b in boxes))
            box = (box[0], min(b[1] for b in boxes), box[2], box[3])
            over = smear(rng, box) if fault == "smudge" else highlight(box)
            for left, top, right, bottom in boxes:
                assert over[top:bottom, left:right].min() == 1
            assert len(boxes) == (1 if fault == "smudge" else 2)


def test_a_cut_code_has_at_least_two_characters_wholly_outside() -> None:
    for plan, rng in _plans("cut"):
        state = rng.bit_generator.state
        gone = 0
        for index in plan.line.legible:
            rng.bit_generator.state = state
            glyph = plan.line.ink(LABEL, [i for i in range(14) if i != index])
            gone += not _inside(_seen(plan, rng, glyph)).any()
        assert gone >= 2


def test_faded_print_is_far_below_the_noise_and_blur_far_above_the_strokes() -> None:
    for plan, _ in _plans("faded"):
        levels = 255 * plan.nuisance.ink * plan.nuisance.gain
        assert levels <= 1.5
        assert levels <= plan.nuisance.noise / 4
    assert min(plan.nuisance.blur for plan, _ in _plans("blur")) >= 4 * sv.HARD["blur"][1]


@pytest.mark.parametrize("fault", ["no-print", "no-label"])
def test_nothing_of_a_blank_code_is_printed(fault: str) -> None:
    for plan, _ in _plans(fault):
        assert not plan.line.ink(LABEL, plan.lost).any()


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    samples = generate(tmp_path, 8, 5, bad_share=0.5, prefix="p")
    with (tmp_path / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    maker = LabelMaker(5, 0.5)
    assert list(rows[0]) == ["file", "expected", "good", "printed", "fault"]
    for index, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        assert sample.truth is not None
        assert (row["file"], row["expected"]) == (sample.id, sample.context["expected"])
        assert (row["good"] == "1", row["printed"]) == (sample.truth.good, sample.truth.text)
        assert row["fault"] == maker.part(index).fault
        np.testing.assert_array_equal(read_picture(sample.picture), maker.part(index).image)
