"""Four steps by which a controller takes an answer: valid, taken, valid off, taken off. No I/O and no clock."""

from __future__ import annotations

from enum import Enum


class Step(Enum):
    """What a look at ``taken`` means."""

    TAKEN = "taken"
    """The controller has the answer."""
    NOT_TAKEN = "not taken"
    """It had its time."""
    STUCK = "stuck"
    """It does not let ``taken`` go; said once."""


class Handshake:
    """Begins as if an answer of an earlier run were still there: ``valid`` goes off, and ``taken`` must.

    Args:
        most_ns: longest that the controller may take for either of its steps.
    """

    def __init__(self, most_ns: int) -> None:
        self._most_ns = most_ns
        self._since_ns: int | None = None
        self._said = False
        self.offered = False
        self.free = False

    @property
    def valid(self) -> int:
        """What the point ``valid`` is to be."""
        return int(self.offered)

    def offer(self, now_ns: int) -> None:
        """An answer was written, and ``valid`` after it."""
        self.offered, self.free, self._since_ns = True, False, now_ns

    def withdraw(self, now_ns: int) -> None:
        """Whatever is there, it is not offered any more."""
        self.offered, self.free, self._since_ns, self._said = False, False, now_ns, False

    def look(self, taken: bool, now_ns: int) -> Step | None:
        """What ``taken`` says now."""
        since = self._since_ns = now_ns if self._since_ns is None else self._since_ns
        over = now_ns - since > self._most_ns
        if self.offered:
            if not (taken or over):
                return None
            self.withdraw(now_ns)
            return Step.TAKEN if taken else Step.NOT_TAKEN
        self.free = self.free or not taken
        if self.free or not over or self._said:
            return None
        self._said = True
        return Step.STUCK
