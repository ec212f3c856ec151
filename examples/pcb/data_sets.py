"""Composed pictures and their labels, for calibration, search and judge: each set of boards by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from layout import KINDS, Boxes, Part
from pair import Colour, compose, disturbed, write
from patches import CLASSES, defects, good_places, seen


def write_pictures(place: Path, parts: list[Part], good_too: bool) -> None:
    """``place/pictures`` and ``place/boxes.json`` in COCO's form.

    The good half are templates as they might be seen once more (``disturbed``), beside themselves.
    """
    (place / "pictures").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for name, picture, boxes in _composed(parts, good_too):
        write(place / "pictures" / f"{name}.png", picture)
        height, width = picture.shape[:2]
        images.append({"id": len(images), "file_name": f"pictures/{name}.png", "width": width, "height": height})
        for left, top, right, bottom, kind in boxes.tolist():
            box = [left, top, right - left, bottom - top]
            annotations.append({"id": len(annotations), "image_id": len(images) - 1, "category_id": kind, "bbox": box})
    categories = [{"id": number, "name": kind} for number, kind in enumerate(KINDS)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (place / "boxes.json").write_text(json.dumps(coco))


def write_patches(place: Path, parts: list[Part]) -> None:
    """``place/patches`` and ``place/patches.csv``: one patch a labelled defect, and as many good ones."""
    (place / "patches").mkdir(parents=True, exist_ok=True)
    with (place / "patches.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "good", "class"])
        for part in parts:
            places = [*defects([part]), *good_places([part], _rng(part))]
            for number, one in enumerate(places):
                name, kind = f"patches/{part.name}-{number:02d}.png", CLASSES[one.kind]
                write(place / name, seen(one))
                table.writerow([name, int(kind == "good"), kind])


def evenly(parts: list[Part], most: int) -> list[Part]:
    """At most so many, from all over: calibration should see every board."""
    return [
        parts[index] for index in np.unique(np.linspace(0, len(parts) - 1, min(most, len(parts))).round().astype(int))
    ]


def _composed(parts: list[Part], good_too: bool) -> Iterable[tuple[str, Colour, Boxes]]:
    for part in parts:
        yield f"{part.name}-test", compose(part.test, part.template), part.boxes
        if good_too:
            yield f"{part.name}-good", compose(disturbed(part.template, _rng(part)), part.template), part.boxes[:0]


def _rng(part: Part) -> np.random.Generator:
    """The same for a part whichever others there are."""
    return np.random.default_rng(crc32(part.name.encode()))
