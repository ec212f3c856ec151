"""Width and height of a picture as it is decoded, from its header alone where that is enough."""

from __future__ import annotations

import warnings
from pathlib import Path

from edgemill_core.errors import DataError, InputError
from edgemill_runtimes.frames import read_picture

_ORIENTATION, _UPRIGHT = 0x0112, 1
"""Exif 2.3, tag Orientation: whoever decodes turns the picture by it."""


def size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        DataError: it is no picture, or holds more than 100 megapixels.
    """
    found = _of_header(path)
    if found is not None:
        return found
    try:
        height, width = read_picture(path).shape[:2]
    except InputError as error:
        raise DataError(error.what, expected=error.expected, got=error.got, fix=error.fix) from error
    return width, height


def _of_header(path: Path) -> tuple[int, int] | None:
    """``None`` where only decoding tells: an unknown header, one that says to turn the picture, or one too large."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of Pillow: a picture that is suspiciously large
            with Image.open(path) as picture:
                turned = picture.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
                return None if turned else picture.size
    except Exception:  # whatever ails the header, decoding says so
        return None
