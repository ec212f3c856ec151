"""Heat, and what the processor does about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_agent.health.sensors import Heat, read_heat

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_ALARM_ABOVE_C = 10.0
_NEAR_C = 10.0
"""A cap on the frequency counts as throttling only where it is nearly too hot: a power mode caps it too."""
_THROTTLED_WITHIN_S = 60.0
_COOL = "look at fan, dust and surroundings; a lower power mode or fewer stations make less heat"


class Temperature(Check):
    """The hottest sensor, and throttling."""

    name = "temperature"
    every = 3

    def __init__(self, settings: AgentSettings, station: str = "", sys: Path = Path("/sys")) -> None:
        super().__init__(settings, station)
        self._sys = sys
        self._rise = Rise(_THROTTLED_WITHIN_S)

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        heat = read_heat(self._sys)
        return judge(heat, self._rise.by(heat.throttlings, facts.now_s), self.limits.temperature_c)


def judge(heat: Heat, throttlings: int, limit_c: float) -> Finding:
    """What to say of it.

    Args:
        heat: what is read now.
        throttlings: how often the processor was held back within the last minute.
        limit_c: from where on it is a warning.
    """
    held = [*heat.throttled, *([f"throttled {throttlings} times within a minute"] if throttlings > 0 else [])]
    if heat.hottest_c is None:
        if held:
            return Finding(State.WARNING, f"{', '.join(held)}; no temperature is to be had here", _COOL)
        return Finding(State.UNKNOWN, "no temperature is to be had here: nothing below /sys tells one")
    told = f"{heat.hottest_c:.0f} °C at {heat.sensor}"
    if heat.capped and heat.hottest_c > limit_c - _NEAR_C:
        held.append("the frequency is capped")
    if heat.too_hot:
        return Finding(State.ALARM, "; ".join(heat.too_hot), _COOL)
    if heat.hottest_c >= limit_c + _ALARM_ABOVE_C:
        return Finding(State.ALARM, f"{told}; the limit is {limit_c:.0f}", _COOL)
    if held:
        return Finding(State.WARNING, f"{', '.join(held)} at {told}: verdicts may come late", _COOL)
    if heat.hottest_c >= limit_c:
        return Finding(State.WARNING, f"{told}; the limit is {limit_c:.0f}", _COOL)
    return ok(told if heat.counted else f"{told}; whether it throttles is not to be had here")
