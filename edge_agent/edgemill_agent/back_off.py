"""How long to wait before the next try: to connect, or to start a process again."""

from __future__ import annotations

import random

FIRST_S, MOST_S = 0.1, 3.0


class BackOff:
    """Doubles from try to try, with a jitter of half, so that the boxes of a hall do not all knock at once.

    Args:
        first_s: the first wait, seconds.
        most_s: the longest one.
    """

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._first, self._most = first_s, most_s
        self._next = first_s

    def wait_s(self) -> float:
        """Seconds until the next try."""
        wait, self._next = self._next, min(2 * self._next, self._most)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """It worked."""
        self._next = self._first
