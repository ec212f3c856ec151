"""A fleet's app, behind real TLS, on a free port of 127.0.0.1, in a thread of the test."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fleet_folder import Fleet

from edgemill_fleet.identity.server_files import refresh_certificates
from edgemill_fleet.serving.tls import server_context
from edgemill_fleet.serving.web_process import configure


@contextmanager
def serving(fleet: Fleet, tls: bool = True) -> Iterator[str]:
    """Its URL. The clock of TLS is the real one, so the server's certificate is of now."""
    folder = fleet.manager.folder.path
    refresh_certificates(folder, fleet.manager.authority, ("127.0.0.1",), fleet.clock.now)
    server = uvicorn.Server(configure(fleet.app, server_context(folder) if tls else None))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def trusting(fleet: Fleet) -> ssl.SSLContext:
    """Believes this fleet's CA alone."""
    return ssl.create_default_context(cadata=fleet.manager.authority.pem)
