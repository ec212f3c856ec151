"""How long each role still holds, and whether the keys of today signed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from tuf.api.metadata import Signed

from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.plan import plan_role
from edgemill_link.trust.trusted import RELEASES

SOON = timedelta(days=14)


class State(str, Enum):
    """What a role needs."""

    GOOD = "good"
    SOON = "expires soon"
    EXPIRED = "expired"
    UNSIGNED = "to be signed by its new keys"


@dataclass(frozen=True)
class Role:
    """A role, as people ask for it.

    Attributes:
        keys: ids of those that may sign.
        threshold: so many must.
        version, expires: ``None`` for plans, of which each device has its own.
    """

    name: str
    state: State
    keys: tuple[str, ...]
    threshold: int
    version: int | None = None
    expires: datetime | None = None


def roles(standing: Standing, now: datetime) -> list[Role]:
    """Every role of a folder of releases."""
    root, targets = standing.root, standing.delegator
    found = []
    for name, signed in (
        ("root", root),
        ("targets", targets),
        (RELEASES, standing.releases),
        ("snapshot", standing.snapshot),
        ("timestamp", standing.timestamp),
    ):
        told = (targets if name == RELEASES else root).get_delegated_role(name)
        state = State.UNSIGNED if name in standing.outdated else _state(signed, now)
        found.append(Role(name, state, tuple(told.keyids), told.threshold, signed.version, signed.expires))
    plans = plan_role(root)
    return [*found, Role("plans", State.GOOD, tuple(plans.keyids), plans.threshold)]


def stopped(found: Sequence[Role]) -> list[Role]:
    """Those by which boxes begin with nothing new."""
    return [role for role in found if role.state in (State.EXPIRED, State.UNSIGNED)]


def _state(signed: Signed, now: datetime) -> State:
    if signed.is_expired(now):
        return State.EXPIRED
    return State.SOON if signed.is_expired(now + SOON) else State.GOOD
