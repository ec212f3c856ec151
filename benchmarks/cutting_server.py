"""A static file server that cuts the connection at random points: ``cutting_server.py FOLDER CUTS SEED``.

The largest file is cut, at points that are drawn over its length: in the middle of the answer's head, in the middle of
the body with an end, or with a reset. ``/told`` says what was sent, every byte of every answer, also those that a reset
threw away on their way.
"""

from __future__ import annotations

import http.server
import json
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

KINDS = ("head", "end", "reset")
PIECE, BUFFER = 1 << 14, 1 << 17


@dataclass
class Told:
    """Counted over all connections."""

    sent: int = 0
    requests: int = 0
    cuts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Cuts:
    """The points that are left, in the order of the file."""

    def __init__(self, size: int, count: int, seed: int) -> None:
        chance = random.Random(seed)
        points = sorted(chance.randrange(size) for _ in range(count))
        self._left = [(point, chance.choice(KINDS)) for point in points]

    def next(self, start: int) -> tuple[int, str] | None:
        """The next one; one that was passed over while bytes came again is at the beginning."""
        if not self._left:
            return None
        point, kind = self._left.pop(0)
        return max(point, start), kind


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *given: object, folder: Path, cuts: Cuts, large: Path, told: Told) -> None:
        self._folder, self._cuts, self._large, self._told = folder, cuts, large, told
        super().__init__(*given)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/told":
            self._answer(json.dumps(vars(self._told)).encode(), counted=False)
            return
        file = self._folder / self.path.lstrip("/")
        self._told.requests += 1
        if not file.is_file():
            self._head(404, 0)
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self._head(206 if start else 200, file.stat().st_size - start) if file != self._large else None
        for piece in _pieces(file, start) if file != self._large else self._cut(file, start):
            self._send(piece)

    def _cut(self, file: Path, start: int) -> Iterator[bytes]:
        size = file.stat().st_size
        cut = self._cuts.next(start)
        if cut is not None and cut[1] == "head":
            self._told.cuts["head"] += 1
            yield b"HTTP/1.1 206 Partial Content\r\nContent-Len"
            self._end(reset=False)
            return
        self._head(206 if start else 200, size - start)
        left = (cut[0] if cut is not None else size) - start
        for piece in _pieces(file, start):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                break
        if cut is not None:
            self._told.cuts[cut[1]] += 1
            self._end(reset=cut[1] == "reset")

    def _end(self, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer(self, content: bytes, counted: bool = True) -> None:
        before = self._told.sent
        self._head(200, len(content))
        self._send(content)
        self._told.sent = self._told.sent if counted else before

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self._told.sent += 100  # about

    def _send(self, piece: bytes) -> None:
        try:
            self.wfile.write(piece)
        except OSError:  # it was killed
            self.close_connection = True
            return
        self._told.sent += len(piece)

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


def _pieces(file: Path, start: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        opened.seek(start)
        while piece := opened.read(PIECE):
            yield piece


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        return connection, address

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    large = max(
        (path for path in (folder / "blobs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    told = Told()
    made = partial(Handler, folder=folder, cuts=Cuts(large.stat().st_size, count, seed), large=large, told=told)
    with Server(("127.0.0.1", 0), made) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
        server.serve_forever(0.05)


if __name__ == "__main__":
    main()
