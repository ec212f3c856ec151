"""Tokens of people and programs: 256 random bits of which only the digest is kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_core.durable import sha256_bytes
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.refusals import ConflictError, StrangerError, UnknownError
from edgemill_fleet.store.tables import Token

PREFIX = "emf_"
"""By which a scanner of leaked secrets knows them."""


@dataclass(frozen=True)
class Person:
    """Who asks, by a token."""

    name: str
    role: Role


def make_token(session: Session, name: str, role: Role) -> str:
    """A new one; it is shown once. A name belongs to one token for ever, so that the audit log stays true.

    Raises:
        ConflictError: the name was given before.
    """
    if session.scalars(select(Token).where(Token.name == name)).first() is not None:
        raise ConflictError(
            f"there is a token of the name {name}",
            expected="a name that nobody had, ever: the audit log tells people apart by it",
            got=name,
            fix="name another, ben-2 for example",
        )
    text = PREFIX + secrets.token_urlsafe(32)
    session.add(Token(digest=sha256_bytes(text.encode()), name=name, role=role.value))
    return text


def person_of(session: Session, text: str) -> Person:
    """Who has this token.

    Raises:
        StrangerError: nobody, or he has it no more.
    """
    row = session.get(Token, sha256_bytes(text.encode()))
    if row is None or row.revoked_s is not None:
        raise StrangerError(
            "nobody is known by this token",
            expected="one that an admin gave",
            got="another" if row is None else "one that was revoked",
            fix="edgemill fleet token add NAME --role ROLE",
        )
    return Person(row.name, Role(row.role))


def revoke_token(session: Session, name: str, now_s: float) -> None:
    """Nobody is known by it any more.

    Raises:
        UnknownError: there is none of this name.
    """
    row = session.scalars(select(Token).where(Token.name == name)).first()
    if row is None:
        raise UnknownError(
            "there is no such token",
            expected="the name of one",
            got=repr(name)[:80],
            fix="edgemill fleet token ls lists them",
        )
    if row.revoked_s is None:
        row.revoked_s = now_s


def read_tokens(session: Session) -> Sequence[Token]:
    """All, by name."""
    return session.scalars(select(Token).order_by(Token.name)).all()
