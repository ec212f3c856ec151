"""A bound on how fast bytes come, so that a download leaves the line's network to the line."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """So many bytes per second, over any stretch of time, and a little at once.

    A token bucket that is kept as one number: the moment at which all that was let through would have been due.

    Args:
        most: bytes per second.
        at_once: bytes that may come together after a pause.
        clock: monotonic, in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        most: float,
        at_once: int = 1 << 16,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._most, self._grace_s, self._clock, self._sleep = most, at_once / most, clock, sleep
        self._due = clock() - self._grace_s

    def let(self, count: int) -> float:
        """Wait until ``count`` bytes more may have come; gives the seconds that it took."""
        now = self._clock()
        self._due = max(self._due, now - self._grace_s) + count / self._most
        if self._due <= now:
            return 0.0
        self._sleep(self._due - now)
        return self._clock() - now
