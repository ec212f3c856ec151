"""How boxes get in: ``/v1/enrolments`` for people; ``/v1/authority``, ``/v1/enrol`` and ``/v1/renew`` for boxes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import PlainTextResponse
from sqlalchemy import select

from edgemill_fleet.identity.enrolment import Place, enrol, make_enrolment
from edgemill_fleet.identity.renewal import renew
from edgemill_fleet.refusals import UnknownError
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.store.audit import note
from edgemill_fleet.store.tables import Enrolment
from edgemill_fleet.web.access import Operator
from edgemill_fleet.web.manager import Manager, Ours
from edgemill_fleet.web.words import EnrolmentAnswer, EnrolmentCode, EnrolmentRequest, Most
from edgemill_link.enrolment import AUTHORITY, ENROL, RENEW, Enrolled, EnrolRequest, Renewed, RenewRequest

routes = APIRouter(tags=["enrolment"])
_ID = 16
AskedId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


@routes.post("/v1/enrolments", status_code=201)
def make_code(manager: Ours, person: Operator, asked: EnrolmentRequest) -> EnrolmentCode:
    """A code that lets one box in, once. It is shown here and nowhere else."""
    now, holds = manager.clock(), timedelta(hours=asked.hours)
    url, ca = manager.folder.settings.url, manager.authority.fingerprint
    place = Place(asked.site, asked.group, asked.tags)
    with manager.database.session() as session:
        code = make_enrolment(session, url, ca, asked.device, place, now, holds)
        told = {"device": asked.device, "id": code.digest[:_ID]}
        note(session, person.name, "enrolment made", now.timestamp(), **told)
    return EnrolmentCode(device=asked.device, code=str(code), expires_s=(now + holds).timestamp())


@routes.get("/v1/enrolments")
def read_codes(manager: Ours, _: Operator, most: Most = 100) -> list[EnrolmentAnswer]:
    """Codes that were made, those that hold longest first."""
    with manager.database.reading() as session:
        rows = session.scalars(select(Enrolment).order_by(Enrolment.expires_s.desc()).limit(most))
        return [_answer(row) for row in rows]


@routes.delete("/v1/enrolments/{code}")
def end_code(manager: Ours, person: Operator, code: AskedId) -> EnrolmentAnswer:
    """Nobody gets in by this code any more."""
    now_s = manager.clock().timestamp()
    with manager.database.session() as session:
        row = session.scalars(select(Enrolment).where(Enrolment.digest.startswith(code))).first()
        if row is None:
            raise UnknownError(
                "there is no such code", expected="the id of one", got=code, fix="edgemill fleet enrol --ls lists them"
            )
        row.expires_s = min(row.expires_s, now_s)
        note(session, person.name, "enrolment ended", now_s, device=row.device, id=code)
        return _answer(row)


@routes.get(AUTHORITY, response_class=PlainTextResponse)
def read_authority(manager: Ours) -> str:
    """Certificate of the fleet's CA, PEM, to anybody; a code says which one to believe."""
    return manager.authority.pem


@routes.post(ENROL)
def enrol_box(manager: Ours, asked: EnrolRequest) -> Enrolled:
    """Let a box in, by a code; said again by the same box, the same answer."""
    root = first_root(manager)
    with manager.database.session() as session:
        given = enrol(session, manager.authority, asked, manager.clock(), manager.terms.holds)
    if given.replaces:
        manager.renew_revocations()
    return Enrolled(
        device=asked.device,
        certificate=given.issued.pem,
        ca=manager.authority.pem,
        root=root,
        broker=manager.folder.settings.broker,
    )


@routes.post(RENEW)
def renew_box(manager: Ours, asked: RenewRequest) -> Renewed:
    """The next certificate of a box, by a signature with the key of the one it has."""
    with manager.database.session() as session:
        issued = renew(session, manager.authority, asked, manager.clock(), manager.terms)
    return Renewed(certificate=issued.pem, ca=manager.authority.pem, broker=manager.folder.settings.broker)


def first_root(manager: Manager) -> str:
    """The root that a box is given to begin with: the one in force.

    Raises:
        InputError: there are no releases.
        TrustError: they are not what their keys signed.
    """
    return Repository(manager.folder.releases).root_bytes().decode()


def _answer(row: Enrolment) -> EnrolmentAnswer:
    return EnrolmentAnswer(id=row.digest[:_ID], device=row.device, expires_s=row.expires_s, used_s=row.used_s)
