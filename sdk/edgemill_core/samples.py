"""A labelled sample: what a data set knows about one input before any model has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class TrueBox:
    """A labelled box.

    Attributes:
        kind: its class.
        left, top, right, bottom: corners in pixels of the whole picture, origin at the top left.
        ignored: nothing depends on whether it is found; e.g. a crowd that nobody labelled one by one.
    """

    kind: str
    left: float
    top: float
    right: float
    bottom: float
    ignored: bool = False


@dataclass(frozen=True)
class Truth:
    """What is so, whoever looks.

    Attributes:
        good: the part is fit to pass; ``None`` where only a class or an outcome is known, of which the task knows
            whether it is fit.
        text: what is printed on it, where the task reads text.
        outcome: the number that came about, where the task forecasts one.
        class_name: what it shows, where the task names classes.
        boxes: everything of the task's classes that is in the picture; ``None`` where nobody labelled boxes.
        mask: a picture of the same size whose pixels that are not 0 are defective; ``None`` where nobody drew one.
        size: width and height in pixels of the picture that ``boxes`` were drawn in.
    """

    good: bool | None
    text: str | None = None
    outcome: float | None = None
    class_name: str | None = None
    boxes: tuple[TrueBox, ...] | None = None
    size: tuple[int, int] | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Sample:
    """One input with its truth.

    Attributes:
        id: unique in its data set.
        picture: the file of the picture or of the tensors, or the table that the row stands in.
        fields: the row's numbers by name; empty for a picture.
        context: what the line knows when the part comes, e.g. ``{"expected": "L7K42B"}``.
        truth: the label; ``None`` for calibration pictures without one.
    """

    id: str
    picture: Path
    context: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    truth: Truth | None = None
    fields: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
