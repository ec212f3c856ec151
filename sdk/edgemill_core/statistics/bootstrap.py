"""The parts of a bootstrap over samples that every bound made by one shares."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEED = 20240601
"""The same data must always give the same ruling."""
LEAST_DRAWS, BEYOND, MOST_DRAWS = 2000, 40, 20_000
"""So many draws, or as many as put so many beyond the bound, up to a limit."""


_PIECE = 2_000_000
"""Whole numbers drawn at once, before they are made smaller."""


@lru_cache(maxsize=1)
def draws(count: int, confidence: float) -> NDArray[np.float32]:
    """``float32[count, draws]``, not to be written to: how often each sample is drawn."""
    number = min(MOST_DRAWS, max(LEAST_DRAWS, ceil(BEYOND / (1 - confidence))))
    rng, shares = np.random.default_rng(SEED), np.full(count, 1 / count)
    drawn = np.empty((number, count), np.float32)
    # One generator gives the same numbers piece by piece as at once.
    step = max(1, _PIECE // count)
    for start in range(0, number, step):
        rows = drawn[start : start + step]
        rows[:] = rng.multinomial(count, shares, size=len(rows))
    drawn.flags.writeable = False
    return drawn.T


def expanded(confidence: float, count: int) -> float:
    """The level of a quantile that makes up for a bootstrap's being too narrow on few samples; 1 for a single one."""
    if count < 2:
        return 1.0
    normal, freedom = NormalDist(), count - 1
    z = normal.inv_cdf(confidence)
    # Student's quantile from the normal one (Fisher and Cornish 1960), to 1 % from 5 degrees of freedom on.
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(t * sqrt(count / freedom))


def beyond(seen: float, drawn: Floats, level: float) -> float:
    """The upper bound by percentiles or by the basic bootstrap, whichever is further out.

    A curve's best precision behind each point is the better the fewer pictures there are, so that few show too small a
    drop where a variant adds false boxes; drawing again adds the same error once more. There the basic bound, which
    takes it off, is true; where boxes are lost the drops are skewed to the right, and the percentile is.
    """
    high, low = np.quantile(drawn, [level, 1 - level])
    return max(seen, float(high), 2 * seen - float(low))


def unseen(confidence: float, count: int) -> float:
    """The share that may be lost while none of ``count`` samples shows it: the exact binomial bound at 0."""
    return 1 - (1 - confidence) ** (1 / count) if count else 1.0


def samples_to_narrow(samples: int, seen: float, upper: float, allowance: float, allowed: float) -> int | None:
    """About how many samples like these would bring ``upper`` to ``allowed``, if the drop stays as it was ``seen``.

    The bootstrap's part of the bound shrinks with the root of their number, the allowance with the number itself.
    """
    room, spread = allowed - max(seen, 0.0), max(0.0, upper - allowance - max(seen, 0.0))
    if room <= 0:
        return None
    root = (sqrt(spread * spread + 4 * allowance * room) + spread) / (2 * room)
    return ceil(samples * root * root)


def finite(values: Floats) -> Floats:
    """Those of the draws that show anything."""
    found: Floats = values[np.isfinite(values)]
    return found
