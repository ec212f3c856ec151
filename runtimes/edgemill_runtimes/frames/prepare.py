"""Frame to engine input: crop, resize, colour, as the manifest declares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import InputError
from edgemill_core.picture_input import Colour, PictureInput, Region, ResizeMethod
from edgemill_runtimes.frames.decode import Frame
from edgemill_runtimes.frames.opencv import cv2

_INTERPOLATION = {
    ResizeMethod.AREA: cv2.INTER_AREA,
    ResizeMethod.LINEAR: cv2.INTER_LINEAR,
    ResizeMethod.CUBIC: cv2.INTER_CUBIC,
}


def prepare(frame: Frame, declared: PictureInput) -> NDArray[np.uint8]:
    """Bring a frame to the engine's input.

    Args:
        frame: ``uint8[height, width, 3]``, blue-green-red.
        declared: what the bundle's manifest says.

    Returns:
        ``uint8[1, height, width, channels]``; colour order stays blue-green-red, the graph turns it.

    Raises:
        InputError: not such a frame, or the region lies outside of it.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(
            "this is not a frame",
            expected="uint8[height, width, 3], blue-green-red",
            got=f"{frame.dtype}{list(frame.shape)}",
            fix="read pictures with edgemill_runtimes.frames.read_picture",
        )
    part = frame if declared.region is None else _crop(frame, declared.region)
    if declared.colour is Colour.GREY:
        part = np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8)
    width, height = declared.size
    if part.shape[:2] != (height, width):
        part = np.asarray(
            cv2.resize(part, (width, height), interpolation=_INTERPOLATION[declared.resize.method]), np.uint8
        )
    return np.ascontiguousarray(part).reshape(1, height, width, declared.channels)


def _crop(frame: Frame, region: Region) -> Frame:
    height, width = frame.shape[:2]
    if region.x + region.width > width or region.y + region.height > height:
        raise InputError(
            "the picture is smaller than the region to look at",
            expected=f"at least {region.x + region.width} x {region.y + region.height} pixels",
            got=f"{width} x {height} pixels",
            fix="check the camera's resolution, or the recipe's input: region:",
        )
    return frame[region.y : region.y + region.height, region.x : region.x + region.width]
