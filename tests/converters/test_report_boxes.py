"""Boxes on the pictures on which verdicts flip, and what becomes of each class."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_builds import HOSTILE, int8_wins, make_samples, parse
from tiny_boards import board, detector, write_board_recipe, write_coco

from edgemill_converters.build import build
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.recipe import read_recipe
from edgemill_converters.report.boxed import boxed_picture, compared
from edgemill_converters.report.by_class import LISTED, OfClass, class_table, found, named
from edgemill_converters.report.confusion import confusion_section
from edgemill_converters.report.flips import Flip, Kind
from edgemill_converters.report.labelled import really_there
from edgemill_converters.report.pictures import flip_cards
from edgemill_converters.set_digests import recipe_digest, set_digest
from edgemill_core.errors import BudgetError
from edgemill_core.inspection import Box, Finding, reading_of
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.samples import Sample, TrueBox, Truth
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import encode_png


def spot(kind: str, left: float, score: float = 0.9) -> Finding:
    box = Box(left, 0.1, left + 0.2, 0.3)
    return Finding(kind, score, box, box.area)


def saying(*findings: Finding) -> Verdict:
    return Verdict(Decision.REJECT if findings else Decision.PASS, (), 0.9, reading_of(findings))


def test_findings_are_paired_by_kind_and_place() -> None:
    before = [spot("short", 0.1), spot("open", 0.5), spot("short", 0.7)]
    after = [spot("short", 0.72), spot("short", 0.5), spot("short", 0.11)]
    same = compared(before, after)
    assert [(one.box.left, other.box.left) for one, other in same.both] == [(0.1, 0.11), (0.7, 0.72)]
    assert (same.lost, same.new) == ((before[1],), (after[1],))
    assert same.in_words == "lost open 0.90; new short 0.90"
    assert compared(before, after, 0.95).both == ()


def test_a_box_is_paired_once() -> None:
    same = compared([spot("short", 0.1), spot("short", 0.12)], [spot("short", 0.11)])
    assert (len(same.both), len(same.lost), len(same.new)) == (1, 1, 0)


def test_the_picture_draws_names_and_escapes() -> None:
    same = compared([spot("short", 0.1), spot(HOSTILE, 0.5)], [spot("short", 0.1), spot("open", 0.7)])
    page = boxed_picture("data:image/jpeg;base64,AA", (100, 50), same, [spot("short", 0.1)], "Sample x")
    parse(page)  # every rectangle is closed: an open one would swallow what follows
    assert [
        page.count(f'class="box {kind}"') for kind in ("before", "after", "truth", "before only", "after only")
    ] == [1] * 5
    assert 'x="70.0" y="5.0" width="20.0" height="10.0" class="box after only"' in page
    assert "<text" in page
    assert HOSTILE not in page
    assert "new open 0.90" in re.findall('aria-label="([^"]*)"', page)[0]


def test_a_flip_of_a_detector_shows_boxes_and_truth(tmp_path: Path) -> None:
    picture = tmp_path / "b.png"
    picture.write_bytes(encode_png(board([(1, 1, "short")], np.random.default_rng(0))))
    sample = Sample("b", picture, truth=Truth(False, boxes=(TrueBox("short", 8, 8, 16, 16),), size=(64, 64)))
    flip = Flip(sample, saying(spot("short", 0.1)), saying(), Kind.WORSE)
    declared = PictureInput(size=(64, 64))
    page = flip_cards([flip], 1, None, truths=lambda one: really_there(one, ("short",), declared))
    assert 'class="box truth"' in page
    assert "lost: short 0.90" in page
    assert "Boxes in the pictures" in page
    without = replace(flip, before=Verdict(Decision.REJECT), after=Verdict(Decision.PASS))
    assert "Boxes in the pictures" not in flip_cards([without], 1, None)


def test_labels_are_seen_through_the_region() -> None:
    truth = Truth(False, boxes=(TrueBox("short", 20, 20, 30, 30), TrueBox("open", 0, 0, 5, 5)), size=(100, 100))
    declared = PictureInput(size=(8, 8), region=Region(x=10, y=10, width=40, height=40))
    (only,) = really_there(Sample("s", Path("s"), truth=truth), ("short", "open"), declared) or ()
    assert (only.kind, only.box) == ("short", Box(0.25, 0.25, 0.5, 0.5))
    assert really_there(Sample("s", Path("s"), truth=Truth(True)), (), declared) is None


def test_boxes_are_counted_by_kind() -> None:
    samples = [Sample(str(index), Path("x"), truth=Truth(False)) for index in range(3)]
    there = {"0": [spot("short", 0.1), spot("short", 0.5)], "1": [spot("open", 0.1)], "2": None}
    said = [saying(spot("short", 0.1)), saying(spot("short", 0.1)), saying(spot("open", 0.1))]
    counts = found(samples, said, lambda sample: there[sample.id], 0.5)
    assert counts == {"open": OfClass(1, 0, 0), "short": OfClass(2, 1, 1)}


def test_named_classes_are_counted_by_truth() -> None:
    truths = ["a", "a", "b", None]
    samples = [Sample(str(i), Path("x"), truth=Truth(True, class_name=name)) for i, name in enumerate(truths)]
    said = [Verdict(Decision.PASS, (), 0.9, {"class": name}) for name in "abba"]
    assert named(samples, said) == {"a": OfClass(2, 1, 0, (("b", 1),)), "b": OfClass(1, 1, 1)}
    text = parse(class_table(named(samples, said[::-1]), named(samples, said), boxes=False)).text
    assert "a21 → 1" in text
    assert "b 1" in text


def test_a_thousand_classes_keep_the_table_short() -> None:
    before = {f"c{index}": OfClass(5, 5, 0) for index in range(1000)}
    after = {**before, "c777": OfClass(5, 2, 1)}
    page = class_table(before, after, boxes=False)
    assert page.count("<tr>") == LISTED + 1
    assert "976 classes of which less changed are not listed" in page
    assert page.index("c777") < page.index(">c0<")


def test_where_nothing_ships_the_refused_are_compared(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    choice = replace(result.choice, without=("openvino-CPU",))
    text = parse(confusion_section(replace(result, choice=choice))).text
    assert "Nothing ships. So it would have been:" in text
    assert text.count("Parts of the judge set") == 4


def test_a_set_s_digest_is_of_content_and_labels_not_of_names(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, 3)
    moved = tuple(replace(sample, id=f"other-{sample.id}") for sample in samples)
    assert set_digest(samples) == set_digest(moved)
    relabelled = (replace(samples[0], truth=Truth(False, samples[0].truth.text if samples[0].truth else None)),)
    assert len({set_digest(samples), set_digest(samples[::-1]), set_digest((*relabelled, *samples[1:]))}) == 3


@pytest.mark.slow
def test_a_real_build_of_a_detector_is_drawn_whole(tmp_path: Path) -> None:
    task = {"name": "object-detection", "classes": ["short", "open"], "head": "yolov8"}
    path = write_board_recipe(tmp_path, detector("yolov8"), task)
    write_coco(tmp_path / "coco", 16, 5)
    told = path.read_text().replace("labels: judge", "coco: coco/boxes.json")
    path.write_text(told.replace("- runtime: openvino\n", ""))
    recipe = read_recipe(path)
    spoiled = ExtraVariant("spoiled", 0, lambda plan: plan.with_ranges_scaled(0.3))
    with pytest.raises(BudgetError):  # 16 pictures prove nothing
        build(recipe, tmp_path / "out", extra=[spoiled])
    page = (tmp_path / "out" / "boards-1.0.0.report.html").read_text()
    text = parse(page).text
    for section in ("plots", "precision", "flips", "confusion", "tried", "making"):
        assert f'id="{section}"' in page
    assert text.count("100.0% in int8 (1 layer)") == 2
    assert 'class="box before only"' in page
    assert 'class="box truth"' in page
    assert "By class, boxes of the judge set" in text
    assert recipe_digest(recipe) in text
    assert "calibration set sha256" in text
    assert len(page.encode()) < 400_000


def test_of_rows_and_tensors_what_went_in_is_said_and_no_picture_is_sought(tmp_path: Path) -> None:
    row = Sample("7", tmp_path / "rows.csv", fields={"torque": 0.25, "speed": 3.0})
    tensors = Sample("8", tmp_path / "8.npz")
    page = flip_cards([Flip(one, saying(), saying(), Kind.WORSE) for one in (row, tensors)], 2, None)
    assert "torque 0.25, speed 3" in page
    assert "tensors of 8.npz" in page
    assert "cannot be shown" not in page
