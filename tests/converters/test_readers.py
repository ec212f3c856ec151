"""COCO's JSON as labels: what is read, what is refused, and what the task makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemill_converters.labelling import check_labels, settled
from edgemill_converters.readers.coco import read_coco
from edgemill_core.errors import DataError
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.samples import Sample, TrueBox, Truth
from edgemill_core.tasks import ImageClassification, ObjectDetection

TASK = ObjectDetection(
    classes=("short", "screw"),
    head="yolov8",
    rules=({"classes": ["short"], "at_most": 0},),  # type: ignore[arg-type]
)
WHOLE = PictureInput(size=(32, 32))
Change = Callable[[dict[str, Any]], object]


def told() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 50},
            {"id": 9, "file_name": "deep/b.png", "width": 100, "height": 50},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 5.5]},
            {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 100, 50], "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "short"}, {"id": 4, "name": "screw"}, {"id": 5, "name": "of no use"}],
    }


def written(folder: Path, content: object) -> Path:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_are_read_in_pixels_and_pictures_beside_the_file(tmp_path: Path) -> None:
    one, two = read_coco(written(tmp_path, told()))
    assert (one.id, one.picture, two.picture) == ("a.png", tmp_path / "a.png", tmp_path / "deep" / "b.png")
    boxes = (TrueBox("short", 10, 20, 40, 25.5), TrueBox("screw", 0, 0, 100, 50, ignored=True))
    assert one.truth == Truth(good=False, boxes=boxes, size=(100, 50))
    assert two.truth == Truth(good=True, boxes=(), size=(100, 50))


def test_a_picture_with_nothing_but_what_counts_neither_way_is_good(tmp_path: Path) -> None:
    content = told()
    del content["annotations"][0]
    truth = read_coco(written(tmp_path, content))[0].truth
    assert truth is not None
    assert truth.good
    assert truth.boxes


def moved(where: str, number: int, **values: object) -> Change:
    return lambda content: content[where][number].update(values)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda c: c.pop("images"), ["not in COCO's form", "a list under 'images'"]),
        (lambda c: c["images"][1].pop("width"), ["entry 1 of images lacks width"]),
        (lambda c: c["annotations"].append(5), ["entry 2 of annotations lacks"]),
        (moved("annotations", 0, category_id=[3]), ["entry 0 of annotations lacks category_id"]),
        (moved("images", 1, file_name="a.png"), ["names a picture twice", "'a.png'"]),
        (moved("images", 1, id=7), ["names a picture twice", "id 7"]),
        (moved("images", 0, width=0), ["image 7 is wrong", "0 x 50"]),
        (moved("annotations", 0, image_id=8), ["annotation 1 is wrong", "image_id", "8"]),
        (moved("annotations", 0, category_id="x"), ["annotation 1 is wrong", "category_id", "x"]),
        (moved("annotations", 0, bbox=[1, 2, 3]), ["annotation 1 is wrong", "left, top, width, height", "[1, 2, 3]"]),
        (moved("annotations", 0, bbox=[1, 2, 0, 5]), ["annotation 1 is wrong", "with an area"]),
        (moved("annotations", 0, bbox=[1, 2, float("nan"), 5]), ["annotation 1 is wrong"]),
        (moved("annotations", 0, bbox=[1, 2, 10**400, 5]), ["annotation 1 is wrong"]),
        (moved("annotations", 0, bbox=[1, 2, "3", 5]), ["annotation 1 is wrong"]),
        (moved("annotations", 0, bbox=[80, 20, 22, 5]), ["annotation 1 is wrong", "100 x 50 pixels", "80, 20, 22, 5"]),
        (moved("annotations", 0, bbox=[-2, 20, 22, 5]), ["annotation 1 is wrong", "100 x 50 pixels"]),
    ],
)
def test_what_is_wrong_is_named_with_file_and_id(tmp_path: Path, change: Change, parts: list[str]) -> None:
    content = told()
    change(content)
    with pytest.raises(DataError) as caught:
        read_coco(written(tmp_path, content))
    for part in [*parts, "boxes.json"]:
        assert part in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00", "[" * 100_000, '{"images": 1e'])
def test_what_is_no_coco_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"boxes\.json"):
        read_coco(written(tmp_path, content))
    with pytest.raises(DataError, match=r"gone\.json cannot be read"):
        read_coco(tmp_path / "gone.json")


def test_a_pixel_beside_the_picture_is_rounding(tmp_path: Path) -> None:
    content = told()
    content["annotations"][0]["bbox"] = [-1, 0, 102, 51]
    assert read_coco(written(tmp_path, content))[0].truth


def a_sample(*boxes: TrueBox) -> Sample:
    return Sample("a.png", Path("a.png"), truth=Truth(good=not boxes, boxes=boxes, size=(100, 50)))


SHORT, SCREW = TrueBox("short", 10, 10, 20, 20), TrueBox("screw", 50, 10, 60, 20)


@pytest.mark.parametrize(
    ("boxes", "region", "good"),
    [
        ((), None, True),
        ((SCREW,), None, True),
        ((SCREW, SHORT), None, False),
        ((SHORT,), Region(x=40, y=0, width=50, height=50), True),
        ((SHORT,), Region(x=16, y=0, width=50, height=50), True),
        ((SHORT,), Region(x=14, y=0, width=50, height=50), False),
        ((TrueBox("short", 10, 10, 20, 20, ignored=True),), None, True),
    ],
)
def test_the_task_s_own_rules_say_what_is_good(boxes: tuple[TrueBox, ...], region: Region | None, good: bool) -> None:
    (sample,) = settled([a_sample(*boxes)], TASK, PictureInput(size=(32, 32), region=region), "judge")
    assert sample.truth is not None
    assert sample.truth.good is good
    assert sample.truth.boxes == boxes


def test_a_box_of_no_class_of_the_task_is_refused() -> None:
    with pytest.raises(DataError, match=r"no class for: bird in a\.png") as caught:
        settled([a_sample(TrueBox("bird", 1, 1, 2, 2))], TASK, WHOLE, "judge")
    assert caught.value.expected == "short | screw"


def test_other_tasks_and_other_labels_stay_as_they_are() -> None:
    other = ImageClassification(classes=("a", "b"), fit=("a",), head="logits")
    samples = [a_sample(TrueBox("bird", 1, 1, 2, 2))]
    assert settled(samples, other, WHOLE, "judge") == samples
    plain = [Sample("b", Path("b"), truth=Truth(good=False)), Sample("c", Path("c"))]
    assert settled(plain, TASK, WHOLE, "judge") == plain


@pytest.mark.parametrize(
    ("metric", "truths", "part"),
    [
        ("map@0.5", [Truth(good=True)], "coco:"),
        ("map@0.5", [Truth(good=False, boxes=(SHORT,)), Truth(good=True)], "1 of 2 samples"),
        ("map@0.5", [Truth(good=True, boxes=())], "no labelled box for map@0.5"),
        ("map@0.5", [Truth(good=True, boxes=(TrueBox("short", 0, 0, 1, 1, ignored=True),))], "no labelled box"),
        ("class_rate", [Truth(good=True), Truth(good=False)], "column `class`"),
        ("exact_rate", [Truth(good=True, text="")], "column `printed`"),
    ],
)
def test_a_metric_that_needs_labels_is_not_judged_without(metric: str, truths: list[Truth], part: str) -> None:
    samples = [Sample(f"{index}.png", Path(), truth=truth) for index, truth in enumerate(truths)]
    with pytest.raises(DataError) as caught:
        check_labels([metric], samples, "judge")
    assert part in str(caught.value)
    assert metric in str(caught.value)


def test_labels_that_are_there_are_enough() -> None:
    some = [Sample("a", Path(), truth=Truth(good=True, class_name="x")), Sample("b", Path(), truth=Truth(good=True))]
    check_labels(["class_rate", "escape_rate", "overkill_rate"], some, "judge")
    check_labels(["map@0.5"], [a_sample(SHORT), a_sample()], "judge")
