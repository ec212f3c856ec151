"""Boxes in YOLO's text files (https://docs.ultralytics.com/datasets/detect): one file a picture, one line a box.

A line is the class's number, then middle, width and height of the box in shares of the picture. The labels of
``images/a.png`` are in ``labels/a.txt``; where there are no two such folders, they lie beside the picture. A picture
without such a file is not labelled; an empty file says that it holds nothing.
"""

from __future__ import annotations

from pathlib import Path

from edgemill_converters.readers.folders import by_stem, check_inside, pictures_below
from edgemill_converters.readers.picture_size import size_of
from edgemill_converters.readers.yolo_names import find_names, read_names
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, TrueBox, Truth

_SLACK = 1.0
"""Pixels by which a box may stick out, where somebody rounded."""
_LARGEST = 1 << 24


def read_yolo(path: Path, names: Path | None = None) -> list[Sample]:
    """Every picture below ``path``.

    Args:
        path: a folder of pictures.
        names: the data set's YAML with ``names``, or a text file with one a line; else the nearest ``data.yaml`` or
            ``classes.txt`` above the pictures.

    Raises:
        DataError: no such folder, no names, a line that is no box, a class without a name, labels of no picture.
    """
    pictures = pictures_below(path, path, deep=True)
    classes = read_names(names or find_names(path))
    places = {_labels_of(path, picture): picture for picture in by_stem(pictures).values()}
    for place in places:
        if place.is_file() and place.is_symlink():
            check_inside(place.parent, place)
    _check_labels(places)
    return [_sample(path, picture, place, classes) for place, picture in places.items()]


def _labels_of(root: Path, picture: Path) -> Path:
    """``labels`` for the last ``images`` on the way, if that is a folder of this set; else beside the picture.

    A folder far above the set may happen to be called ``images``: then no ``labels`` there holds a folder like the set.
    """
    folders = list(picture.parts[:-1])
    if "images" in folders:
        last = len(folders) - 1 - folders[::-1].index("images")
        other = [*folders[:last], "labels", *folders[last + 1 :]]
        if Path(*other[: max(last + 1, len(root.parts))]).is_dir():
            return Path(*other, picture.name).with_suffix(".txt")
    return picture.with_suffix(".txt")


def _check_labels(places: dict[Path, Path]) -> None:
    """Refuse labels of pictures that are not there."""
    for folder in sorted({place.parent for place in places}):
        for file in sorted(folder.glob("*.txt")):
            if file not in places and file.name not in ("classes.txt", "train.txt", "val.txt", "test.txt"):
                raise DataError(
                    f"{file} labels no picture",
                    expected=f"a picture called {file.stem}",
                    got="none below the folder that the recipe names",
                    fix="add the picture, or remove the labels",
                )


def _sample(root: Path, picture: Path, place: Path, classes: dict[int, str]) -> Sample:
    name = picture.relative_to(root).as_posix()
    if not place.is_file():
        return Sample(name, picture)
    size = size_of(picture)
    lines = enumerate(_text(place).splitlines(), 1)
    boxes = tuple(_box(f"{place}, line {number}", line, classes, size) for number, line in lines if line.strip())
    return Sample(name, picture, truth=Truth(good=not boxes, boxes=boxes, size=size))


def _text(place: Path) -> str:
    try:
        if place.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        return place.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{place} cannot be read",
            expected="a text file with a box a line",
            got=str(error),
            fix="export the labels again",
        ) from error


def _box(where: str, line: str, classes: dict[int, str], size: tuple[int, int]) -> TrueBox:
    cells = line.split()
    try:
        kind, (x, y, width, height) = int(cells[0]), map(float, cells[1:])
    except ValueError:
        raise _wrong(where, "a class's number, then middle x, middle y, width and height", line) from None
    if kind not in classes:
        known = ", ".join(f"{number} {name}" for number, name in list(classes.items())[:20])
        raise _wrong(where, f"the number of a class: {known}", str(kind))
    if not all(0 <= value <= 1 for value in (x, y, width, height)) or not width * height > 0:
        raise _wrong(where, "shares of the picture from 0 to 1, and a box with an area", line)
    left, right = ((x + side * width / 2) * size[0] for side in (-1, 1))
    top, bottom = ((y + side * height / 2) * size[1] for side in (-1, 1))
    if min(left, top) < -_SLACK or right > size[0] + _SLACK or bottom > size[1] + _SLACK:
        raise _wrong(where, f"a box inside of its picture of {size[0]} x {size[1]} pixels", line)
    return TrueBox(classes[kind], left, top, right, bottom)


def _wrong(where: str, expected: str, got: str) -> DataError:
    return DataError(f"{where}: no box", expected=expected, got=got[:200], fix="mend this line, or export again")
