"""Frame to engine input: crop, resize, colour, as the manifest declares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.picture_input import Colour, PictureInput, ResizeMethod
from edgemill_runtimes.frames.crop import check_frame, crop
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
    check_frame(frame)
    part = frame if declared.region is None else crop(frame, declared.region)
    if declared.colour is Colour.GREY:
        part = np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8)
    width, height = declared.size
    if part.shape[:2] != (height, width):
        part = np.asarray(
            cv2.resize(part, (width, height), interpolation=_INTERPOLATION[declared.resize.method]), np.uint8
        )
    return np.ascontiguousarray(part).reshape(1, height, width, declared.channels)
