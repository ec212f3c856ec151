"""Lot and expiry codes, and wrong ones that look right."""

from __future__ import annotations

import numpy as np

LOT_CHARACTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXY"
"""No I, O, Q or Z: real lot codes leave out what people confuse with 1, 0 and 2."""
ALPHABET = LOT_CHARACTERS + "- "
_LOT_LENGTH = 5


def draw_code(rng: np.random.Generator) -> str:
    """A code such as ``L7K42B 2027-05``: lot, space, expiry."""
    return f"L{_draw(rng, _LOT_LENGTH)} {rng.integers(2026, 2031)}-{rng.integers(1, 13):02d}"


def draw_wrong_code(rng: np.random.Generator, right: str) -> str:
    """Another code: one or two characters changed, another lot, or another expiry."""
    lot, expiry = right.split(" ")
    kind = rng.integers(0, 3)
    wrong = right
    while wrong == right:
        if kind == 0:
            wrong = _change(rng, lot, int(rng.integers(1, 3))) + " " + expiry
        elif kind == 1:
            wrong = f"L{_draw(rng, _LOT_LENGTH)} {expiry}"
        else:
            wrong = f"{lot} {draw_code(rng).split(' ')[1]}"
    return wrong


def _draw(rng: np.random.Generator, count: int) -> str:
    return "".join(rng.choice(list(LOT_CHARACTERS), count))


def _change(rng: np.random.Generator, lot: str, count: int) -> str:
    letters = list(lot)
    for place in rng.choice(np.arange(1, len(lot)), count, replace=False):
        letters[place] = str(rng.choice([c for c in LOT_CHARACTERS if c != letters[place]]))
    return "".join(letters)
