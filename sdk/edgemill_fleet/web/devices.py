"""``/v1/devices``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgemill_fleet.store import devices
from edgemill_fleet.store.audit import note
from edgemill_fleet.store.tables import Certificate, Device, Wanted
from edgemill_fleet.web.access import Admin, Operator, Viewer
from edgemill_fleet.web.manager import Ours
from edgemill_fleet.web.words import AskedDevice, DeviceAnswer, DeviceChange, Most, Word

routes = APIRouter(prefix="/v1/devices", tags=["devices"])
Asked = Annotated[Word | None, Query()]


@routes.get("")
def read_devices(
    manager: Ours,
    _: Viewer,
    group: Asked = None,
    site: Asked = None,
    standing: Asked = None,
    after: Asked = None,
    most: Most = 100,
) -> list[DeviceAnswer]:
    """Boxes by their names; the next ones are those ``after`` the last name."""
    asked = select(Device).order_by(Device.id).limit(most)
    for column, value in ((Device.group, group), (Device.site, site), (Device.standing, standing)):
        asked = asked if value is None else asked.where(column == value)
    with manager.database.reading() as session:
        return _answers(session, session.scalars(asked if after is None else asked.where(Device.id > after)).all())


@routes.get("/{device}")
def read_device(manager: Ours, _: Viewer, device: AskedDevice) -> DeviceAnswer:
    """One box."""
    with manager.database.reading() as session:
        return _answers(session, [devices.device_of(session, device)])[0]


@routes.patch("/{device}")
def change_device(manager: Ours, person: Operator, device: AskedDevice, change: DeviceChange) -> DeviceAnswer:
    """Say where a box belongs."""
    told = {name: list(value) if name == "tags" else value for name, value in change if value is not None}
    with manager.database.session() as session:
        found = devices.device_of(session, device)
        for name, value in told.items():
            setattr(found, name, value)
        note(session, person.name, "device changed", manager.clock().timestamp(), device=device, **told)
        return _answers(session, [found])[0]


@routes.post("/{device}/revoke")
def revoke_device(manager: Ours, person: Admin, device: AskedDevice) -> DeviceAnswer:
    """Shut a box out, at this server at once, and at the broker when it reads the new ``crl.pem``."""
    now_s = manager.clock().timestamp()
    with manager.database.session() as session:
        found = devices.revoke_device(session, device, now_s)
        note(session, person.name, "device revoked", now_s, device=device)
        answer = _answers(session, [found])[0]
    manager.renew_revocations()
    return answer


def _answers(session: Session, found: Sequence[Device]) -> list[DeviceAnswer]:
    session.flush()
    names = [one.id for one in found]
    wanted: dict[str, dict[str, str]] = {}
    for row in session.scalars(select(Wanted).where(Wanted.device.in_(names))):
        wanted.setdefault(row.device, {})[row.name] = row.version
    until = _certificates(session, names)
    return [
        DeviceAnswer(
            id=one.id,
            standing=one.standing,
            site=one.site,
            group=one.group,
            tags=one.tags,
            online=one.online,
            enrolled_s=one.enrolled_s,
            heard_s=one.heard_s,
            runs=one.runs,
            wanted=wanted.get(one.id, {}),
            facts=one.facts,
            certificate_until_s=until.get(one.id),
        )
        for one in found
    ]


def _certificates(session: Session, names: Iterable[str]) -> dict[str, float]:
    asked = (
        select(Certificate.device, func.max(Certificate.not_after_s))
        .where(Certificate.device.in_(names), Certificate.revoked_s.is_(None))
        .group_by(Certificate.device)
    )
    return {device: float(until_s) for device, until_s in session.execute(asked)}
