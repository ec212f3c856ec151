"""Who asks: a person or program by a token, a box by the certificate of its TLS connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cryptography import x509
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from edgemill_fleet.identity.revocation import device_with
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.identity.tokens import Person, person_of
from edgemill_fleet.refusals import NotAllowedError, StrangerError
from edgemill_fleet.web.manager import Manager, Ours

_BEARER = HTTPBearer(auto_error=False, description="A token that `edgemill fleet token add` said.")
_MOST_OF_A_TOKEN = 200


def needs(role: Role) -> Callable[..., Person]:
    """A dependency that lets nobody on who may less than ``role``."""

    def known(manager: Ours, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> Person:
        person = person_by(manager, bearer.credentials if bearer is not None else "")
        if not person.role.may(role):
            raise NotAllowedError(
                f"{person.name} may not do this",
                expected=f"the role {role.value}, or one that may more",
                got=person.role.value,
                fix="ask somebody who may",
            )
        return person

    return known


Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Releaser = Annotated[Person, Depends(needs(Role.RELEASER))]
Admin = Annotated[Person, Depends(needs(Role.ADMIN))]


def person_by(manager: Manager, token: str) -> Person:
    """Who has this token.

    Raises:
        StrangerError: nobody, or there is none.
    """
    if not token or len(token) > _MOST_OF_A_TOKEN:
        raise StrangerError(
            "nobody is known without a token",
            expected="Authorization: Bearer emf_…",
            got="none" if not token else f"one of {len(token)} characters",
            fix="use the access file that `edgemill fleet token add` wrote",
        )
    with manager.database.reading() as session:
        return person_of(session, token)


def device_by(manager: Manager, scope: Scope) -> str | None:
    """The box at the other end of this connection; ``None`` if it showed no certificate.

    Raises:
        StrangerError, NotAllowedError: its certificate does not count.
    """
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
    if not chain:
        return None
    certificate = x509.load_pem_x509_certificate(chain[0].encode())
    with manager.database.reading() as session:
        return device_with(session, certificate, manager.clock().timestamp())


def token_in(request: Request) -> str:
    """The token that a request carries; empty if none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
