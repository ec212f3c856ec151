"""What every request is answered from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Annotated

from fastapi import Depends, Request

from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.renewal import Terms
from edgemill_fleet.identity.server_files import write_revocations
from edgemill_fleet.settings import FleetFolder
from edgemill_fleet.store.database import Database


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Manager:
    """Of one fleet.

    Attributes:
        clock: says what time it is, UTC.
    """

    folder: FleetFolder
    database: Database
    authority: Authority
    clock: Callable[[], datetime] = _now

    @property
    def terms(self) -> Terms:
        """Of certificates."""
        settings = self.folder.settings
        return Terms(timedelta(days=settings.certificate_days), timedelta(days=settings.way_back_days))

    def renew_revocations(self) -> None:
        """Write ``crl.pem`` anew, for the broker."""
        write_revocations(self.folder.path, self.database, self.authority, self.clock())


def manager_of(request: Request) -> Manager:
    """The one that this app was made with."""
    found = request.app.state.manager
    assert isinstance(found, Manager)
    return found


Ours = Annotated[Manager, Depends(manager_of)]
"""For a route that needs it."""
