"""A part of a frame, turned if asked; the one place where frames are cut."""

from __future__ import annotations

import numpy as np

from edgemill_core.errors import InputError
from edgemill_core.picture_input import Region
from edgemill_runtimes.frames.decode import Frame


def check_frame(frame: Frame) -> None:
    """Refuse what is no frame.

    Raises:
        InputError: not ``uint8[height, width, 3]`` with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise InputError(
            "this is not a frame",
            expected="uint8[height, width, 3], blue-green-red",
            got=f"{frame.dtype}{list(frame.shape)}",
            fix="read pictures with edgemill_runtimes.frames.read_picture",
        )


def crop(frame: Frame, region: Region, rotate: int = 0) -> Frame:
    """Cut ``region`` out of a frame and turn it clockwise by ``rotate`` degrees, a multiple of 90.

    Raises:
        InputError: the region lies outside of the frame.
    """
    height, width = frame.shape[:2]
    if region.x + region.width > width or region.y + region.height > height:
        raise InputError(
            "the picture is smaller than the region to look at",
            expected=f"at least {region.x + region.width} x {region.y + region.height} pixels",
            got=f"{width} x {height} pixels",
            fix="check the camera's resolution, or the recipe's input: region:",
        )
    part = frame[region.y : region.y + region.height, region.x : region.x + region.width]
    return np.ascontiguousarray(np.rot90(part, -(rotate // 90))) if rotate % 360 else part
