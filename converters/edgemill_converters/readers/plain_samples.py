"""Samples that somebody's code made, with Python's own values: tables and arrays give NumPy's, which are no JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from edgemill_core.samples import Sample, TrueBox, Truth


def plain_sample(sample: Sample) -> Sample:
    """The same sample; numbers and texts of any type become ``float``, ``bool`` and ``str``.

    Raises:
        TypeError: a value is none of what belongs there, in words.
    """
    if not isinstance(sample.fields, Mapping) or not isinstance(sample.context, Mapping):
        raise TypeError("fields and context are mappings")
    if not isinstance(sample.truth, Truth | None):
        raise TypeError(f"truth is {sample.truth!r:.80}, no Truth")
    return replace(
        sample,
        id=_text("id", sample.id),
        context={_text("context", key): _text(f"context {key}", value) for key, value in sample.context.items()},
        truth=_truth(sample.truth) if sample.truth is not None else None,
        fields={_text("fields", key): _number(f"field {key}", value) for key, value in sample.fields.items()},
    )


def _truth(truth: Truth) -> Truth:
    if not isinstance(truth.mask, Path | None):
        raise TypeError(f"mask is {truth.mask!r:.80}, no Path")
    return Truth(
        good=_yes("good", truth.good) if truth.good is not None else None,
        text=_text("text", truth.text) if truth.text is not None else None,
        outcome=_number("outcome", truth.outcome) if truth.outcome is not None else None,
        class_name=_text("class_name", truth.class_name) if truth.class_name is not None else None,
        boxes=_boxes(truth.boxes) if truth.boxes is not None else None,
        size=_size(truth.size) if truth.size is not None else None,
        mask=truth.mask,
    )


def _boxes(boxes: object) -> tuple[TrueBox, ...]:
    if not isinstance(boxes, tuple | list) or not all(isinstance(box, TrueBox) for box in boxes):
        raise TypeError(f"boxes is {boxes!r:.80}, no tuple of TrueBox")
    return tuple(_box(box) for box in boxes)


def _box(box: TrueBox) -> TrueBox:
    left, top, right, bottom = (_number(side, getattr(box, side)) for side in ("left", "top", "right", "bottom"))
    return TrueBox(_text("kind", box.kind), left, top, right, bottom, _yes("ignored", box.ignored))


def _size(size: object) -> tuple[int, int]:
    if isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(one, Integral) for one in size):
        return int(size[0]), int(size[1])
    raise TypeError(f"size is {size!r:.80}, not width and height in pixels")


def _number(what: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, Real | np.bool_) else float("nan")
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise TypeError(f"{what} is {value!r:.80}, no finite number")
    return number


def _yes(what: str, value: object) -> bool:
    if isinstance(value, np.bool_ | Integral) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{what} is {value!r:.80}, neither True nor False")


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is {value!r:.80}, no text")
    return str(value)
