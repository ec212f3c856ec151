"""Which plans are to be signed, and which were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from edgemill_fleet.store.devices import ENROLLED
from edgemill_fleet.store.tables import Device, PlanOf
from edgemill_fleet.store.wanted import wanted_of


@dataclass(frozen=True)
class DuePlan:
    """A plan to be signed.

    Attributes:
        releases: ``NAME/VERSION`` of each.
        least: version that it has at least.
    """

    releases: tuple[str, ...]
    least: int


@dataclass(frozen=True)
class SignedPlan:
    """A plan that lies in the folder of releases.

    Attributes:
        releases: that were wanted when it was signed.
        expires_s: seconds since 1970.
    """

    releases: tuple[str, ...]
    version: int
    expires_s: float


def due_plans(session: Session, expiring_s: float, most: int, but: Sequence[str] = ()) -> dict[str, DuePlan]:
    """By device, at most ``most`` plans that something changed for, or that expire before ``expiring_s``.

    Args:
        but: devices that are left aside now.
    """
    rows = (
        select(PlanOf.device, PlanOf.version)
        .join(Device, Device.id == PlanOf.device)
        .where(Device.standing == ENROLLED, or_(PlanOf.due.is_(True), PlanOf.expires_s < expiring_s))
        .order_by(PlanOf.device)
    )
    if but:
        rows = rows.where(PlanOf.device.not_in(but))
    found = {row.device: row.version for row in session.execute(rows.limit(most))}
    wanted = wanted_of(session, list(found))
    return {device: DuePlan(wanted[device], version + 1) for device, version in found.items()}


def mark_signed(session: Session, signed: Mapping[str, SignedPlan]) -> None:
    """Note what was signed. A plan stays due if what its device is to run changed meanwhile."""
    held = select(PlanOf).where(PlanOf.device.in_(signed)).order_by(PlanOf.device).with_for_update()
    rows = list(session.execute(held).scalars())
    # Read behind the lock: whoever changes what is wanted makes the plan due in the same transaction.
    wanted = wanted_of(session, list(signed))
    for row in rows:
        plan = signed[row.device]
        row.version, row.expires_s = plan.version, plan.expires_s
        row.due = plan.releases != wanted[row.device]
    session.flush()
