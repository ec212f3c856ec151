"""How long to wait before the next try to connect."""

from __future__ import annotations

import random

FIRST_S, MOST_S = 0.1, 3.0


class BackOff:
    """Doubles from try to try, with a jitter of half, so that the boxes of a hall do not all knock at once."""

    def __init__(self) -> None:
        self._next = FIRST_S

    def wait_s(self) -> float:
        """Seconds until the next try."""
        wait, self._next = self._next, min(2 * self._next, MOST_S)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """It worked."""
        self._next = FIRST_S
