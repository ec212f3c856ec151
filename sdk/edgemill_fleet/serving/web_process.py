"""Answers requests: one of as many processes as there are to be, on one socket that they share."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.serving.tls import load_own, server_context
from edgemill_fleet.settings import open_folder
from edgemill_fleet.store.database import open_database
from edgemill_fleet.web.app import make_app
from edgemill_fleet.web.manager import Manager
from edgemill_fleet.web.peer import PeerProtocol

MOST_CONNECTIONS = 2000
_HEAD_BYTES = 16 << 10
_LOOK_S = 60.0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, channel: Channel, context: ssl.SSLContext | None, folder: Path) -> None:
        super().__init__(config)
        self._channel = channel
        self._context = context
        self._folder = folder

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._channel.send({"ready": True})
        if self._context is not None:
            self._looking = asyncio.create_task(self._look(self._context))

    async def _look(self, context: ssl.SSLContext) -> None:
        """The supervisor renews the certificate; who connects sees the new one."""
        seen = _seen(self._folder)
        while True:
            await asyncio.sleep(_LOOK_S)
            now = _seen(self._folder)
            if now != seen:
                with suppress(OSError, ssl.SSLError):  # caught between key and certificate; next time
                    load_own(context, self._folder)
                    seen = now


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until SIGTERM.

    First message: ``folder``, the fleet's; ``socket``, a descriptor that listens.
    """
    folder = open_folder(Path(first["folder"]))
    manager = Manager(folder, open_database(folder.database_url), Authority.open(folder.path))
    context = server_context(folder.path) if folder.settings.tls else None
    config = configure(make_app(manager), context)
    with socket.socket(fileno=first["socket"]) as listening:
        _Server(config, channel, context, folder.path).run(sockets=[listening])
    manager.database.close()


def configure(app: FastAPI, context: ssl.SSLContext | None) -> uvicorn.Config:
    """How uvicorn serves ``app``; without TLS, a proxy in front is believed that says who asks."""
    return uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=context is None,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        ssl_context_factory=(lambda _, __: context) if context is not None else None,
    )


def _seen(folder: Path) -> float:
    return (folder / "keys" / "server.pem").stat().st_mtime


if __name__ == "__main__":
    child_main(work)
