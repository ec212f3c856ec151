"""The engine of a station: whether there is one to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise, Spell
from edgemill_agent.health.facts import Facts, StationFacts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_RESTARTS_WITHIN_S = 600.0
_RESTARTS_MOST = 3
_LOOK = "run `edgemill check` on its bundle; the agent's log says why the engine worker ended"


class EngineWorker(Check):
    """Not ready for long, or started again too often."""

    name = "engine"

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        super().__init__(settings, station)
        self._rise, self._away = Rise(_RESTARTS_WITHIN_S, 0), Spell()

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        station = facts.stations[self.station]
        away_s = self._away.seconds(not station.engine_ready, facts.now_s)
        return judge(station, self._rise.by(station.engine_restarts, facts.now_s), away_s, self.own.start_ms / 1e3)


def judge(station: StationFacts, restarts: int, away_s: float, start_s: float) -> Finding:
    """What to say of it: ``restarts`` within ten minutes, ``away_s`` without one, ``start_s`` that a start may take."""
    if away_s > start_s:
        return Finding(State.ALARM, f"no engine is ready for {away_s:.0f} s", _LOOK)
    if restarts >= _RESTARTS_MOST:
        return Finding(State.ALARM, f"the engine worker was started again {restarts} times in ten minutes", _LOOK)
    return ok("ready" if station.engine_ready else f"being loaded for {away_s:.0f} s")
