"""The only module that imports OpenCV."""

from __future__ import annotations

import os

# Refuse decompression bombs: OpenCV reads this limit once, when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(100_000_000))

import cv2

__all__ = ["cv2"]
