"""One file of Pascal VOC. No entity is expanded and nothing is fetched: a document type is refused where it begins."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from edgemill_core.errors import DataError
from edgemill_core.samples import TrueBox

_SLACK = 1.0
"""Pixels by which a box may stick out, where somebody rounded or counted from 0."""
_LARGEST = 1 << 22
_LINE = "line"
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotated:
    """What a file says.

    Attributes:
        picture: its file's name; empty if it is not said.
        size: width and height in pixels.
    """

    picture: str
    size: tuple[int, int]
    boxes: tuple[TrueBox, ...]


def read_annotation(file: Path) -> Annotated:
    """Read one file.

    Raises:
        DataError: malformed, with a document type, or without what a box needs; the message names file and line.
    """
    root = _parsed(file)
    if root.tag != "annotation":
        raise _wrong(file, root, "annotation as the outermost element", root.tag)
    sides = root.find("size")
    width, height = (int(_number(file, sides if sides is not None else root, key)) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise _wrong(file, sides, "width and height in pixels", f"{width} x {height}")
    boxes = tuple(_box(file, one, (width, height)) for one in root.findall("object"))
    return Annotated(_text(root, "filename"), (width, height), boxes)


def _box(file: Path, told: Element, size: tuple[int, int]) -> TrueBox:
    name, sides = _text(told, "name"), told.find("bndbox")
    if not name or sides is None:
        raise _wrong(file, told, "an object with name and bndbox", ", ".join(part.tag for part in told) or "nothing")
    left, top, right, bottom = (_number(file, sides, key) for key in _SIDES)
    left, top = left - 1, top - 1
    if right <= left or bottom <= top:
        raise _wrong(file, sides, "a box with an area", f"{left + 1:g} {top + 1:g} {right:g} {bottom:g}")
    if min(left, top) < -_SLACK or right > size[0] + _SLACK or bottom > size[1] + _SLACK:
        inside = f"a box inside of its picture of {size[0]} x {size[1]} pixels"
        raise _wrong(file, sides, inside, f"{left + 1:g} {top + 1:g} {right:g} {bottom:g}")
    return TrueBox(name, left, top, right, bottom, ignored=_text(told, "difficult") == "1")


def _text(element: Element, key: str) -> str:
    return (element.findtext(key) or "").strip()


def _number(file: Path, element: Element, key: str) -> float:
    try:
        value = float(_text(element, key))
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise _wrong(file, element, f"a number in {key}", _text(element, key)[:40] or "nothing")
    return value


def _parsed(file: Path) -> Element:
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def start(tag: str, _: dict[str, str]) -> None:
        builder.start(tag, {_LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: Any) -> None:
        raise ValueError(f"line {parser.CurrentLineNumber}: a document type, which may declare entities")

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        parser.Parse(file.read_bytes(), True)
        return builder.close()
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:
        raise DataError(
            f"{file} cannot be read",
            expected="Pascal VOC's XML, without a document type",
            got=str(error),
            fix="mend the file, or export the labels again",
        ) from error


def _wrong(file: Path, element: Element | None, expected: str, got: str) -> DataError:
    line = element.get(_LINE) if element is not None else 1
    return DataError(f"{file}, line {line}: no label", expected=expected, got=got, fix="mend it, or export it again")
