"""``/v1/tokens``, ``/v1/me`` and ``/v1/audit``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from edgemill_fleet.identity.roles import Role
from edgemill_fleet.identity.tokens import make_token, read_tokens, revoke_token
from edgemill_fleet.store.audit import note, read_audit
from edgemill_fleet.store.tables import Token
from edgemill_fleet.web.access import Admin, Viewer
from edgemill_fleet.web.manager import Ours
from edgemill_fleet.web.words import AuditAnswer, Me, Most, TokenAnswer, TokenMade, TokenRequest

routes = APIRouter(tags=["people"])
AskedToken = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]


@routes.get("/v1/me")
def read_me(person: Viewer) -> Me:
    """Who asks, and what he may."""
    return Me(name=person.name, role=person.role)


@routes.get("/v1/tokens")
def list_tokens(manager: Ours, _: Admin) -> list[TokenAnswer]:
    """Who can get in."""
    with manager.database.reading() as session:
        return [_answer(row) for row in read_tokens(session)]


@routes.post("/v1/tokens", status_code=201)
def add_token(manager: Ours, person: Admin, asked: TokenRequest) -> TokenMade:
    """Let somebody in. The token is shown here and nowhere else."""
    with manager.database.session() as session:
        token = make_token(session, asked.name, asked.role)
        told = {"name": asked.name, "role": asked.role.value}
        note(session, person.name, "token made", manager.clock().timestamp(), **told)
    return TokenMade(name=asked.name, role=asked.role, token=token)


@routes.delete("/v1/tokens/{name}")
def end_token(manager: Ours, person: Admin, name: AskedToken) -> None:
    """Nobody is known by it any more."""
    now_s = manager.clock().timestamp()
    with manager.database.session() as session:
        revoke_token(session, name, now_s)
        note(session, person.name, "token revoked", now_s, name=name)


@routes.get("/v1/audit")
def list_audit(
    manager: Ours, _: Admin, before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None, most: Most = 100
) -> list[AuditAnswer]:
    """Who did what, the newest first; the next ones are those ``before`` the last id."""
    with manager.database.reading() as session:
        rows = read_audit(session, before, most)
        return [AuditAnswer(id=row.id, at_s=row.at_s, who=row.who, what=row.what, told=row.told) for row in rows]


def _answer(row: Token) -> TokenAnswer:
    return TokenAnswer(name=row.name, role=Role(row.role), revoked_s=row.revoked_s)
