"""Fixtures of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fleet_databases import Kind, databases

from edgemill_fleet.store.database import Database, open_database


@pytest.fixture(autouse=True, scope="package")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Files survive the end of a process without ``fsync``; that it is called where it must be, one test sees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def database(databases: Kind) -> Iterator[Database]:
    """Of a fleet, empty, in each kind of database that is here."""
    opened = open_database(databases.ready())
    yield opened
    opened.close()


__all__ = ["databases"]
