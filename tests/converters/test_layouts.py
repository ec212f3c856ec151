"""Every layout on disk: what is read, and what is refused with the file and the line."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.plain import digest_of
from edgemill_converters.building.sources import inputs_of
from edgemill_converters.data_source import COMMON, DataSource
from edgemill_converters.labelling import settled
from edgemill_converters.readers import READERS, check_disjoint, place_of, read_set, samples_of
from edgemill_converters.readers.classes import read_classes
from edgemill_converters.readers.cleaning import shared
from edgemill_converters.readers.evidence import read_evidence
from edgemill_converters.readers.labels import read_labels
from edgemill_converters.readers.looking import Seen
from edgemill_converters.readers.mvtec import read_mvtec
from edgemill_converters.readers.picture_size import size_of
from edgemill_converters.readers.plain_samples import plain_sample
from edgemill_converters.readers.rows import read_rows
from edgemill_converters.readers.truths import Cells, truth_in
from edgemill_converters.readers.voc import read_voc
from edgemill_converters.readers.yolo import read_yolo
from edgemill_converters.recipe import Folder
from edgemill_converters.set_digests import set_digest
from edgemill_core.durable import canonical_json
from edgemill_core.errors import DataError, MissingPartError
from edgemill_core.evidence_table import COLUMNS
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample, TrueBox, Truth
from edgemill_core.tasks import Classification, ImageClassification, MarketRisk, ObjectDetection, Regression, Task
from edgemill_core.tasks.regression import Within
from edgemill_core.tensor_input import TensorInput

Change = Callable[[Path], object]


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (20, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def complaint(read: Callable[[Path], Iterable[Sample]], path: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(read(path))
    for part in (caught.value.what, caught.value.expected, caught.value.got, caught.value.fix):
        assert part
    return str(caught.value)


def test_every_reader_has_its_key() -> None:
    assert set(DataSource.model_fields) == set(READERS) | set(COMMON)


def sourced(folder: Path, **keys: object) -> list[Sample]:
    return samples_of(Folder(folder=folder), "judge", DataSource.model_validate(keys))


# Folders by class


def classes(folder: Path) -> Path:
    for index, name in enumerate(("cat/1.png", "cat/2.png", "cat/3.png", "dog/deep/1.png", "dog/2.PNG", "ant/1.jpg")):
        draw(folder / name, index)
    write(folder / "cat" / "notes.txt", "no picture")
    write(folder / "cat" / "._1.png", "what a Mac leaves behind")
    return folder


def test_a_folder_a_class_in_turn(tmp_path: Path) -> None:
    found = read_classes(classes(tmp_path))
    assert [one.id for one in found] == [
        "ant/1.jpg",
        "cat/1.png",
        "dog/2.PNG",
        "cat/2.png",
        "dog/deep/1.png",
        "cat/3.png",
    ]
    assert found[0].truth == Truth(good=None, class_name="ant")
    assert found[0].picture == tmp_path / "ant" / "1.jpg"


TASK = ImageClassification(classes=("ant", "cat", "dog"), fit=("cat",), head="logits")


def test_the_task_says_which_class_is_good_unless_somebody_did(tmp_path: Path) -> None:
    found = settled(read_classes(classes(tmp_path)), TASK, PictureInput(size=(8, 8)), "judge")
    assert {one.id.split("/")[0]: one.truth.good for one in found if one.truth} == {
        "ant": False,
        "cat": True,
        "dog": False,
    }
    said = [Sample("x", tmp_path, truth=Truth(good=False, class_name="cat"))]
    assert settled(said, TASK, PictureInput(size=(8, 8)), "judge") == said


def test_a_class_that_the_task_does_not_know_is_not_guessed(tmp_path: Path) -> None:
    sample = [Sample("x.png", tmp_path, truth=Truth(good=None, class_name="cow"))]
    with pytest.raises(DataError, match=r"x\.png that it is cow") as caught:
        settled(sample, TASK, PictureInput(size=(8, 8)), "judge")
    assert "ant | cat | dog" in str(caught.value)
    other = ObjectDetection(classes=("cow",), head="yolov8")
    with pytest.raises(DataError, match="not whether it is good"):
        settled(sample, other, PictureInput(size=(8, 8)), "judge")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: (f / "empty").mkdir(), ["class 'empty' has no pictures"]),
        (lambda f: draw(f / "stray.png"), ["no folder of classes", "stray.png beside them"]),
        (lambda f: (f / "cat" / "far.png").symlink_to("/etc/hostname"), ["cat/far.png leads out of its folder"]),
        (lambda f: (f / "far").symlink_to("/etc"), ["/far leads out of its folder", "a link to /etc"]),
        (lambda f: (f / "cat" / "deep").symlink_to("/etc"), ["cat/deep leads out of its folder"]),
    ],
)
def test_a_folder_of_classes_that_is_none(tmp_path: Path, change: Change, parts: list[str]) -> None:
    change(classes(tmp_path))
    said = complaint(read_classes, tmp_path)
    assert all(part in said for part in parts), said


def test_a_link_inside_and_a_loop_are_no_harm(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "cat" / "again.png").symlink_to(tmp_path / "dog" / "2.PNG")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path / "cat")
    assert len(read_classes(tmp_path)) == 7
    assert "no folder of folders" in complaint(read_classes, tmp_path / "gone")


# MVTec AD


def mvtec(folder: Path) -> Path:
    for index, name in enumerate(("train/good/0", "train/good/1", "test/good/0", "test/crack/0", "test/crack/1")):
        draw(folder / f"{name}.png", index)
    for name in ("0", "1"):
        draw(folder / "ground_truth" / "crack" / f"{name}_mask.png", 9)
    return folder


def test_mvtec_has_good_parts_defects_and_masks(tmp_path: Path) -> None:
    found = read_mvtec(mvtec(tmp_path))
    assert [one.id for one in found] == ["test/crack/0.png", "test/good/0.png", "test/crack/1.png"]
    mask = tmp_path / "ground_truth" / "crack" / "0_mask.png"
    assert found[0].truth == Truth(good=False, class_name="crack", mask=mask)
    assert found[1].truth == Truth(good=True, class_name="good")
    trained = sourced(tmp_path, mvtec={"folder": ".", "part": "train"})
    assert [one.id for one in trained] == ["train/good/0.png", "train/good/1.png"]


def test_a_mask_belongs_to_the_digest_by_what_is_in_it(tmp_path: Path) -> None:
    found = read_mvtec(mvtec(tmp_path / "a"))
    before = set_digest(found)
    assert set_digest(read_mvtec(mvtec(tmp_path / "b"))) == before
    draw(tmp_path / "a" / "ground_truth" / "crack" / "0_mask.png", 10)
    assert set_digest(found) != before


def test_a_step_depends_on_masks_by_content_and_not_on_where_they_lie(tmp_path: Path) -> None:
    def labels(folder: Path) -> object:
        digests = FileDigests(tmp_path / "digests.json", forget=True)
        return digest_of(inputs_of(read_mvtec(folder), digests).labels)

    before = labels(mvtec(tmp_path / "a"))
    assert labels(mvtec(tmp_path / "b")) == before
    draw(tmp_path / "b" / "ground_truth" / "crack" / "0_mask.png", 10)
    assert labels(tmp_path / "b") != before


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: (f / "ground_truth/crack/0_mask.png").unlink(), ["test/crack/0.png has no mask"]),
        (lambda f: draw(f / "ground_truth/crack/0_mask.png", size=(10, 20)), ["another size", "20 x 10", "10 x 20"]),
        (lambda f: (f / "test/crack/0.png").unlink(), ["crack/0_mask.png is the mask of no picture"]),
        (lambda f: (f / "test/good/0.png").unlink(), ["test/good has no pictures"]),
        (lambda f: write(f / "ground_truth/crack/1_mask.png", b"\x89PNG\r\n"), ["1_mask.png cannot be decoded"]),
    ],
)
def test_what_is_wrong_in_mvtec_s_layout(tmp_path: Path, change: Change, parts: list[str]) -> None:
    change(mvtec(tmp_path))
    said = complaint(read_mvtec, tmp_path)
    assert all(part in said for part in parts), said


# YOLO


def yolo(folder: Path) -> Path:
    for index, name in enumerate(("a", "b", "c")):
        draw(folder / "images" / "val" / f"{name}.png", index, (100, 50))
    write(folder / "labels" / "val" / "a.txt", "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.1 0.2 0.2\n")
    write(folder / "labels" / "val" / "b.txt", "")
    write(folder / "data.yaml", "path: ../elsewhere\nnames: {0: short, 1: open}\n")
    return folder / "images" / "val"


def test_yolo_s_boxes_come_in_pixels(tmp_path: Path) -> None:
    one, two, three = read_yolo(yolo(tmp_path))
    assert one.truth is not None
    assert one.truth.boxes is not None
    assert [(box.kind, box.left, box.top, box.right, box.bottom) for box in one.truth.boxes] == [
        ("open", 40.0, 15.0, 60.0, 35.0),
        ("short", 0.0, 0.0, 20.0, 10.0),
    ]
    assert (one.truth.size, one.truth.good) == ((100, 50), False)
    assert two.truth == Truth(good=True, boxes=(), size=(100, 50))
    assert three.truth is None


def test_yolo_s_labels_beside_the_pictures_and_names_in_a_text(tmp_path: Path) -> None:
    draw(tmp_path / "flat" / "a.png")
    write(tmp_path / "flat" / "a.txt", "0 0.5 0.5 1 1")
    write(tmp_path / "kinds.txt", "scratch\n")
    (sample,) = sourced(tmp_path, yolo={"folder": "flat", "names": "kinds.txt"})
    assert sample.truth is not None
    assert sample.truth.boxes == (TrueBox("scratch", 0, 0, 20, 10),)
    assert "nothing names the classes" in complaint(read_yolo, tmp_path / "flat")


def test_a_folder_above_a_yolo_set_may_be_called_images(tmp_path: Path) -> None:
    there = tmp_path / "images" / "set"
    draw(there / "a.png")
    write(there / "a.txt", "0 0.5 0.5 1 1")
    write(there / "classes.txt", "scratch\n")
    (sample,) = read_yolo(there)
    assert sample.truth is not None
    (tmp_path / "labels").mkdir()  # of other sets
    (sample,) = read_yolo(there)
    assert sample.truth is not None


def label(text: str | bytes) -> Change:
    return lambda folder: write(folder / "labels" / "val" / "a.txt", text)


def named(text: str | bytes) -> Change:
    return lambda folder: write(folder / "data.yaml", text)


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (label("0 0.5 0.5 0.1\n"), ["a.txt, line 1: no box", "0 0.5 0.5 0.1"]),
        (label("0 0.5 0.5 0.1 0.1 0.9\n"), ["line 1: no box"]),
        (label("0 0.5 0.5 0.1 0.1\nx 0.5 0.5 0.1 0.1"), ["line 2: no box"]),
        (label("0 0.5 nan 0.1 0.1"), ["line 1: no box", "from 0 to 1"]),
        (label("0 50 20 10 10"), ["line 1: no box", "from 0 to 1"]),
        (label("0 -0.1 0.5 0.1 0.1"), ["from 0 to 1"]),
        (label("0 0.5 0.5 0 0.1"), ["with an area"]),
        (label("0 0.99 0.5 0.1 0.1"), ["inside of its picture of 100 x 50"]),
        (label("2 0.5 0.5 0.1 0.1"), ["line 1: no box", "0 short, 1 open"]),
        (label(b"\xff\xfe\x00"), ["a.txt cannot be read", "utf-8"]),
        (lambda f: write(f / "labels" / "val" / "z.txt", ""), ["z.txt labels no picture"]),
        (lambda f: draw(f / "images" / "val" / "a.jpg"), ["have the same labels"]),
        (lambda f: write(f / "images" / "val" / "a.png", b"\x89PNG\r\n"), ["a.png cannot be decoded"]),
        (named(BOMB + "names: *i\n"), ["data.yaml does not name the classes", "aliases"]),
        (named("names: [a, a]"), ["not all different"]),
        (named("nc: 2"), ["no `names`"]),
        (named("names: ["), ["data.yaml does not name"]),
        (named(b"\xff\xfe"), ["data.yaml does not name"]),
        (named("!!python/object/apply:os.abort []"), ["data.yaml does not name"]),
    ],
)
def test_what_is_wrong_in_yolo_s_layout(tmp_path: Path, change: Change, parts: list[str]) -> None:
    folder = yolo(tmp_path)
    change(tmp_path)
    said = complaint(read_yolo, folder)
    assert all(part in said for part in parts), said


def test_yolo_s_labels_do_not_lead_elsewhere(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "set")
    write(tmp_path / "secret.txt", "0 0.5 0.5 0.1 0.1")
    (tmp_path / "set" / "labels" / "val" / "c.txt").symlink_to(tmp_path / "secret.txt")
    assert "c.txt leads out of its folder" in complaint(read_yolo, folder)


# Pascal VOC


def annotation(name: str = "a.jpg", box: str = "11 6 30 20", more: str = "", size: str = "100 50") -> str:
    width, height = size.split()
    sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=False))
    return (
        f"<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height></size>\n"
        f"<object><name>short</name>{more}<bndbox>\n{sides}</bndbox></object></annotation>"
    )


def voc(folder: Path) -> Path:
    for index, name in enumerate(("a", "b", "c")):
        draw(folder / "JPEGImages" / f"{name}.jpg", index, (100, 50))
    write(folder / "Annotations" / "a.xml", annotation())
    write(folder / "Annotations" / "b.xml", annotation("b.jpg", "0 1 100 50", "<difficult>1</difficult>"))
    write(folder / "ImageSets" / "Main" / "val.txt", "b 1\na -1\n")
    return folder


def test_voc_counts_from_one_and_what_is_difficult_neither_way(tmp_path: Path) -> None:
    one, two, three = read_voc(voc(tmp_path))
    assert one.truth == Truth(good=False, boxes=(TrueBox("short", 10, 5, 30, 20),), size=(100, 50))
    assert two.truth is not None
    assert two.truth.good
    assert two.truth.boxes == (TrueBox("short", -1, 0, 100, 50, ignored=True),)
    assert (three.id, three.truth) == ("c.jpg", None)
    assert [sample.id for sample in sourced(tmp_path, voc={"folder": ".", "part": "val"})] == ["b.jpg", "a.jpg"]


def test_voc_side_by_side(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", size=(100, 50))
    write(tmp_path / "a.xml", annotation("other folder/a.bmp"))
    assert [one.picture for one in read_voc(tmp_path)] == [tmp_path / "a.png"]


def test_voc_s_labels_are_of_the_picture_that_is_called_like_them(tmp_path: Path) -> None:
    for index, name in enumerate(("a", "b", "c")):
        draw(tmp_path / f"{name}.png", index, (100, 50))
    write(tmp_path / "a.xml", annotation("b.png"))  # somebody copied or renamed it
    write(tmp_path / "other.xml", annotation("c.png"))
    found = {sample.id: sample.truth for sample in read_voc(tmp_path)}
    assert {name for name, truth in found.items() if truth and truth.boxes} == {"a.png", "c.png"}
    write(tmp_path / "b.xml", annotation("b.png"))
    write(tmp_path / "again.xml", annotation("b.png"))
    assert "names a picture twice" in complaint(read_voc, tmp_path)


def labelled(text: str | bytes) -> Change:
    return lambda folder: write(folder / "Annotations" / "a.xml", text)


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<annotation><filename>&b;</filename></annotation>"
)
FETCHED = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><annotation><filename>&a;</filename></annotation>'


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (labelled("<annotation><object>"), ["a.xml cannot be read", "line 1"]),
        (labelled(""), ["a.xml cannot be read"]),
        (labelled(ENTITIES), ["a.xml cannot be read", "line 1: a document type"]),
        (labelled(FETCHED), ["a.xml cannot be read", "a document type"]),
        (labelled("<annotation>&a;</annotation>"), ["a.xml cannot be read", "undefined entity"]),
        (labelled("<x/>"), ["a.xml, line 1: no label", "annotation"]),
        (labelled("<annotation/>"), ["a number in width"]),
        (labelled(annotation(box="11 6 30 x")), ["a.xml, line 2: no label", "a number in ymax", "x"]),
        (labelled(annotation(box="11 6 30")), ["a number in ymax", "nothing"]),
        (labelled(annotation(box="30 6 11 20")), ["line 2: no label", "with an area", "30 6 11 20"]),
        (labelled(annotation(box="11 6 102 20")), ["inside of its picture of 100 x 50"]),
        (labelled(annotation(size="0 50")), ["width and height"]),
        (labelled(annotation().replace("<name>short</name>", "")), ["an object with name and bndbox"]),
        (labelled(b"<annotation>" + b"<a>" * 5000), ["a.xml cannot be read"]),
        (lambda f: (f / "JPEGImages" / "a.jpg").unlink(), ["a.xml labels a picture that is not there", "a.jpg"]),
        (lambda f: (f / "JPEGImages" / "far.jpg").symlink_to("/etc/hostname"), ["leads out of its folder"]),
    ],
)
def test_what_is_wrong_in_voc_s_layout(tmp_path: Path, change: Change, parts: list[str]) -> None:
    change(voc(tmp_path))
    said = complaint(read_voc, tmp_path)
    assert all(part in said for part in parts), said


def test_a_part_of_voc_that_is_wrong(tmp_path: Path) -> None:
    voc(tmp_path)
    assert "train.txt is no list" in complaint(lambda path: read_voc(path, "train"), tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "a\na\n")
    assert "a twice, the second time as number 2" in complaint(lambda path: read_voc(path, "val"), tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "gone\n")
    assert "gone, which a list names, labels" in complaint(lambda path: read_voc(path, "val"), tmp_path)


# Outcomes


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        (Regression(), [True, True, True, False]),
        (Regression(values=("gap", "skew"), within={"gap": Within(low=1, high=3)}), [False, True, False, False]),
        (MarketRisk(levels=(0.01, 0.025)), [True, True, True, False]),
    ],
)
def test_where_only_an_outcome_is_known_the_limits_say_what_is_good(task: Task, wanted: list[bool]) -> None:
    truths = [truth_in(Cells(outcome=cell)) for cell in ("0.9", "1", "3.1")]
    samples = [Sample(str(n), Path("x"), truth=one) for n, one in enumerate([*truths, Truth(good=False, outcome=2.0)])]
    found = settled(samples, task, TensorInput.model_validate({"tensors": {"x": [1]}}), "judge")
    assert [one.truth.good for one in found if one.truth] == wanted


@pytest.mark.parametrize(
    "task",
    [
        Regression(values=("gap", "skew"), within={"skew": Within(high=1)}),
        Regression(values=("gap", "skew"), within={"gap": Within(high=1), "skew": Within(high=1)}),
        Classification(classes=("worn", "new"), fit=("new",)),
    ],
)
def test_an_outcome_of_which_nothing_follows_is_refused(task: Task) -> None:
    sample = [Sample("r1", Path("x"), truth=truth_in(Cells(outcome="2")))]
    with pytest.raises(DataError, match="says of r1 what came about, and not whether it is good") as caught:
        settled(sample, task, TensorInput.model_validate({"tensors": {"x": [1]}}), "judge")
    assert "column `good`" in str(caught.value)


# Tables


def test_rows_carry_numbers_classes_and_what_is_good(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "row,x,class,good,outcome\nr1,1.5,worn,0,3\nr2,2,worn,,4\nr3,3,,1,5\n")
    one, two, three = read_rows(tmp_path / "t.csv")
    assert (one.id, dict(one.fields)) == ("r1", {"x": 1.5})
    assert one.truth == Truth(good=False, outcome=3.0, class_name="worn")
    assert two.truth == Truth(good=None, outcome=4.0, class_name="worn")
    assert three.truth == Truth(good=True, outcome=5.0)


def test_a_table_may_call_its_columns_otherwise(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "Type,id,class,Machine failure,Tool\nL,7,3,no,9\nM,8,4,yes,9\n")
    table = {"file": "t.csv", "item": "id", "class": "Machine failure", "ignore": ["Type"]}
    found = sourced(tmp_path, rows=table)
    assert [(one.id, dict(one.fields)) for one in found] == [
        ("7", {"class": 3.0, "Tool": 9.0}),
        ("8", {"class": 4.0, "Tool": 9.0}),
    ]
    assert found[0].truth == Truth(good=None, class_name="no")
    write(tmp_path / "t.csv", "id,class\n7,3\n")
    (plain,) = sourced(tmp_path, rows={"file": "t.csv", "class": None})
    assert (dict(plain.fields), plain.truth) == ({"class": 3.0}, None)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"row,x,outcome\nr1,1,2\nr2,x,2\n", ["t.csv, line 3: not a row", "x is 'x'"]),
        (b"row,x,outcome\nr1,1,inf\n", ["line 2: not a row", "outcome is 'inf'"]),
        (b"row,x,outcome\nr1,1,\n", ["line 2: not a row", "nothing in outcome"]),
        (b"row,x,good\nr1,1,perhaps\n", ["line 2", "good is 'perhaps'"]),
        (b"row,x,outcome\nr1,1\n", ["line 2", "2 cells"]),
        (b"row,x,x,outcome\nr1,1,2,3\n", ["cannot be read", "two columns are called 'x'"]),
        (b"row,x,outcome\nr1,1,2\nr1,1,2\n", ["names a row twice", "r1"]),
        (b"row,x,outcome\nr1,1,2\nr\xff,1,2\n", ["t.csv, line 3 cannot be read", "UTF-8"]),
        (b"row,x,outcome\n" + b"1" * (1 << 20), ["line 2 has more than 1,048,576 characters"]),
        (b'row,x,outcome\n"r1,1,2\n', ["cannot be read"]),
    ],
)
def test_what_is_wrong_in_a_table(tmp_path: Path, content: bytes, parts: list[str]) -> None:
    write(tmp_path / "t.csv", content)
    said = complaint(read_rows, tmp_path / "t.csv")
    assert all(part in said for part in parts), said


def test_without_pyarrow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPartError, match=r"edgemill\[parquet\]"):
        read_rows(tmp_path / "t.parquet")


def test_labels_of_tensors_by_class_or_by_number(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", "file,class,outcome\na.npz,worn,\nb.npz,,2.5\n")
    one, two = read_labels(tmp_path)
    assert (one.picture, one.truth) == (tmp_path / "a.npz", Truth(good=None, class_name="worn"))
    assert two.truth == Truth(good=None, outcome=2.5)
    write(tmp_path / "labels.csv", "file,class\na.npz,\n")
    assert "line 2: not a label" in complaint(read_labels, tmp_path)
    write(tmp_path / "labels.csv", b"file,class\na.npz,x\n\xe9.npz,y\n")
    assert "labels.csv, line 3 cannot be read" in complaint(read_labels, tmp_path)


# Evidence


def evidence(folder: Path, *lines: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / "evidence.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows(lines)
    return folder


def test_evidence_is_read_with_what_somebody_made_of_it(tmp_path: Path) -> None:
    evidence(tmp_path, {"file": "a.png", "good": "1", "expected": "AB", "printed": "AB"}, {"file": "b.png"})
    one, two = read_evidence(tmp_path)
    assert (one.truth, dict(one.context)) == (Truth(True, "AB"), {"expected": "AB"})
    assert two.truth is None
    assert [one.id for one in sourced(tmp_path, evidence={"folder": ".", "unlabelled": "leave out"})] == ["a.png"]


def test_what_is_wrong_in_evidence(tmp_path: Path) -> None:
    assert "evidence.csv cannot be read" in complaint(read_evidence, tmp_path)
    evidence(tmp_path, {"file": "a.png", "good": "perhaps"})
    assert "evidence.csv, line 2: not a label" in complaint(read_evidence, tmp_path)
    evidence(tmp_path, {"file": "a.png"}, {"file": "b.png", "printed": "AB"})
    said = complaint(read_evidence, tmp_path)
    assert "evidence.csv, line 3: not a label" in said
    assert "printed without good or class" in said
    evidence(tmp_path, {"file": "../a.png", "good": "1"})
    assert "leads out of its folder" in complaint(read_evidence, tmp_path)
    evidence(tmp_path, {"file": "a.png"}, {"file": "a.png"})
    assert "names a part twice" in complaint(read_evidence, tmp_path)
    write(tmp_path / "evidence.csv", "file,good\n")
    assert "line 1: columns are missing" in complaint(read_evidence, tmp_path)


# Functions


GIVES = """
from pathlib import Path
from edgemill_core.samples import Sample, Truth
HERE = Path(__file__).parent
def two():
    yield Sample("a", HERE / "a.png", truth=Truth(good=True))
    yield Sample("b", HERE / "b.png", truth=Truth(good=False))
def endless():
    number = 0
    while True:
        yield Sample(str(number), HERE, truth=Truth(good=True))
        number += 1
def fails():
    raise OSError("the shelf is empty")
def doubles():
    return [*two(), *two()]
def others():
    return ["a.png"]
def none():
    return None
class shelf:
    two = staticmethod(two)
word = "two"
"""


def test_a_function_beside_the_recipe_gives_samples_and_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "given_here.py", GIVES)
    for name in ("two", "shelf.two"):
        assert [one.id for one in sourced(tmp_path, function=f"given_here:{name}")] == ["a", "b"]
    assert len(sourced(tmp_path, function="given_here:endless", take=3)) == 3
    assert "given_here" not in sys.modules
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("given_here:fails", ["OSError: the shelf is empty", "given_here.py, line 14"]),
        ("given_here:doubles", ["'a' twice"]),
        ("given_here:others", ["iterable of edgemill_core.samples.Sample", "'a.png'"]),
        ("given_here:none", ["TypeError"]),
        ("given_here:word", ["word is a str, and no function"]),
        ("given_here:gone", ["AttributeError"]),
        ("not_there:two", ["ModuleNotFoundError", "not_there"]),
    ],
)
def test_a_function_that_gives_no_samples(tmp_path: Path, name: str, parts: list[str]) -> None:
    write(tmp_path / "given_here.py", GIVES)
    with pytest.raises(DataError) as caught:
        sourced(tmp_path, function=name)
    for part in (*parts, f"function {name} gives no samples"):
        assert part in str(caught.value)


def test_what_numpy_gives_becomes_python_s_own() -> None:
    box = TrueBox(np.str_("short"), *np.arange(4, dtype=np.float32), ignored=np.bool_(True))  # type: ignore[arg-type]
    truth = Truth(np.bool_(False), outcome=np.int64(3), class_name=np.str_("a"), boxes=[box], size=(np.int32(4), 5))  # type: ignore[arg-type]
    fields = {"x": np.int64(2), "y": np.float32(0.5), "on": np.bool_(True)}
    found = plain_sample(Sample("a", Path("a"), {"expected": np.str_("A")}, truth, fields))  # type: ignore[arg-type]
    assert canonical_json([dict(found.fields), dict(found.context)]) == canonical_json(
        [{"x": 2.0, "y": 0.5, "on": 1.0}, {"expected": "A"}]
    )
    known = Truth(False, outcome=3.0, class_name="a", boxes=(TrueBox("short", 0, 1, 2, 3, True),), size=(4, 5))
    assert found.truth == known
    assert [type(one) for one in (found.truth.good, found.truth.outcome, found.truth.class_name)] == [bool, float, str]
    assert [type(one) for one in found.fields.values()] == [float] * 3


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ("id=7", "id is 7, no text"),
        ("fields={'x': '2'}", "field x is '2', no finite number"),
        ("fields={'x': float('nan')}", "field x is nan"),
        ("fields={'x': 10 ** 400}", "no finite number"),
        ("fields={2: 1.0}", "fields is 2, no text"),
        ("fields=[1.0]", "fields and context are mappings"),
        ("context={'expected': 7}", "context expected is 7"),
        ("truth=True", "truth is True, no Truth"),
        ("truth=Truth(good='yes')", "good is 'yes', neither"),
        ("truth=Truth(good=2)", "good is 2, neither"),
        ("truth=Truth(True, outcome='3')", "outcome is '3'"),
        ("truth=Truth(None, class_name=3)", "class_name is 3, no text"),
        ("truth=Truth(True, boxes=(1,))", "boxes is (1,)"),
        ("truth=Truth(True, size=(1.5, 2))", "size is (1.5, 2)"),
        ("truth=Truth(True, mask='m.png')", "mask is 'm.png', no Path"),
    ],
)
def test_a_function_s_values_are_looked_at(tmp_path: Path, changed: str, part: str) -> None:
    one = f"def one():\n    return [replace(next(two()), {changed})]\n"
    write(tmp_path / "given_here.py", f"from dataclasses import replace\n{GIVES}\n{one}")
    with pytest.raises(DataError) as caught:
        sourced(tmp_path, function="given_here:one")
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["os.system", "a b:c", ":x", "x:", "x:y()", "../x:y"])
def test_what_names_no_function_is_never_run(name: str) -> None:
    with pytest.raises(ValueError, match="function"):
        DataSource(function=name)


# All of them


def test_shares_that_do_not_overlap_share_nothing(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "row,outcome\n" + "".join(f"r{n},{n}\n" for n in range(200)))
    parts = [sourced(tmp_path, rows="t.csv", share=share) for share in ([0, 0.3], [0.3, 1])]
    assert sorted(one.id for part in parts for one in part) == sorted(f"r{n}" for n in range(200))
    assert 40 <= len(parts[0]) <= 80
    assert [one.id for one in sourced(tmp_path, rows="t.csv", share=[0, 0.3], take=5)] == [o.id for o in parts[0][:5]]
    assert place_of("r1") == pytest.approx(place_of("r1"))
    for wrong in ([0.5, 0.5], [0.5, 0.1], [0, 2], [0]):
        with pytest.raises(ValueError, match="share"):
            DataSource.model_validate({"rows": "t.csv", "share": wrong})


def test_the_same_content_in_two_sets_is_refused_whatever_the_layout(tmp_path: Path) -> None:
    picture = draw(tmp_path / "classes" / "cat" / "x.png", size=(100, 50)).read_bytes()
    places = {
        "mvtec": "train/good/m.png",
        "yolo": "images/y.png",
        "voc": "JPEGImages/v.png",
        "evidence": "e.png",
        "function": "f.png",
    }
    for layout, name in places.items():
        write(tmp_path / layout / name, picture)
    write(tmp_path / "yolo" / "data.yaml", "names: [a]")
    write(tmp_path / "voc" / "Annotations" / "v.xml", annotation("v.png"))
    evidence(tmp_path / "evidence", {"file": "e.png", "good": "1"})
    write(
        tmp_path / "one_here.py",
        "from pathlib import Path\nfrom edgemill_core.samples import Sample\n"
        "def one(): return [Sample('f', Path(__file__).parent / 'function' / 'f.png')]",
    )
    sources = {
        "classes": "classes",
        "mvtec": {"folder": "mvtec", "part": "train"},
        "yolo": "yolo",
        "voc": "voc",
        "evidence": "evidence",
        "function": "one_here:one",
    }
    first = sourced(tmp_path, classes="classes")
    for layout in places:
        other = read_set(Folder(folder=tmp_path), "judge", DataSource.model_validate({layout: sources[layout]}))
        with pytest.raises(DataError, match="share a sample"):
            check_disjoint({"search": first, "judge": other})


def test_the_same_row_in_two_sets_is_refused_and_another_label_is_another_row(tmp_path: Path) -> None:
    for name, line in (("a", "r1,1.0,worn"), ("b", "z9,1,worn"), ("c", "r1,1.0,fine")):
        write(tmp_path / f"{name}.csv", f"row,x,class\n{line}\n")
    a, b, c = (read_rows(tmp_path / f"{name}.csv") for name in "abc")
    with pytest.raises(DataError, match="share a sample"):
        check_disjoint({"search": a, "judge": b})
    check_disjoint({"search": a, "judge": c})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, Truth(good=True), True),
        (Truth(good=True, outcome=1.0), None, True),
        (Truth(good=True), Truth(good=False), False),
        (Truth(good=True, outcome=1.0), Truth(good=True, outcome=2.0), False),
        (Truth(good=None, class_name="worn"), Truth(good=False, class_name="worn"), True),
        (Truth(good=None, class_name="worn"), Truth(good=False), True),
        (Truth(good=False, class_name="worn"), Truth(good=False, class_name="torn"), False),
    ],
)
def test_rows_are_the_same_if_what_is_known_of_both_is(one: Truth | None, other: Truth | None, same: bool) -> None:
    first, second = (
        Sample(name, Path("t.csv"), truth=truth, fields={"x": 1.0})
        for name, truth in zip("ab", (one, other), strict=True)
    )
    for sets in ({"calibration": [first], "judge": [second]}, {"calibration": [second], "judge": [first]}):
        looked = {role: [(sample, Seen(content="x")) for sample in samples] for role, samples in sets.items()}
        assert bool(shared(looked)) == same
        if same:
            with pytest.raises(DataError, match="share a sample"):
                check_disjoint(sets)
        else:
            check_disjoint(sets)
    check_disjoint({"judge": [first, second]})


def test_sizes_are_those_of_the_decoded_picture(tmp_path: Path) -> None:
    assert size_of(draw(tmp_path / "a.png", size=(30, 10))) == (30, 10)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(tmp_path / "a.png").save(tmp_path / "turned.jpg", exif=turned)
    assert size_of(tmp_path / "turned.jpg") == (10, 30)
    bomb = bytearray((tmp_path / "a.png").read_bytes())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    write(tmp_path / "bomb.png", bytes(bomb))
    with pytest.raises(DataError, match=r"bomb\.png cannot be decoded"):
        size_of(tmp_path / "bomb.png")
    os.truncate(tmp_path / "a.png", 20)
    with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
        size_of(tmp_path / "a.png")
