"""What devices are to run. Whatever changes it makes their plans due; the steward signs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from edgemill_fleet.rollouts.waves import OVER, Outcome
from edgemill_fleet.store.rows import pieces, put_rows
from edgemill_fleet.store.tables import MemberRow, PlanOf, RolloutRow, Wanted

_OVER = [course.value for course in OVER]


def want(session: Session, devices: Sequence[str], name: str, version: str, now_s: float, rollout: int = 0) -> None:
    """Devices are to run ``version`` of ``name``; what they were to run before is kept as the way back.

    Other rollouts of ``name`` that are not over lose these devices: only one of them can have its way.

    Args:
        rollout: that asks; 0: somebody by hand.
    """
    for some in pieces(devices):
        of_them = Wanted.device.in_(some), Wanted.name == name
        before = {
            one.device: one for one in session.execute(select(Wanted).where(*of_them).with_for_update()).scalars()
        }
        rows = [
            {"device": device, "name": name, "version": version, "before": _way_back(before.get(device), version)}
            for device in some
        ]
        put_rows(session, Wanted, rows)
        _take_from_others(session, some, name, f"planned for {version}", now_s, rollout)
        plans_due(session, some)
    session.expire_all()


def want_before(session: Session, devices: Sequence[str], name: str, version: str) -> None:
    """Devices that are to run ``version`` are to run what they were to run before it; nothing, if there was nothing."""
    for some in pieces(devices):
        of_them = Wanted.device.in_(some), Wanted.name == name, Wanted.version == version
        rows = list(session.execute(select(Wanted.device).where(*of_them).with_for_update()).scalars())
        session.execute(delete(Wanted).where(*of_them, Wanted.before == ""))
        session.execute(update(Wanted).where(*of_them).values(version=Wanted.before, before=""))
        plans_due(session, rows)
    session.expire_all()


def wanted_of(session: Session, devices: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """``NAME/VERSION`` of what each device is to run, in order of their names."""
    found: dict[str, list[str]] = {device: [] for device in devices}
    for some in pieces(devices):
        rows = select(Wanted.device, Wanted.name, Wanted.version).where(Wanted.device.in_(some))
        for device, name, version in session.execute(rows.order_by(Wanted.name)):
            found[device].append(f"{name}/{version}")
    return {device: tuple(told) for device, told in found.items()}


def plans_due(session: Session, devices: Sequence[str]) -> None:
    """Their plans are to be signed anew."""
    put_rows(
        session,
        PlanOf,
        [{"device": device, "version": 0, "expires_s": 0.0, "due": True} for device in devices],
        keep=("version", "expires_s"),
    )


def _way_back(before: Wanted | None, version: str) -> str:
    if before is None:
        return ""
    return before.before if before.version == version else before.version


def _take_from_others(
    session: Session, devices: Sequence[str], name: str, why: str, now_s: float, rollout: int
) -> None:
    others = select(RolloutRow.id).where(
        RolloutRow.name == name, RolloutRow.id != rollout, RolloutRow.course.not_in(_OVER)
    )
    session.execute(
        update(MemberRow)
        .where(MemberRow.device.in_(devices), MemberRow.rollout.in_(others), MemberRow.outcome != Outcome.LEFT.value)
        .values(outcome=Outcome.LEFT.value, since_s=now_s, why=why)
        .execution_options(synchronize_session=False)
    )
