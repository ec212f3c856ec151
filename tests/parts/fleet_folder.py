"""A fleet's folder for one test, and who speaks to its app without a network."""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from release_keys import NOW, Keys, make_repository
from sqlalchemy import event

from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.identity.tokens import make_token
from edgemill_fleet.settings import FleetFolder, ManagerSettings
from edgemill_fleet.store.database import Database, open_database
from edgemill_fleet.store.migrations import upgrade
from edgemill_fleet.web.app import make_app
from edgemill_fleet.web.limits import LIMITS, Limits
from edgemill_fleet.web.manager import Manager


@dataclass
class Clock:
    """Says what it is told."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Answer:
    """Of a request; ``said`` is its JSON, or its text."""

    status: int
    said: Any
    headers: httpx.Headers


@dataclass
class Fleet:
    """One manager, its app, and a token of each role."""

    manager: Manager
    app: FastAPI
    clock: Clock
    keys: Keys
    tokens: dict[str, str] = field(default_factory=dict)

    def ask(self, who: str, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """As the person of this name; ``""`` shows no token, ``box:PEM`` a certificate."""
        app: Any = self.app
        if who.startswith("box:"):
            app = _with_certificate(self.app, who.removeprefix("box:"))
        elif who:
            headers["authorization"] = f"Bearer {self.tokens.get(who, who)}"
        headers.setdefault("content-type", "application/json")
        body = content if isinstance(content, bytes | None) else json.dumps(content).encode()

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://fleet") as client:
                return await client.request(method, path, content=body, headers=headers)

        told = asyncio.run(send())
        is_json = told.status_code != 206 and told.headers.get("content-type", "").startswith("application/json")
        return Answer(told.status_code, told.json() if is_json else told.text, told.headers)

    def done(self, who: str, method: str, path: str, content: Any = None) -> Any:
        answer = self.ask(who, method, path, content)
        assert answer.status < 300, answer
        return answer.said

    def refused(self, status: int, who: str, method: str, path: str, content: Any = None) -> dict[str, str]:
        answer = self.ask(who, method, path, content)
        assert answer.status == status, answer
        assert all(answer.said[part] for part in ("error", "what", "expected", "got", "to_do")), answer
        told: dict[str, str] = answer.said
        return told


def make_fleet(folder: Path, limits: Limits = LIMITS, **settings: Any) -> Fleet:
    """With ``tiny`` 1.0.0 on the signed list, and a token for a person of each role: ``viewer`` to ``admin``, and a
    second releaser, ``second``. Each has a CA of its own; tokens and keys of releases are the same for all.
    """
    template = _template()
    shutil.copytree(template.folder, folder, dirs_exist_ok=True)
    clock = Clock()
    place = FleetFolder(folder, ManagerSettings(**settings))
    authority = Authority.create(folder, "plant-a", clock.now)
    manager = Manager(place, quick_database(place.database_url), authority, clock)
    return Fleet(manager, make_app(manager, limits), clock, template.keys, template.tokens)


def quick_database(url: str) -> Database:
    """It waits for no disk: what a test writes survives the test's process alone."""
    database = open_database(url)
    database.close()
    event.listen(database.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous = OFF").close())
    return database


@dataclass(frozen=True)
class _Template:
    folder: Path
    keys: Keys
    tokens: dict[str, str]


@cache
def _template() -> _Template:
    """Made once a session, and copied: migrations and signatures take longer than most tests."""
    place = tempfile.mkdtemp(prefix="fleet-template-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder, keys = FleetFolder(Path(place), ManagerSettings()), Keys()
    make_repository(folder.releases, keys)
    upgrade(folder.database_url)
    database = open_database(folder.database_url)
    with database.session() as session:
        people = [*((role.value, role) for role in Role), ("second", Role.RELEASER)]
        tokens = {name: make_token(session, name, role) for name, role in people}
    database.close()
    return _Template(folder.path, keys, tokens)


class BoxKey:
    """A key that is made on a box, and what it signs."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.generate_private_key(curve or ec.SECP256R1())

    def csr(self, name: str = "whoever") -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder(subject).sign(self.key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def proof(self, statement: bytes) -> str:
        return self.key.sign(statement, ec.ECDSA(hashes.SHA256())).hex()


def _with_certificate(app: FastAPI, pem: str) -> Any:
    async def told(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "extensions": {"tls": {"client_cert_chain": [pem]}}}, receive, send)

    return told
