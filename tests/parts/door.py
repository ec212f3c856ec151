"""The fleet's door as a small TLS server of a test, which may answer wrongly, and keeps what it was asked."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.certificates import key_bytes, new_key, requested_key
from edgemill_link.enrolment import AUTHORITY, ENROL, RENEW, Code, Enrolled, make_code
from edgemill_link.identity import key_text, make_key, request_text

Answer = tuple[int, bytes]


def utc(days: float = 0) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=days)


@dataclass
class Door:
    """One fleet.

    Attributes:
        ca: signs what it gives out.
        tells: the CA certificate that it gives out, PEM.
        posted: path and content of every POST.
        instead: answers by path that take the place of the right ones.
        holds: how long certificates hold from ``since`` on.
    """

    folder: Path
    ca: Authority
    tells: str
    url: str = ""
    posted: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    instead: dict[str, Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    holds: timedelta = timedelta(days=90)
    since: datetime = field(default_factory=utc)
    broker: str = "mqtts://127.0.0.1:8883"

    def code(self) -> Code:
        return make_code(self.url, self.ca.fingerprint)

    def enrolled(self, said: dict[str, str]) -> dict[str, Any]:
        """What is right to answer."""
        own = self.ca.client(said["device"], requested_key(said["csr"]), self.since, self.holds)
        told = {"device": said["device"], "certificate": own.pem, "ca": self.ca.pem, "root": "{}"}
        return {**told, "broker": self.broker}

    def renewed(self, said: dict[str, str], device: str) -> dict[str, str]:
        own = self.ca.client(device, requested_key(said["csr"]), utc(), timedelta(days=90))
        return {"certificate": own.pem, "ca": self.ca.pem, "broker": "mqtts://127.0.0.1:8884"}

    def answer(self, path: str, said: dict[str, str]) -> Answer:
        if path in self.instead:
            return self.instead[path](said)
        if path == AUTHORITY:
            return 200, self.tells.encode()
        told = self.enrolled(said) if path == ENROL else self.renewed(said, "line3")
        assert path in (ENROL, RENEW)
        return 200, json.dumps(told).encode()


def authority(folder: Path, name: str = "plant") -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    return Authority.create(folder, name, utc())


@contextmanager
def open_door(folder: Path, shows: Authority | None = None, names: tuple[str, ...] = ("127.0.0.1",)) -> Iterator[Door]:
    """A fleet at 127.0.0.1.

    Args:
        folder: for its keys.
        shows: whose certificate the server shows, if not its own CA's.
        names: that this certificate is for.
    """
    ca = authority(folder)
    door = Door(folder, ca, ca.pem)
    key = new_key()
    certificate = (shows or ca).server(names, key.public_key(), utc(), timedelta(days=1))
    (folder / "server.pem").write_bytes(key_bytes(key) + certificate.pem.encode())
    with serving_as(door, folder / "server.pem") as door.url:
        yield door


def made(folder: Path, device: str) -> tuple[str, Enrolled]:
    """A key, and what a fleet of its own gives for it."""
    ca = authority(folder / device)
    door, key = Door(folder, ca, ca.pem), make_key()
    said = {"device": device, "csr": request_text(key, device)}
    return key_text(key), Enrolled.model_validate(door.enrolled(said))


@contextmanager
def serving_as(door: Door, shows: Path) -> Iterator[str]:
    """Its URL, while it shows the certificate of this file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shows)
    with _Server(door, context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _handler(door))
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: object) -> None:
        """A client that goes away, because it does not believe us, is what is tested."""


def _handler(door: Door) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*door.answer(self.path, {}))

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            door.posted.append((self.path, said))
            self._send(*door.answer(self.path, said))

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
