"""Picture files to frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import InputError
from edgemill_runtimes.frames.opencv import cv2

Frame = NDArray[np.uint8]
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Files that count as pictures when a folder is given."""


def decode(content: bytes, name: str = "picture") -> Frame:
    """Decode JPEG, PNG, BMP, TIFF or WebP bytes to a frame, ``uint8[height, width, 3]``.

    Raises:
        InputError: the bytes are no picture, are cut off, or hold more than 100 megapixels.
    """
    try:
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error as error:
        raise _unreadable(name, len(content), str(error).strip()) from error
    if frame is None:
        raise _unreadable(name, len(content), "bytes that are no picture")
    return np.asarray(frame, np.uint8)


def read_picture(path: Path) -> Frame:
    """Read a picture file.

    Raises:
        InputError: there is no such file, or it is no picture.
    """
    if not path.is_file():
        raise InputError(
            f"there is no picture at {path}",
            expected="a picture file",
            got="a folder" if path.is_dir() else "no such file",
            fix="check the path",
        )
    return decode(path.read_bytes(), str(path))


def encode_png(frame: Frame, level: int = 3) -> bytes:
    """Lossless bytes of a frame; ``level`` is zlib's, 0 to 9."""
    return bytes(cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, level])[1])


def _unreadable(name: str, size: int, got: str) -> InputError:
    return InputError(
        f"{name} cannot be decoded",
        expected="a JPEG, PNG, BMP, TIFF or WebP picture of at most 100 megapixels",
        got=f"{size} bytes: {got[:200]}",
        fix="take the picture again, or remove the file",
    )
