"""Boxes in COCO's JSON (https://cocodataset.org/#format-data): ``images``, ``annotations``, ``categories``.

``bbox`` is left, top, width and height in pixels. Annotations with ``iscrowd`` or ``ignore`` count neither way; a
picture without others is good. Segmentations and key points are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, TrueBox, Truth

_SLACK = 1.0
"""Pixels by which a box may stick out, where somebody rounded."""
_Entry = Mapping[str, Any]


def read_coco(path: Path) -> list[Sample]:
    """Read ``path``; pictures lie relative to it.

    Raises:
        DataError: no such file, no JSON, not in this form, a picture named twice, a box of an unknown picture or
            category, or one that is none or lies outside of its picture; the message names file and id.
    """
    told = _read(path)
    names = {entry["id"]: str(entry["name"]) for entry in _entries(path, told, "categories", ("id", "name"))}
    images = _entries(path, told, "images", ("id", "file_name", "width", "height"))
    _each_once(path, images)
    boxes: dict[Any, list[TrueBox]] = {image["id"]: [] for image in images}
    sizes = {image["id"]: _size(path, image) for image in images}
    for entry in _entries(path, told, "annotations", ("id", "image_id", "category_id", "bbox")):
        if entry["image_id"] not in boxes or entry["category_id"] not in names:
            unknown = "image_id" if entry["image_id"] not in boxes else "category_id"
            raise _wrong(path, "annotation", entry, f"{unknown} of an entry that is there", str(entry[unknown]))
        name, size = names[entry["category_id"]], sizes[entry["image_id"]]
        boxes[entry["image_id"]].append(_box(path, entry, name, size))
    return [_sample(path, image, boxes[image["id"]], sizes[image["id"]]) for image in images]


def _read(path: Path) -> _Entry:
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read",
            expected="a file in COCO's JSON",
            got=str(error),
            fix="mend the path in the recipe, or export the labels again",
        ) from error
    if not isinstance(told, dict):
        raise DataError(
            f"{path} is not in COCO's form",
            expected="an object with images, annotations and categories",
            got=f"a {type(told).__name__}",
            fix="export the labels as COCO detection JSON",
        )
    return told


def _entries(path: Path, told: _Entry, part: str, keys: tuple[str, ...]) -> list[_Entry]:
    found = told.get(part)
    if not isinstance(found, list):
        raise DataError(
            f"{path} is not in COCO's form",
            expected=f"a list under {part!r}",
            got=f"keys: {', '.join(map(str, told)) or 'none'}",
            fix="export the labels as COCO detection JSON",
        )
    for number, entry in enumerate(found):
        lacking = [key for key in keys if not isinstance(entry, dict) or not _plain(key, entry.get(key))]
        if lacking:
            raise DataError(
                f"{path}: entry {number} of {part} lacks {', '.join(lacking)}",
                expected=", ".join(keys),
                got=str(entry)[:200],
                fix="mend this entry, or export the labels again",
            )
    return found


def _plain(key: str, value: object) -> bool:
    """Whether it is there; what things are found by must be a number or a text."""
    return isinstance(value, (int, str)) if key.endswith("id") else value is not None


def _each_once(path: Path, images: list[_Entry]) -> None:
    for key in ("id", "file_name"):
        seen: set[str] = set()
        for image in images:
            if str(image[key]) in seen:
                raise DataError(
                    f"{path} names a picture twice",
                    expected=f"one image for each {key}",
                    got=f"{key} {image[key]!r}",
                    fix="remove one of the entries",
                )
            seen.add(str(image[key]))


def _size(path: Path, image: _Entry) -> tuple[int, int]:
    width, height = image["width"], image["height"]
    if not all(isinstance(side, int) and side > 0 for side in (width, height)):
        raise _wrong(path, "image", image, "width and height in pixels", f"{width!r} x {height!r}")
    return width, height


def _box(path: Path, entry: _Entry, name: str, size: tuple[int, int]) -> TrueBox:
    box = entry["bbox"]
    numbers = isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))
    if not numbers or box[2] <= 0 or box[3] <= 0:
        raise _wrong(path, "annotation", entry, "bbox: [left, top, width, height], with an area", str(box)[:100])
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    if min(left, top) < -_SLACK or right > size[0] + _SLACK or bottom > size[1] + _SLACK:
        inside = f"a box inside of its picture of {size[0]} x {size[1]} pixels (left, top, width, height)"
        raise _wrong(path, "annotation", entry, inside, str(box))
    return TrueBox(name, left, top, right, bottom, bool(entry.get("iscrowd") or entry.get("ignore")))


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, (int, float)) and isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _sample(path: Path, image: _Entry, boxes: list[TrueBox], size: tuple[int, int]) -> Sample:
    name, good = str(image["file_name"]), all(box.ignored for box in boxes)
    return Sample(name, path.parent / name, truth=Truth(good=good, boxes=tuple(boxes), size=size))


def _wrong(path: Path, what: str, entry: _Entry, expected: str, got: str) -> DataError:
    fix = "mend this entry, or export the labels again"
    return DataError(f"{path}: {what} {entry['id']} is wrong", expected=expected, got=got, fix=fix)
