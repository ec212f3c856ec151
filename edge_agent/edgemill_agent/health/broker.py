"""The way to the consumer: records that nobody fetches wait on this box, and one day make room for newer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Rise, Spell
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_WITHIN_S = 300.0
_PATIENCE_S = 30.0
_MOST_BEHIND = 1000


class Broker(Check):
    """Not connected for long, or records that are not acknowledged pile up."""

    name = "broker"

    def __init__(self, settings: AgentSettings, station: str = "") -> None:
        super().__init__(settings, station)
        self._away, self._piling, self._rise = Spell(), Spell(), Rise(_WITHIN_S)

    @property
    def applies(self) -> bool:
        """Where records are sent."""
        return self.settings.mqtt is not None

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        away_s = self._away.seconds(not facts.connected, facts.now_s)
        piled = self._rise.by(facts.not_acknowledged, facts.now_s)
        piling_s = self._piling.seconds(piled > 0, facts.now_s)
        return judge(facts.not_acknowledged, away_s, piling_s, self.limits.broker_gone.total_seconds())


def judge(behind: int, away_s: float, piling_s: float, limit_s: float) -> Finding:
    """What to say of it.

    Args:
        behind: records that the consumer does not have.
        away_s: seconds without a connection.
        piling_s: seconds for which there were more of them than five minutes before.
        limit_s: for how long the broker may be away.
    """
    if away_s > _PATIENCE_S:
        what = f"no broker for {away_s:.0f} s; {behind} records wait on this box"
        state = State.ALARM if away_s > limit_s else State.WARNING
        return Finding(state, what, "look at network, broker and certificates; the agent's log says what it answers")
    if behind > _MOST_BEHIND and piling_s > _WITHIN_S:
        what = f"{behind} records are not acknowledged, and they grow"
        return Finding(State.WARNING, what, "see whether the consumer runs, and whether it is fast enough")
    return ok(f"{behind} records are on their way" if behind else "the consumer has every record")
