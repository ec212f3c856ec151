"""The source of a station: whether pictures come, and whether they show anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise, Spell
from edgemill_agent.health.facts import Facts, StationFacts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

LIVE = frozenset({"rtsp", "usb"})
"""Sources that always have a next picture; of the others nobody knows when one comes."""
_RESTARTS_WITHIN_S = 600.0
_RESTARTS_MOST = 3
_UNFIT_MOST = 10
_GONE_S = 10.0
_LOOK = "look at camera, cable and power, and at `source:` of this station"


class Camera(Check):
    """Restarts, no picture for long, pictures that show nothing in a row."""

    name = "camera"
    mends = "restarts the source worker when a camera gives no picture any more, or always the same one"

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        super().__init__(settings, station)
        self._rise = Rise(_RESTARTS_WITHIN_S, 0)
        self._still, self._frames = Spell(), -1

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        station = facts.stations[self.station]
        still = station.frames == self._frames and station.source_open
        self._frames = station.frames
        still_s = self._still.seconds(still, facts.now_s)
        restarts = self._rise.by(station.source_restarts, facts.now_s)
        return judge(station, restarts, still_s, self.limits.no_frame.total_seconds())


def judge(station: StationFacts, restarts: int, still_s: float, limit_s: float) -> Finding:
    """What to say of it.

    Args:
        station: as it is now.
        restarts: of the source worker within the last ten minutes.
        still_s: for how long no part came from a source that is open.
        limit_s: for how long none may come from a camera.
    """
    worker = f"{station.name}/source"
    if station.over or not (station.engine_ready or station.source_open):
        return ok("ended" if station.over else "nothing is taken before the engine is ready")
    if not station.source_open:
        return Finding(State.ALARM, "the source is not open", _LOOK, holds_s=_GONE_S)
    if station.source_kind in LIVE and still_s > limit_s:
        return Finding(State.ALARM, f"no picture for {still_s:.0f} s", _LOOK, restart=worker)
    if station.unfit_in_a_row >= _UNFIT_MOST:
        frozen = station.unfit == "frozen" and station.source_kind in LIVE
        what = f"{station.unfit_in_a_row} pictures in a row could not be judged: {station.unfit}"
        return Finding(State.ALARM, what, "look at lens, light and where the camera stands", 0, worker * frozen)
    if restarts >= _RESTARTS_MOST:
        what = f"the source worker was started again {restarts} times in ten minutes"
        return Finding(State.WARNING, what, f"{_LOOK}; the agent's log says why it ended")
    return ok(f"{station.frames} parts")
