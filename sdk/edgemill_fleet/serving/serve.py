"""Brings a fleet's folder up to date, starts its processes, and looks after them until it is told to end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from edgemill_core.errors import EdgemillError, InputError, StoreError
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.server_files import refresh_certificates, write_revocations
from edgemill_fleet.refusals import FleetError
from edgemill_fleet.serving.supervisor import Part, Supervisor
from edgemill_fleet.settings import FleetFolder
from edgemill_fleet.store.database import open_database
from edgemill_fleet.store.migrations import upgrade
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.embedded_broker import EmbeddedBroker

_REFRESH_S = 3600.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Serving:
    """What runs.

    Attributes:
        url: where this machine listens.
        broker: that telemetry is taken from.
        embedded: whether that is one to try things out with.
        pids: of the processes, by their names.
    """

    url: str
    broker: str
    embedded: bool
    pids: Mapping[str, int]


def serve(folder: FleetFolder, over: threading.Event, tell: Tell, ready: Callable[[Serving], None]) -> None:
    """Serve until ``over`` is set.

    Args:
        tell: told, in words, what happens.
        ready: told, once, that everything runs.

    Raises:
        InputError, FleetError: the folder is no fleet's, somebody else listens there, or a part refuses to begin.
        StoreError: the database cannot be used.
    """
    authority = Authority.open(folder.path)
    upgrade(folder.database_url)
    refresh(folder, authority, tell)
    with listening(folder) as socket_, broker_of(folder, tell) as (broker, embedded):
        supervisor = Supervisor(_parts(folder, socket_, broker), tell)
        try:
            _wait_until_ready(supervisor, over)
            if not over.is_set():
                ready(Serving(_url(folder, socket_), broker.url, embedded, supervisor.pids))
            _look_after(folder, authority, supervisor, over, tell)
        finally:
            supervisor.stop()


def refresh(folder: FleetFolder, authority: Authority, tell: Tell) -> None:
    """Certificates of the servers, and what is revoked. What cannot be done now is done an hour later."""
    now = datetime.now(timezone.utc)
    if refresh_certificates(folder.path, authority, folder.settings.server_names, now):
        tell("certificates of server and intake were made; a broker that uses them must read them again")
    database = open_database(folder.database_url)
    try:
        write_revocations(folder.path, database, authority, now)
    finally:
        database.close()


@contextmanager
def listening(folder: FleetFolder) -> Iterator[socket.socket]:
    """The socket that all web processes share.

    Raises:
        InputError: it cannot be had.
    """
    host, port = folder.settings.host, folder.settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(
            f"nothing can listen at {folder.settings.listen}",
            expected="an address of this machine, and a port that nobody has",
            got=str(error),
            fix="end the other program, or say another `listen:` in fleet.yaml, or --listen",
        ) from error
    with made:
        yield made


@contextmanager
def broker_of(folder: FleetFolder, tell: Tell) -> Iterator[tuple[BrokerSettings, bool]]:
    """The broker that ``mqtt:`` names, or one of our own."""
    if folder.settings.mqtt is not None:
        yield folder.settings.mqtt, False
        return
    with EmbeddedBroker() as broker:
        tell(
            f"no mqtt: in fleet.yaml, so a broker of our own runs at {broker.url}, to try things out: without TLS, on "
            "this machine alone, and open to everybody on it"
        )
        yield BrokerSettings(url=broker.url), True


def _parts(folder: FleetFolder, listening_at: socket.socket, broker: BrokerSettings) -> list[Part]:
    package, here = "edgemill_fleet.serving", str(folder.path.absolute())
    web = {"folder": here, "socket": listening_at.fileno()}
    many = range(1, folder.settings.workers + 1)
    return [
        *(Part(f"web {number}", f"{package}.web_process", web, (listening_at.fileno(),)) for number in many),
        Part(
            "intake",
            f"{package}.intake_process",
            {"folder": here, "broker": broker.model_dump(mode="json", exclude_none=True)},
        ),
        Part("steward", f"{package}.steward_process", {"folder": here}),
    ]


def _wait_until_ready(supervisor: Supervisor, over: threading.Event) -> None:
    while not over.is_set() and not supervisor.step():
        if (why := supervisor.refused) is not None:
            raise FleetError(
                str(why.get("what", "a part does not begin")),
                expected=why.get("expected"),
                got=why.get("got"),
                fix=why.get("to_do"),
            )


def _look_after(
    folder: FleetFolder, authority: Authority, supervisor: Supervisor, over: threading.Event, tell: Tell
) -> None:
    next_s = time.monotonic() + _REFRESH_S
    while not over.is_set():
        supervisor.step()
        if time.monotonic() >= next_s:
            next_s += _REFRESH_S
            try:
                refresh(folder, authority, tell)
            except (EdgemillError, OSError, StoreError) as error:
                tell(str(error))


def _url(folder: FleetFolder, listening_at: socket.socket) -> str:
    host, port = folder.settings.listen.rpartition(":")[0], listening_at.getsockname()[1]
    return f"{'https' if folder.settings.tls else 'http'}://{host}:{port}"
