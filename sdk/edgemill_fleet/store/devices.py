"""Devices: let in, found, revoked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edgemill_core.errors import InputError
from edgemill_fleet.rollouts.waves import OVER, Outcome
from edgemill_fleet.store.rows import NotThereError
from edgemill_fleet.store.tables import Certificate, Device, Enrolment, MemberRow, RolloutRow

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
ENROLLED, REVOKED = "enrolled", "revoked"


def check_device_id(device: str) -> str:
    """A name that a device may have: it stands in topics, in file names and in certificates.

    Raises:
        InputError: it may not.
    """
    if re.fullmatch(_ID, device):
        return device
    raise InputError(
        "no device may be called so",
        expected="letters, digits, . _ - (at most 64) and a letter or digit first",
        got=repr(device)[:100],
        fix="give it another name",
    )


def add_device(
    session: Session, device: str, now_s: float, group: str = "", site: str = "", tags: Sequence[str] = ()
) -> Device:
    """Let a device in, or in again; what was said of it before stays.

    Raises:
        InputError: it may not be called so.
    """
    found = session.get(Device, check_device_id(device), with_for_update=True)
    if found is None:
        found = Device(id=device, tags=[], facts={}, runs={})
        session.add(found)
    found.standing, found.enrolled_s = ENROLLED, now_s
    found.group, found.site, found.tags = group, site, list(tags)
    session.flush()
    return found


def device_of(session: Session, device: str) -> Device:
    """The device of that name.

    Raises:
        NotThereError: there is none.
    """
    found = session.get(Device, device)
    if found is None:
        raise NotThereError(
            f"there is no device {device[:64]!r}",
            expected="one that is enrolled",
            got="none of that name",
            fix="look for it: edgemill fleet devices",
        )
    return found


def enrolled_devices(session: Session, group: str | None = None, tags: Sequence[str] = ()) -> dict[str, str]:
    """Group by device of those that are enrolled, in order of their names: what ``waves.members_of`` takes.

    Args:
        group: only of this one.
        tags: only those that have all of these.
    """
    wanted = select(Device.id, Device.group, Device.tags).where(Device.standing == ENROLLED).order_by(Device.id)
    if group is not None:
        wanted = wanted.where(Device.group == group)
    return {device: of for device, of, has in session.execute(wanted) if set(tags) <= set(has)}


def revoke_device(session: Session, device: str, now_s: float) -> Device:
    """Take everything from a device that it was let in with, or could be let in with again.

    Rollouts that are not over go on without it.

    Raises:
        NotThereError: there is none of that name.
    """
    live = select(RolloutRow.id).where(RolloutRow.course.not_in([course.value for course in OVER]))
    session.execute(
        update(MemberRow)
        .where(MemberRow.device == device, MemberRow.rollout.in_(live), MemberRow.outcome != Outcome.LEFT.value)
        .values(outcome=Outcome.LEFT.value, since_s=now_s, why="revoked")
        .execution_options(synchronize_session=False)
    )
    _end_codes(session, device, now_s)  # before certificates, as whoever lets a box in holds them in this order
    revoke_certificates(session, device, now_s)
    found = device_of(session, device)
    found.standing = REVOKED
    session.flush()
    return found


def revoke_certificates(session: Session, device: str, now_s: float) -> int:
    """No certificate that a device has counts any more; gives how many did."""
    done = session.scalars(
        update(Certificate)
        .where(Certificate.device == device, Certificate.revoked_s.is_(None))
        .values(revoked_s=now_s)
        .returning(Certificate.serial)
        .execution_options(synchronize_session=False)
    )
    return len(done.all())


def _end_codes(session: Session, device: str, now_s: float) -> None:
    session.execute(
        update(Enrolment)
        .where(Enrolment.device == device, Enrolment.expires_s > now_s)
        .values(expires_s=now_s)
        .execution_options(synchronize_session=False)
    )
