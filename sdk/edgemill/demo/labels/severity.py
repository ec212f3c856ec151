"""How hard the generator is on a part: what a person still reads without hesitation, and what nobody can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAULTS = (
    "wrong-code",
    "missing-glyph",
    "smudge",
    "glare",
    "blur",
    "faded",
    "no-print",
    "no-label",
    "cut",
)
"""What can be wrong with a bad part."""


@dataclass(frozen=True)
class Nuisance:
    """What every part suffers, good or bad; none of it takes a glyph away.

    Attributes:
        tilt: degrees.
        keystone: shift of the label's corners, pixels.
        shift: of the whole label, pixels.
        blur: sigma of a Gaussian, pixels; strokes of the print are about 7 pixels wide.
        noise: sigma, grey levels.
        gain: contrast factor of the whole picture.
        offset: brightness, grey levels.
        ink: opacity of the print, 0 to 1.
        haze: opacity of a reflection over part of the label, 0 to 1.
    """

    tilt: float
    keystone: float
    shift: tuple[float, float]
    blur: float
    noise: float
    gain: float
    offset: float
    ink: float
    haze: float


HARD_SHARE = 0.25
UNREADABLE_BLUR = (10.0, 14.0)
UNREADABLE_INK = (0.0, 0.015)
"""Opacity of the print under noise of at least 3 grey levels: a contrast of 3 levels at the most."""


def draw_nuisance(rng: np.random.Generator) -> Nuisance:
    """Mild on most parts; on a quarter of them as hard as a part may be and still count as good."""
    hard = rng.random() < HARD_SHARE
    return Nuisance(
        tilt=float(rng.uniform(-4, 4) if hard else rng.uniform(-1.5, 1.5)),
        keystone=float(rng.uniform(0, 5) if hard else rng.uniform(0, 2)),
        shift=(float(rng.uniform(-4, 4)), float(rng.uniform(-4, 4))),
        blur=float(rng.uniform(1.2, 2.8) if hard else rng.uniform(0, 0.9)),
        noise=float(rng.uniform(8, 18) if hard else rng.uniform(3, 6)),
        gain=float(rng.uniform(0.4, 0.8) if hard else rng.uniform(0.75, 1.1)),
        offset=float(rng.uniform(-10, 40)),
        ink=float(rng.uniform(0.25, 0.6) if hard else rng.uniform(0.7, 1.0)),
        haze=float(rng.uniform(0.3, 0.6) if hard else rng.uniform(0, 0.2)),
    )
