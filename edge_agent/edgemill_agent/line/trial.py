"""Whether a new engine stays: the decision, without processes and clocks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Course(Enum):
    """What becomes of a new engine."""

    ON = "on trial"
    KEPT = "committed"
    BACK = "fell back"


@dataclass
class Trial:
    """Counts what a new engine does after it took over, until it stays or the old one is back.

    Attributes:
        parts_left: verdicts in time that it still has to give.
        late_most: late parts in a row that end it.
    """

    parts_left: int
    late_most: int
    late: int = 0

    def judged(self, late: bool) -> Course:
        """A part got its verdict, from the engine or, ``late``, from the clock."""
        self.late = self.late + 1 if late else 0
        self.parts_left -= not late
        if self.late >= self.late_most:
            return Course.BACK
        return Course.KEPT if self.parts_left <= 0 else Course.ON
