"""``/v1/releases``: what the signed list names, and who stands behind it.

Only a key adds to the list (``edgemill release publish``). Here people say that a release may go to boxes: one proposes
it, another approves. A rollout takes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from tuf.api.metadata import TargetFile

from edgemill_fleet.identity.tokens import Person
from edgemill_fleet.refusals import ConflictError, NotAllowedError, UnknownError
from edgemill_fleet.releases.publishing import name_of
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.store.audit import note
from edgemill_fleet.store.tables import Release
from edgemill_fleet.web.access import Releaser, Viewer
from edgemill_fleet.web.manager import Manager, Ours
from edgemill_fleet.web.words import AskedName, ReleaseAnswer, ReleaseRequest

routes = APIRouter(prefix="/v1/releases", tags=["releases"])
Listed = Mapping[tuple[str, str], TargetFile]


@routes.get("")
def read_releases(manager: Ours, _: Viewer) -> list[ReleaseAnswer]:
    """Every release that is listed, and every one that was proposed."""
    listed = listed_now(manager)
    with manager.database.reading() as session:
        rows = {(row.name, row.version): row for row in session.scalars(select(Release))}
        return [_answer(one, listed.get(one), rows.get(one)) for one in sorted({*listed, *rows})]


@routes.post("", status_code=201)
def propose_release(manager: Ours, person: Releaser, asked: ReleaseRequest) -> ReleaseAnswer:
    """Say that a listed release should go to boxes."""
    one, listed = (asked.name, asked.version), listed_now(manager)
    target = _target(listed, one)
    with manager.database.session() as session:
        row = session.get(Release, one)
        if row is None or row.manifest != target.hashes["sha256"]:
            row = session.merge(Release(name=one[0], version=one[1], manifest=target.hashes["sha256"]))
            row.proposed_by, row.approved_by, row.withdrawn = person.name, "", False
            _note(manager, session, person, "release proposed", one)
        return _answer(one, target, row)


@routes.post("/{name}/{version}/approve")
def approve_release(manager: Ours, person: Releaser, name: AskedName, version: AskedName) -> ReleaseAnswer:
    """Approve what another proposed."""
    one = (name, version)
    target = _target(listed_now(manager), one)
    with manager.database.session() as session:
        row = session.get(Release, one, with_for_update=True)
        if row is None or row.manifest != target.hashes["sha256"]:
            raise UnknownError(
                f"nobody proposed {name}/{version}",
                expected="a release that somebody proposed, as it is listed now",
                got="none",
                fix=f"edgemill fleet releases propose {name}/{version}",
            )
        if not row.approved_by:
            check_second(manager, person, row.proposed_by, f"{name}/{version}")
            row.approved_by = person.name
            _note(manager, session, person, "release approved", one)
        return _answer(one, target, row)


def check_second(manager: Manager, person: Person, first: str, what: str) -> None:
    """See that it is another who approves.

    Raises:
        NotAllowedError: it is the same.
    """
    if manager.folder.settings.second_person and person.name == first:
        raise NotAllowedError(
            f"{person.name} proposed {what}",
            expected="another person to approve it",
            got="the same",
            fix="ask somebody else who is a releaser; or say second_person: false in fleet.yaml",
        )


def approved_release(manager: Manager, session: Session, name: str, version: str) -> Release:
    """A release that may go to boxes.

    Raises:
        UnknownError: it is not listed.
        ConflictError: nobody approved it, as it is listed now.
    """
    target = _target(listed_now(manager), (name, version))
    row = session.get(Release, (name, version))
    if row is None or not row.approved_by or row.manifest != target.hashes["sha256"]:
        raise ConflictError(
            f"{name}/{version} is not approved",
            expected="a release that one person proposed and another approved",
            got="nobody proposed it" if row is None else f"proposed by {row.proposed_by}, approved by nobody",
            fix=f"edgemill fleet releases approve {name}/{version}",
        )
    return row


def listed_now(manager: Manager) -> Listed:
    """What the signed list names, by name and version; verified each time.

    Raises:
        InputError: there is no folder of releases.
        TrustError: it is not what its keys signed.
    """
    found = Repository(manager.folder.releases).releases()
    return {_split(path): target for path, target in found.items()}


def _split(path: str) -> tuple[str, str]:
    name, _, version = name_of(path).partition("/")
    return name, version


def _target(listed: Listed, one: tuple[str, str]) -> TargetFile:
    if one not in listed:
        raise UnknownError(
            f"{'/'.join(one)} is not released",
            expected="NAME/VERSION of a release that is listed",
            got=", ".join("/".join(known) for known in sorted(listed)[:20]) or "none is listed",
            fix="publish it first: edgemill release publish",
        )
    return listed[one]


def _note(manager: Manager, session: Session, person: Person, what: str, one: tuple[str, str]) -> None:
    note(session, person.name, what, manager.clock().timestamp(), name=one[0], version=one[1])


def _answer(one: tuple[str, str], target: TargetFile | None, row: Release | None) -> ReleaseAnswer:
    told: Mapping[str, Any] = target.unrecognized_fields.get("custom", {}) if target is not None else {}
    return ReleaseAnswer(
        name=one[0],
        version=one[1],
        manifest=target.hashes["sha256"] if target is not None else row.manifest if row is not None else "",
        bytes=told.get("bytes"),
        state=_state(target, row),
        proposed_by=row.proposed_by if row is not None else "",
        approved_by=row.approved_by if row is not None else "",
    )


def _state(target: TargetFile | None, row: Release | None) -> str:
    if target is None:
        return "withdrawn"
    if row is None or row.manifest != target.hashes["sha256"]:
        return "listed"
    return "approved" if row.approved_by else "proposed"
