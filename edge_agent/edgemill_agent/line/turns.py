"""When an engine that nobody waits for may run: the decision, without processes and clocks."""

from __future__ import annotations

_LEAST = 0.1
"""Share of the time that it gets even where the other one never rests."""
_MEMORY_S = 1.0


class Turns:
    """Shares out two cores' time between an engine that judges parts and one that loads, or looks on.

    Priorities alone do not do it: a process that is nice takes its share all the same, and may hold caches and the
    interpreter's locks at the wrong moment. So it is stopped while a part is judged, unless it would starve.
    """

    def __init__(self) -> None:
        self._ran = self._stood = 0.0
        self._since_s: float | None = None
        self.standing = False

    def stand(self, now_s: float) -> bool:
        """A part is being judged, another one or still the same; says whether the other engine is to stand now."""
        self._count(now_s)
        self.standing = self._ran >= _LEAST * (self._ran + self._stood)
        return self.standing

    def go_on(self, now_s: float) -> None:
        """No part is being judged any more."""
        self._count(now_s)
        self.standing = False

    def _count(self, now_s: float) -> None:
        """Time since the last turn; what is long ago counts for less and less."""
        if self._since_s is not None:
            took = now_s - self._since_s
            kept = 0.5 ** (took / _MEMORY_S)
            self._ran, self._stood = self._ran * kept, self._stood * kept
            if self.standing:
                self._stood += took
            else:
                self._ran += took
        self._since_s = now_s
