"""A part and its template as one picture, which is what the models are trained on and what the box sees.

    python pair.py FOLDER OUT [BOARD ...]

Red is the part, green the template, blue how far they are apart. Written as PNG, so that nothing is lost on the way.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from layout import Grey, boards_of, read_parts
from numpy.typing import NDArray

Colour = NDArray[np.uint8]
MEAN, STD = 127.0, 128.0
"""What the ImageNet weights expect of a picture in 0 to 255, and so both models."""


def compose(test: Grey, template: Grey) -> Colour:
    """``uint8[height, width, 3]``, red first."""
    return np.dstack([test, template, cv2.absdiff(test, template)])


def disturbed(picture: Grey, rng: np.random.Generator, furthest: int = 2) -> Grey:
    """The same place seen once more: moved by up to ``furthest`` pixels, a little brighter or darker, with noise.

    A template beside itself would be a good part such as no camera ever sees.
    """
    move = np.float32([[1, 0, rng.integers(-furthest, furthest + 1)], [0, 1, rng.integers(-furthest, furthest + 1)]])
    height, width = picture.shape
    moved = cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return noisy(moved, rng)


def noisy(picture: Grey, rng: np.random.Generator) -> Grey:
    """Contrast and brightness off by up to a twentieth, and noise of up to 8 grey levels (one sigma)."""
    noise = rng.standard_normal(picture.shape, np.float32) * rng.uniform(0, 8)
    seen = picture * np.float32(rng.uniform(0.95, 1.05)) + np.float32(rng.uniform(-12, 12)) + noise
    return np.clip(seen, 0, 255).astype(np.uint8)


def write(path: Path, picture: Colour) -> None:
    """As PNG."""
    path.write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("folder", type=Path)
    told.add_argument("out", type=Path)
    told.add_argument("boards", nargs="*", help="all, if none is named")
    args = told.parse_args()
    args.out.mkdir(parents=True)
    for part in read_parts(args.folder, args.boards or boards_of(args.folder)):
        write(args.out / f"{part.name}.png", compose(part.test, part.template))


if __name__ == "__main__":
    main()
