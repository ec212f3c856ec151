"""A copy of a fleet that can take its place: settings, keys, and the database as it is at one moment.

Releases are not part of it: they are files of their own, that any copy of the folder holds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from edgemill_core.durable import make_folder, sync_tree
from edgemill_core.errors import InputError, StoreError
from edgemill_fleet.releases.holding import writing
from edgemill_fleet.settings import SETTINGS, FleetFolder

_FILES = (SETTINGS, "ca.pem", "crl.pem")


@dataclass(frozen=True)
class BackedUp:
    """What was copied.

    Attributes:
        database: whether the database came along; PostgreSQL's own tools copy that one.
    """

    folder: Path
    files: int
    database: bool


def back_up(folder: FleetFolder, out: Path) -> BackedUp:
    """Copy a fleet into a new folder, while it is served or not. Whoever has it has the fleet's keys.

    Raises:
        InputError: something lies there, or it cannot be written.
        StoreError: the database cannot be read.
    """
    if out.exists():
        raise InputError(
            f"there is something at {out}",
            expected="a new folder for each copy",
            got=str(out),
            fix="name another, with the date in it",
        )
    unfinished = out.with_name(f".{out.name}.new")
    with writing(out.parent):
        shutil.rmtree(unfinished, ignore_errors=True)
        make_folder(unfinished)
        unfinished.chmod(0o700)
        shutil.copytree(folder.keys, unfinished / "keys")
        for name in _FILES:
            if (folder.path / name).exists():
                shutil.copy2(folder.path / name, unfinished / name)
        database = _copy_database(folder, unfinished / "fleet.db")
        sync_tree(unfinished)
        os.replace(unfinished, out)
    return BackedUp(out, sum(file.is_file() for file in out.rglob("*")), database)


def _copy_database(folder: FleetFolder, out: Path) -> bool:
    """By SQLite's own copying (``sqlite3_backup``): one moment of it, whoever writes meanwhile."""
    url = make_url(folder.database_url)
    if url.get_backend_name() != "sqlite" or url.database is None:
        return False
    os.close(os.open(out, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(f"file:{url.database}?mode=ro", uri=True)) as source:
            with closing(sqlite3.connect(out)) as target:
                source.backup(target)
    except sqlite3.Error as error:
        raise StoreError(
            "the fleet's database cannot be copied",
            expected=f"a database at {url.database}, and room at {out}",
            got=str(error),
            fix="look whether it is there, and make room",
        ) from error
    return True
