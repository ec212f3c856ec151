"""Whether a new engine stays: the decision, without processes; what the time is comes in."""

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

    It stays after so many verdicts in time; or when its time is up, if there was one in time, and the last was. A slow
    line would have the old engine wait for days otherwise. One that gave none is not kept for having done nothing.

    Attributes:
        parts: verdicts in time that it has to give.
        late_most: late parts in a row that end it.
        until_s: when its time is up; ``None`` for no such time.
        good: verdicts in time that it gave.
        late: late parts in a row, up to now.
    """

    parts: int
    late_most: int
    until_s: float | None = None
    good: int = 0
    late: int = 0

    def judged(self, late: bool, now_s: float) -> Course:
        """A part got its verdict, from the engine or, ``late``, from the clock."""
        self.late = self.late + 1 if late else 0
        self.good += not late
        return self.look(now_s)

    def look(self, now_s: float) -> Course:
        """What becomes of it now, whether or not a part came.

        Args:
            now_s: of the clock that ``until_s`` is of.
        """
        if self.late >= self.late_most:
            return Course.BACK
        up = self.until_s is not None and now_s >= self.until_s
        return Course.KEPT if self.good >= self.parts or (up and self.good and not self.late) else Course.ON

    @property
    def why_kept(self) -> str:
        """In words."""
        enough = self.good >= self.parts
        return f"{self.good} verdicts in time" if enough else f"its time is up, with {self.good} verdicts in time"
