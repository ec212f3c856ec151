"""Verdicts that come late are wrong verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise
from edgemill_agent.health.facts import Facts, StationFacts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_WITHIN_S = 300.0
_LEAST = 20
"""Verdicts of which a share is worth saying."""
_FASTER = "give the station a faster variant or a longer deadline_ms, or look at heat and at what else runs here"


class Late(Check):
    """The share of late verdicts, and late parts in a row."""

    name = "late"

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        super().__init__(settings, station)
        self._late, self._verdicts = Rise(_WITHIN_S, 0), Rise(_WITHIN_S, 0)

    @property
    def applies(self) -> bool:
        """Where there is a deadline."""
        return self.own.deadline_ms is not None

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        station = facts.stations[self.station]
        late, verdicts = self._late.by(station.late, facts.now_s), self._verdicts.by(station.verdicts, facts.now_s)
        return judge(station, late, verdicts, self.limits.late_share)


def judge(station: StationFacts, late: int, verdicts: int, limit: float) -> Finding:
    """What to say of it: ``late`` of ``verdicts`` within five minutes, of which the share ``limit`` may be late."""
    if station.late_in_a_row >= station.alarm_after:
        return Finding(State.ALARM, f"{station.late_in_a_row} parts in a row were late", _FASTER)
    if verdicts >= _LEAST and late > limit * verdicts:
        what = f"{late} of {verdicts} verdicts within five minutes were late ({100 * late / verdicts:.1f} %)"
        return Finding(State.WARNING, what, _FASTER)
    return ok(f"{late} of {verdicts} within five minutes")
