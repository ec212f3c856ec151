"""Servers on this machine: one that gives out a folder, and one that answers as a test says."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Its URL, while it gives out ``folder``."""
    with _running(partial(_Quiet, directory=str(folder))) as url:
        yield url


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Its URL, while it answers every GET with ``answer``."""

    class Handler(_Quiet):
        def do_GET(self) -> None:
            answer(self)

    with _running(Handler) as url:
        yield url


@contextmanager
def _running(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
