"""What of ``agent.yaml`` a running agent takes up, and what needs another start: the decision, without files."""

from __future__ import annotations

from edgemill_agent.line.engines import CHALLENGER, ENGINE
from edgemill_agent.settings import AgentSettings, StationSettings

TAKEN_UP = frozenset({"bundle", "runtime", "tune", "shadow", "swap", "proof", "products"})
"""Keys of a station that change while it runs."""


def needs_start(before: AgentSettings, now: AgentSettings) -> list[str]:
    """Keys that differ and that a running agent cannot take up; empty if it can take up all."""
    fields = set(AgentSettings.model_fields) - {"stations"}
    found = sorted(name for name in fields if getattr(before, name) != getattr(now, name))
    if [one.name for one in before.stations] != [one.name for one in now.stations]:
        return [*found, "stations"]
    for old, new in zip(before.stations, now.stations, strict=True):
        fixed = sorted(set(StationSettings.model_fields) - TAKEN_UP)
        if bool(old.products) != bool(new.products):  # the trigger is asked for the product, or not, from its start on
            found.append(f"stations.{old.name}.products")
        found += [f"stations.{old.name}.{name}" for name in fixed if getattr(old, name) != getattr(new, name)]
    return found


def to_swap(before: AgentSettings, now: AgentSettings) -> list[tuple[str, str]]:
    """Stations that are to be judged by another engine, and those that are to have another challenger, with the role.

    One that is to have none any more is not among them: that is so at once.
    """
    found = []
    for old, new in zip(before.stations, now.stations, strict=True):
        if old.engine != new.engine or old.products != new.products:
            found.append((new.name, ENGINE))
        if old.shadow != new.shadow and new.shadow is not None:
            found.append((new.name, CHALLENGER))
    return found
