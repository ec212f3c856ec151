"""The products behind the labels: photographs that scikit-image ships inside its package."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgemill_core.errors import MissingPartError
from edgemill_runtimes.frames import Frame, read_picture
from edgemill_runtimes.frames.opencv import cv2

NAMES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
)
_WIDTH, _HEIGHT = 900, 640


@lru_cache(maxsize=len(NAMES))
def _photograph(name: str) -> Frame:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise MissingPartError(
            "the label generator needs scikit-image's photographs",
            expected="scikit-image",
            got="no such package",
            fix="pip install 'edgemill[demo]'",
        )
    picture = read_picture(Path(spec.origin).parent / "data" / name)
    scale = max(_WIDTH / picture.shape[1], _HEIGHT / picture.shape[0])
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


def product(rng: np.random.Generator, size: tuple[int, int]) -> Frame:
    """A random crop of a random photograph, perhaps mirrored, ``uint8[height, width, 3]`` of its own."""
    width, height = size
    photograph = _photograph(str(rng.choice(NAMES)))
    left = int(rng.integers(0, photograph.shape[1] - width + 1))
    top = int(rng.integers(0, photograph.shape[0] - height + 1))
    crop = photograph[top : top + height, left : left + width]
    return np.array(crop[:, ::-1] if rng.random() < 0.5 else crop, order="C")
