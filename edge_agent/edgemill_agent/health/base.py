"""The contract of a check: a subclass says *what*; when it looks, what counts, and how often it mends is the watch's.

Rules
- A check reads little and decides purely: what it needs of the system comes in by a parameter (a root folder, a
  function), so that a test can say what is read.
- What cannot be read is ``UNKNOWN``, never ``OK``.
- A check keeps nothing beyond its process: after a restart the truth is read again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings, StationSettings


class Check(ABC):
    """One thing that may be wrong with the box, or with one station of it.

    Args:
        settings: of the agent.
        station: name of the station; empty for a check of the whole box.
    """

    name: ClassVar[str]
    mends: ClassVar[str] = ""
    """What it may do about it, in words; a check that says nothing here may not ask for a restart."""
    every: ClassVar[int] = 1
    """Of how many rounds it looks in one."""

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        self.settings = settings
        self.limits = settings.health
        self.station = station

    @property
    def own(self) -> StationSettings:
        """Settings of its station."""
        return next(one for one in self.settings.stations if one.name == self.station)

    @property
    def applies(self) -> bool:
        """Whether there is anything to look at on this box, at this station."""
        return True

    @abstractmethod
    def look(self, facts: Facts) -> Finding:
        """What is found now. Whatever it raises is reported as the check's own failure, and stops no other check."""


class Spell:
    """For how long something has been so."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self, so: bool, now_s: float) -> float:
        """Seconds since it began; 0 if it is not so now."""
        if not so:
            self._since = None
            return 0.0
        self._since = now_s if self._since is None else self._since
        return now_s - self._since


class Rise:
    """By how much a count rose within the last so many seconds.

    Args:
        window_s: so many.
        first: what it was before the first look; ``None`` if nobody knows.
    """

    def __init__(self, window_s: float, first: int | None = None) -> None:
        self._window_s = window_s
        self._first = first
        self._seen: deque[tuple[float, int]] = deque()

    def by(self, count: int, now_s: float) -> int:
        """Note it, and say so."""
        if self._first is not None:
            self._seen.append((now_s, self._first))
            self._first = None
        self._seen.append((now_s, count))
        while now_s - self._seen[0][0] > self._window_s:
            self._seen.popleft()
        return count - self._seen[0][1]
