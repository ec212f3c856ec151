"""HTTP/1.1 by uvicorn, with what it leaves out: who is at the other end, and patience that ends.

The certificate that a client showed is in the request's scope as ASGI's TLS extension (0.2) has it. Whoever connects
and does not say a whole request head in time is left.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0


class PeerProtocol(H11Protocol):
    """One connection."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look who it is."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        shown = connection.getpeercert(binary_form=True) if connection is not None else None
        if shown:
            self.app = _WithPeer(self.app, ssl.DER_cert_to_PEM_cert(shown))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Hear more."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_patience()
        elif self._patience is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget_patience()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """What is asked next has its own time; idle connections end by ``timeout_keep_alive``."""
        self._forget_patience()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self._leave)

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _leave(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()


class _WithPeer:
    """The app, told who asks."""

    def __init__(self, app: Any, certificate: str) -> None:
        self._app: ASGIApp = app
        self._certificate = certificate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = {"server_cert": None, "client_cert_chain": [self._certificate], "client_cert_name": None}
        told |= {"client_cert_error": None, "tls_version": None, "cipher_suite": None}
        extensions = {**scope.get("extensions", {}), "tls": told}
        await self._app({**scope, "extensions": extensions}, receive, send)
