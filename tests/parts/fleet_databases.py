"""Databases of a fleet, empty and of today's schema: SQLite always, PostgreSQL where it is installed and asked for.

PostgreSQL takes seconds to begin: it runs where ``EDGEMILL_POSTGRESQL=1`` says so, as CI does.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import create_engine, text

from edgemill_fleet.store.migrations import upgrade

ASKED_FOR = "EDGEMILL_POSTGRESQL"
KINDS = ["sqlite", "postgresql"]


class Kind(Protocol):
    """Makes databases."""

    def empty(self) -> str: ...

    def ready(self) -> str: ...


class SqliteFiles:
    """One file a database; those that are ready are copies of one that was migrated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        self._made = 0

    def empty(self) -> str:
        self._made += 1
        return f"sqlite:///{self._folder}/{self._made}.db"

    def ready(self) -> str:
        if not self._template.exists():
            upgrade(f"sqlite:///{self._template}")
        url = self.empty()
        shutil.copy(self._template, url.removeprefix("sqlite:///"))
        return url


class PostgresServer:
    """A cluster of its own on a free port of 127.0.0.1, owned by a user that is not root."""

    def __init__(self, programs: Path, durable: bool = False) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="edgemill-pg-"))
        self._as: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._made = 0
        self._template = ""
        self._say("initdb", "-D", str(self._folder / "data"), "-A", "trust", "-U", "fleet", "--no-sync")
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync={'on' if durable else 'off'}"
        )
        self._say(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )
        self._server = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")

    def empty(self) -> str:
        return self._create("")

    def ready(self) -> str:
        if not self._template:
            self._template = "template_fleet"
            with self._server.connect() as connection:
                connection.execute(text("CREATE DATABASE template_fleet"))
            upgrade(self._url(self._template))
        return self._create(f" TEMPLATE {self._template}")

    def close(self) -> None:
        self._server.dispose()
        self._say("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    def _create(self, more: str) -> str:
        self._made += 1
        name = f"fleet_{self._made}"
        with self._server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}{more}"))
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://fleet@127.0.0.1:{self._port}/{name}"

    def _say(self, program: str, *more: str) -> None:
        done = subprocess.run(
            [*self._as, str(self._programs / program), *more],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def postgres_programs() -> Path:
    """Where initdb is; skips, loudly, where nobody asked for PostgreSQL or it is missing."""
    if os.environ.get(ASKED_FOR) != "1":
        pytest.skip(f"SKIPPED: PostgreSQL was not asked for ({ASKED_FOR}=1; CI does)")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda it: int(it.parts[-3]))
    if not found:
        pytest.skip("SKIPPED: PostgreSQL is not installed, so nothing showed that the fleet's tables do there")
    return found[-1].parent


@pytest.fixture(scope="session", params=KINDS)
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    if request.param == "sqlite":
        yield SqliteFiles(tmp_path_factory.mktemp("databases"))
        return
    server = PostgresServer(postgres_programs())
    yield server
    server.close()
