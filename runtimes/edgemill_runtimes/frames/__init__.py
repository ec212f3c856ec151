"""Decode, crop and resize: the one implementation, for calibration, judging and the box alike.

A frame is ``uint8[height, width, 3]`` in OpenCV's channel order (blue, green, red).
"""

from __future__ import annotations

from edgemill_runtimes.frames.crop import check_frame, crop
from edgemill_runtimes.frames.decode import Frame, decode, encode_png, read_picture
from edgemill_runtimes.frames.prepare import prepare

__all__ = ["Frame", "check_frame", "crop", "decode", "encode_png", "prepare", "read_picture"]
