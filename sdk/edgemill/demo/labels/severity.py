"""How hard the generator is on a part: what a person still reads without hesitation, and what nobody can read.

=============  ================================  =================================================
what           at worst on a good part           at least on a bad part of that kind
=============  ================================  =================================================
glyphs gone    none                              one whole glyph (missing-glyph, smudge, cut); two
                                                 side by side (glare); all (no-print, no-label)
blur           sigma 2.2 px                      sigma 10 px; strokes are 3 to 8 px wide
print          28 grey levels, 2.5 x the noise   (faded) 1.4 grey levels, a quarter of the noise
place          7 px off, tilted by 3 degrees     (cut) two glyphs or more outside the region
characters     none differs from expected        (wrong-code) one differs, and is fully readable
=============  ================================  =================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

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

Span = tuple[float, float]
_WHITE = 255.0
_PRINT_LEVELS = 190.0
"""Grey levels between fresh ink and the darkest paper."""


@dataclass(frozen=True)
class Nuisance:
    """What every part suffers, good or bad; none of it takes a glyph away.

    Attributes:
        tilt: degrees.
        keystone: most that a corner of the label is out of place, pixels.
        shift: of the whole label, pixels.
        blur: sigma of a Gaussian, pixels.
        noise: sigma, grey levels.
        gain: contrast factor of the whole picture.
        offset: brightness, grey levels.
        ink: opacity of the print, 0 to 1.
        wear: share of the ink that is rubbed off where it is worst, in spots not wider than a stroke, 0 to 1.
        haze: opacity of a reflection over part of the label, 0 to 1.
        vignette: share of the light lost in the picture's corners, 0 to 1.
    """

    tilt: float
    keystone: float
    shift: tuple[float, float]
    blur: float
    noise: float
    gain: float
    offset: float
    ink: float
    wear: float
    haze: float
    vignette: float

    @property
    def contrast(self) -> float:
        """Grey levels left between print and paper, where the reflection is brightest and the paper white.

        What an overexposed sensor clips from the paper is lost to the contrast.
        """
        clipped = max(0.0, _WHITE * self.gain + self.offset - _WHITE)
        return _PRINT_LEVELS * self.ink * (1 - self.wear / 2) * self.gain * (1 - self.haze) - clipped

    @property
    def legible(self) -> bool:
        """Whether a person reads it without hesitation, whatever else is drawn within the spans below."""
        return self.contrast >= LEAST_CONTRAST and self.contrast >= LEAST_CONTRAST_PER_NOISE * self.noise


LEAST_CONTRAST = 28.0
LEAST_CONTRAST_PER_NOISE = 2.5
HARD_SHARE = 0.5
HARD_AT_ONCE = 5
MILD: MappingProxyType[str, Span] = MappingProxyType(
    {
        "tilt": (0, 1.5),
        "keystone": (0, 2),
        "blur": (0, 0.9),
        "noise": (3, 6),
        "gain": (0.75, 1.1),
        "ink": (0.7, 1.0),
        "wear": (0, 0.2),
        "haze": (0, 0.2),
    }
)
HARD: MappingProxyType[str, Span] = MappingProxyType(
    {
        "tilt": (2, 3),
        "keystone": (2, 4),
        "blur": (1.2, 2.2),
        "noise": (8, 16),
        "gain": (0.4, 0.6),
        "ink": (0.3, 0.5),
        "wear": (0.4, 0.7),
        "haze": (0.3, 0.5),
    }
)
UNREADABLE_BLUR: Span = (10, 14)
UNREADABLE_INK: Span = (0.001, 0.005)
UNREADABLE_NOISE: Span = (6, 9)
CUT_GLYPHS = (2, 6)
"""Characters that a shifted label leaves outside the region, least and most."""


def draw_nuisance(rng: np.random.Generator) -> Nuisance:
    """Mild on most parts; on some of them several nuisances as hard as they may be on a part that counts as good."""
    hard = rng.random() < HARD_SHARE
    while True:
        nuisance = _draw(rng, HARD_AT_ONCE if hard else 0)
        # Several hard nuisances can pile up to a label that a person hesitates over: such a one is drawn anew.
        if nuisance.legible:
            return nuisance


def _draw(rng: np.random.Generator, hard_ones: int) -> Nuisance:
    hard = set(rng.choice(list(HARD), hard_ones, replace=False))
    drawn = {name: float(rng.uniform(*(HARD if name in hard else MILD)[name])) for name in MILD}
    drawn["tilt"] *= -1 if rng.random() < 0.5 else 1
    x, y = rng.uniform(-3, 3, 2)
    return Nuisance(
        shift=(float(x), float(y)),
        offset=float(rng.uniform(-5, 20)),
        vignette=float(rng.uniform(0, 0.4)),
        **drawn,
    )
