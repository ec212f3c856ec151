"""The folder of releases, as files: ranges, and what may be kept by caches for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from edgemill_core.errors import EdgemillError
from edgemill_fleet.refusals import NotAllowedError, StrangerError
from edgemill_fleet.settings import Readers
from edgemill_fleet.web.access import device_by, person_by, token_in
from edgemill_fleet.web.answers import refusal
from edgemill_fleet.web.manager import Manager

_SERVED = ("metadata", "targets", "blobs", "plans")
_FOREVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"


class ReleaseFiles(StaticFiles):
    """Gives out ``releases/``, to those who may read it; a box reads no plan but its own."""

    def __init__(self, manager: Manager) -> None:
        super().__init__(directory=manager.folder.releases, check_dir=False)
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            if self._manager.folder.settings.releases is Readers.DEVICES:
                await run_in_threadpool(self._admit, scope)
        except EdgemillError as error:
            await refusal(error)(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """What lies at ``path``; nothing where a name begins with a dot, as what is being written does."""
        parts = path.split("/")
        if parts[0] not in _SERVED or any(part.startswith(".") for part in parts):
            path = ".."
        return await super().get_response(path, scope)

    def file_response(self, full_path: Any, *more: Any, **named: Any) -> Response:
        """A file, with ranges and an ETag, and how long it may be kept."""
        response = super().file_response(full_path, *more, **named)
        file = Path(full_path)
        changes = file.name == "timestamp.json" or file.parent.name == "plans"
        response.headers["cache-control"] = _ASK_FIRST if changes else _FOREVER
        return response

    def _admit(self, scope: Scope) -> None:
        """See that who asks may read.

        Raises:
            StrangerError: nobody is known.
            NotAllowedError: the box was shut out, or the plan is another's.
        """
        device = device_by(self._manager, scope)
        token = token_in(Request(scope))
        if device is None and not token:
            raise StrangerError(
                "releases are for boxes of this fleet",
                expected="the certificate of a box that enrolled, or a token",
                got="neither",
                fix="edgemill agent enrol; or say releases: all in fleet.yaml",
            )
        if device is None:
            person_by(self._manager, token)
            return
        plan = self.get_path(scope)
        if plan.startswith("plans/") and plan != f"plans/{device}.json":
            raise NotAllowedError(
                f"{device} may not read this plan",
                expected=f"plans/{device}.json",
                got=plan[:100],
                fix="look whether device: id: in agent.yaml is the one that the box enrolled as",
            )
