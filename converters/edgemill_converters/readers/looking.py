"""One look at a sample: can it be read and prepared as the build would, and what is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgemill_converters.judging import prepare_set
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import DataError, InputError
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample
from edgemill_core.tensors import Array
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.frames.decode import Frame

_FLAT = 1.0
"""Standard deviation in grey levels below which a picture shows nothing."""


@dataclass(frozen=True)
class Seen:
    """What one look found.

    Attributes:
        size: width and height in pixels, e.g. ``640 x 480``; empty of what is no picture.
        content: digest of the decoded pixels, of the numbers or of the values; empty if there is a fault.
        fault: why a build could not use it, in words.
        flat: nothing is to be seen in it.
    """

    size: str = ""
    content: str = ""
    fault: str = ""
    flat: bool = False


def look_at(sample: Sample, declared: AnyInput | None) -> Seen:
    """Read a sample.

    Args:
        sample: whether its files are there or not.
        declared: what the model looks at; pictures are then prepared too. ``None`` if only pictures are to be read.
    """
    try:
        if declared is None or isinstance(declared, PictureInput):
            return _look_at_picture(sample, declared)
        return _look_at_values(sample, declared)
    except (DataError, InputError) as error:
        return Seen(fault=f"{error.what}: {error.got}" if error.got else error.what)
    except OSError as error:
        return Seen(fault=str(error))


def _look_at_picture(sample: Sample, declared: PictureInput | None) -> Seen:
    frame = read_picture(sample.picture)
    height, width = frame.shape[:2]
    size = f"{width} x {height}"
    fault = _labels_fault(sample, frame)
    if not fault and declared is not None:
        fault = _complaint(lambda: prepare_set([sample], declared))
    grey = frame[:: max(1, height // 256), :: max(1, width // 256)]
    content = sha256_bytes(f"{frame.shape}".encode() + frame.tobytes())
    return Seen(size, "" if fault else content, fault, float(grey.std(axis=(0, 1)).max()) < _FLAT)


def _look_at_values(sample: Sample, declared: AnyInput) -> Seen:
    prepared: Array = prepare_set([sample], declared)
    if sample.fields:
        return Seen(content=sha256_bytes(canonical_json(dict(sample.fields))))
    values = np.ascontiguousarray(prepared)
    return Seen(content=sha256_bytes(f"{values.dtype}{values.shape}".encode() + values.tobytes()))


def _complaint(work: Callable[[], object]) -> str:
    try:
        work()
    except (DataError, InputError) as error:
        return f"{error.what}: {error.got}" if error.got else error.what
    return ""


def _labels_fault(sample: Sample, frame: Frame) -> str:
    truth = sample.truth
    if truth is None or truth.mask is None:
        return ""
    if not truth.mask.is_file():
        return f"its mask {truth.mask} is not there"
    mask = read_picture(truth.mask)
    if mask.shape != frame.shape:
        return f"its mask has {mask.shape[1]} x {mask.shape[0]} pixels"
    return "" if mask.any() else f"its mask {truth.mask} marks nothing"
