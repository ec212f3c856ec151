"""The controller: who is not heard by it rejects nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise
from edgemill_agent.health.facts import Facts, StationFacts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_WITHIN_S = 300.0
_GONE_S = 5.0
_LOOK = "look at controller, cable and address, and at `trigger:` and `outputs:` of this station"


class PlcLink(Check):
    """Trigger or outputs not connected, and verdicts that were not taken."""

    name = "plc"

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        super().__init__(settings, station)
        self._untold = Rise(_WITHIN_S, 0)

    @property
    def applies(self) -> bool:
        """Where there is a controller."""
        return bool(self.own.trigger or self.own.outputs)

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        station = facts.stations[self.station]
        return judge(station, self._untold.by(station.untold, facts.now_s))


def judge(station: StationFacts, untold: int) -> Finding:
    """What to say of it; ``untold`` verdicts were not taken within five minutes."""
    if station.over:
        return ok("ended")
    if station.output_troubles:
        return Finding(State.ALARM, f"verdicts are not taken: {station.output_troubles[0]}", _LOOK, holds_s=_GONE_S)
    if station.trigger_connected is False and station.engine_ready:
        return Finding(State.ALARM, "the trigger is not read: no part is seen", _LOOK, holds_s=_GONE_S)
    if untold > 0:
        what = f"{untold} verdicts within five minutes were not taken in time"
        return Finding(State.WARNING, what, _LOOK)
    return ok("connected")
