"""How far records were sent and acknowledged: the publisher's decisions, without clock or network.

Go-back-N (Tanenbaum, "Computer Networks", section 3.4.2) over positions of the ledger: the window bounds what is under
way, an acknowledgement moves it, and where none comes, or the consumer asks, sending starts again behind the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

RESEND_FIRST, RESEND_MOST = 2.0, 60.0
AGAIN_APART = 0.5


@dataclass
class Window:
    """State of sending one ledger to one consumer; times are monotonic seconds.

    Attributes:
        acknowledged: position up to which the consumer has everything.
        limit: records that may be under way.
        sent: position up to which records were sent since the last step back.
    """

    acknowledged: int
    limit: int
    sent: int = -1
    _progress: float = 0.0
    _resend_after: float = RESEND_FIRST
    _asked_again: float = float("-inf")

    def __post_init__(self) -> None:
        self.sent = max(self.sent, self.acknowledged)

    def room(self) -> int:
        """How many more records may be sent now."""
        return max(0, self.limit - (self.sent - self.acknowledged))

    def sending(self, position: int, now: float) -> None:
        """Records up to ``position`` are on their way."""
        if self.sent == self.acknowledged:
            self._progress = now
        self.sent = position

    def acknowledge(self, position: int, again: bool, now: float) -> None:
        """The consumer says that it has everything up to ``position``; it may have less than it once had."""
        if position > self.acknowledged:
            self.acknowledged = position
            self.sent = max(self.sent, position)
            self._progress, self._resend_after = now, RESEND_FIRST
        # Every batch under way behind a gap asks again: one step back answers them all.
        if again and now - self._asked_again >= AGAIN_APART:
            self._asked_again = now
            self._step_back(position, now)

    def begin_at(self, position: int) -> None:
        """Records up to ``position`` were trimmed: there is nothing to send before it."""
        if position > self.acknowledged:
            self.acknowledged = position
            self.sent = max(self.sent, position)

    def tick(self, now: float) -> bool:
        """Step back if nothing was acknowledged for too long, each time waiting longer; true if it did."""
        if self.sent == self.acknowledged or now - self._progress < self._resend_after:
            return False
        self._resend_after = min(self._resend_after * 2, RESEND_MOST)
        self._step_back(self.acknowledged, now)
        return True

    def connected(self, now: float) -> None:
        """A new connection: what was under way on the old one counts as not sent."""
        self._resend_after = RESEND_FIRST
        self._step_back(self.acknowledged, now)

    def _step_back(self, position: int, now: float) -> None:
        self.acknowledged = self.sent = position
        self._progress = now
