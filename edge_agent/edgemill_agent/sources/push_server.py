"""The HTTP side of pushed pictures: small, bounded, and with one clear answer for each bad request."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from edgemill_agent.sources.base import too_large
from edgemill_core.errors import InputError
from edgemill_runtimes.frames import Frame, decode

_SLOW_S = 10.0
"""A sender that is silent for longer is cut off."""
_LINGER_S = 2.0
"""For so long what a refused sender is still at is taken in and thrown away."""
_SENDERS = 16
"""That may be served, or wait, at once; each holds a thread and a picture."""
_HEADER_BYTES = 64 << 10
"""What a file may take beyond its pixels: no picture that fits a slot needs a larger one."""
_TYPES = ("image/jpeg", "image/png", "image/bmp", "application/octet-stream")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127}")
_WORDS, _WORD_LENGTH = 16, 256


@dataclass(frozen=True)
class Answer:
    """Status and JSON body."""

    status: int
    body: Mapping[str, Any]


class _RefusedError(Exception):
    def __init__(self, status: int, error: str, to_do: str) -> None:
        super().__init__(error)
        self.answer = Answer(status, {"error": error, "to_do": to_do})


class PushServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1.

    Args:
        port: TCP.
        most: bytes of a decoded picture.
        push: takes a picture, its name (or none) and what is known of it; gives the answer once there is one.

    Raises:
        OSError: the port is not free.
    """

    daemon_threads = True
    request_queue_size = 2 * _SENDERS

    def __init__(self, port: int, most: int, push: Callable[[Frame, str, Mapping[str, str]], Answer]) -> None:
        self.most, self.push = most, push
        self.room = threading.BoundedSemaphore(_SENDERS)
        self.decoding = threading.Lock()  # a small file may ask for hundreds of megabytes before it is refused
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, *_: object) -> None:
        """A sender that goes away meanwhile is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SLOW_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edgemill", ""
    server: PushServer
    _refused = False
    _METHOD: ClassVar = (405, "only POST /frames is served here", "POST a picture to /frames")

    def do_POST(self) -> None:
        if not self.server.room.acquire(blocking=False):
            self._send(Answer(503, {"error": f"{_SENDERS} parts are under way", "to_do": "send it again, later"}))
            return
        try:
            self._send(self._answer())
        finally:
            self.server.room.release()

    def do_GET(self) -> None:
        self._send(_RefusedError(*self._METHOD).answer)

    do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET  # noqa: N815

    def _answer(self) -> Answer:
        try:
            name, context = self._asked()
            return self.server.push(self._picture(self._body()), name, context)
        except _RefusedError as refused:
            return refused.answer

    def _asked(self) -> tuple[str, Mapping[str, str]]:
        url = urlsplit(self.path)
        if url.path != "/frames":
            raise _RefusedError(404, f"nothing is served at {url.path[:80]}", "POST a picture to /frames")
        # A page in a browser on this box could send pictures too; not under these types, and not by this name.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in {"127.0.0.1", "localhost"}:
            raise _RefusedError(403, f"this is not {host[:80]}", "send to http://127.0.0.1")
        if self.headers.get_content_type() not in _TYPES:
            got = self.headers.get("Content-Type", "none")[:80]
            raise _RefusedError(415, f"a body of the type {got}", f"say what it is: Content-Type: {' | '.join(_TYPES)}")
        try:
            words = dict(parse_qsl(url.query, keep_blank_values=True, max_num_fields=_WORDS, errors="strict"))
        except ValueError as error:
            raise _RefusedError(
                400, f"what is known of the part: {error}", f"at most {_WORDS} words in UTF-8"
            ) from error
        name = words.pop("part", "")
        if name and not _NAME.fullmatch(name):
            raise _RefusedError(400, "a part's name of other characters", f"name it by {_NAME.pattern}")
        if any(len(word) > _WORD_LENGTH for pair in words.items() for word in pair):
            raise _RefusedError(400, "what is known of the part is too long", f"at most {_WORD_LENGTH} characters each")
        return name, words

    def _body(self) -> bytes:
        told, most = self.headers.get("Content-Length", ""), self.server.most + _HEADER_BYTES
        if not told.isascii() or not told.isdigit() or len(told) > 18:
            raise _RefusedError(411, "a body without its length", "send Content-Length, in bytes")
        if int(told) > most:
            raise _RefusedError(413, f"a body of {told} bytes; {most} is the most", "raise `max_frame_bytes`")
        try:
            body = self.rfile.read(int(told))
        except TimeoutError as error:
            raise _RefusedError(408, f"nothing came for {_SLOW_S:g} s", "send the whole picture") from error
        if len(body) < int(told):
            raise _RefusedError(400, f"{len(body)} bytes of {told} came", "send the whole picture")
        return body

    def _picture(self, body: bytes) -> Frame:
        try:
            with self.server.decoding:
                frame = decode(body, "the picture")
        except InputError as error:
            raise _RefusedError(400, f"{error.what}: {error.got}", error.fix or "") from error
        if frame.nbytes > self.server.most:
            raise _RefusedError(413, too_large(frame.nbytes, self.server.most), "raise `max_frame_bytes`")
        return frame

    def _send(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode() + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.status >= 400:  # what is left of a refused body must not be read as the next request
            self.close_connection = self._refused = True
            self.send_header("Connection", "close")
        if answer.status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def finish(self) -> None:
        """Close; a refused sender is heard out, when it holds nobody else's place any more."""
        super().finish()
        if self._refused:
            self._linger()

    def _linger(self) -> None:
        """A connection that is closed on a sender amid its body is a broken pipe there, and its answer is lost."""
        end = time.monotonic() + _LINGER_S
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_S)
            while time.monotonic() < end and self.connection.recv(1 << 16):
                pass

    def log_message(self, *_: object) -> None:
        """The ledger says what came."""
