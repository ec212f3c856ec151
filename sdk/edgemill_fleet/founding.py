"""Make a fleet: a folder with settings, a CA, releases and their keys, a database, and a token for the first admin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from pydantic import ValidationError

from edgemill_core.durable import make_folder, write_bytes
from edgemill_core.errors import InputError
from edgemill_core.validation import first_complaint
from edgemill_fleet.access_file import Access, write_access
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.identity.tokens import make_token
from edgemill_fleet.releases.holding import held, writing
from edgemill_fleet.releases.keys import make_key, public_key, signer_of
from edgemill_fleet.releases.repository import Repository, RoleKeys
from edgemill_fleet.settings import SETTINGS, FleetFolder, ManagerSettings
from edgemill_fleet.store.audit import HERE, note
from edgemill_fleet.store.database import open_database
from edgemill_fleet.store.migrations import upgrade

ONLINE, PLANS = "online", "plan"
"""Names of the keys in ``keys/`` that the steward signs with."""
_AWAY = ("root", "release")
"""Names of those that belong elsewhere."""


@dataclass(frozen=True)
class Founded:
    """A new fleet.

    Attributes:
        access: file of the first admin.
        take_away: private keys that do not belong on the server.
    """

    folder: FleetFolder
    access: Path
    take_away: tuple[Path, ...]


def found(path: Path, settings: dict[str, object], now: datetime, releases: bool = True) -> Founded:
    """Make a fleet in a new folder, or in one that holds ``releases/`` already.

    Args:
        settings: of ``fleet.yaml``, those that are not as they are by themselves.
        releases: make keys and an empty folder of releases; if not, ``releases/``, ``keys/online`` and ``keys/plan``
            are brought.

    Raises:
        InputError: there is a fleet already, or the settings are none.
    """
    if (path / SETTINGS).exists():
        raise InputError(
            f"{path} is a fleet already",
            expected="a new folder",
            got=str(path / SETTINGS),
            fix="name another; or serve this one: edgemill fleet serve",
        )
    folder = FleetFolder(path, _checked(settings))
    with writing(path):
        make_folder(path)
        make_folder(folder.keys)
        folder.keys.chmod(0o700)
    authority = Authority.create(path, folder.settings.name, now)
    away = _make_releases(folder, now) if releases else ()
    if not folder.settings.database:  # of who knows whom; nobody else on this machine reads it
        write_bytes(path / "fleet.db", b"", mode=0o600)
    upgrade(folder.database_url)
    access = add_person(folder, authority, "admin", Role.ADMIN, now)
    # Last, because a folder with settings counts as a fleet.
    write_bytes(path / SETTINGS, yaml.safe_dump(settings, sort_keys=False).encode())
    file = path / "admin.access.yaml"
    write_access(file, access)
    return Founded(folder, file, away)


def add_person(folder: FleetFolder, authority: Authority, name: str, role: Role, now: datetime) -> Access:
    """A token for somebody, made where the folder is.

    Raises:
        ConflictError: the name was given before.
    """
    database = open_database(folder.database_url)
    try:
        with database.session() as session:
            token = make_token(session, name, role)
            note(session, HERE, "token made", now.timestamp(), name=name, role=role.value)
    finally:
        database.close()
    return Access(url=folder.settings.url, ca=authority.pem, token=token)


def _checked(settings: dict[str, object]) -> ManagerSettings:
    try:
        return ManagerSettings.model_validate(settings)
    except ValidationError as error:
        where, expected, got = first_complaint(error)
        raise InputError(
            f"this fleet cannot be: {where}", expected=expected, got=got, fix="say it otherwise"
        ) from error


def _make_releases(folder: FleetFolder, now: datetime) -> tuple[Path, ...]:
    files = {name: make_key(folder.keys, name) for name in (*_AWAY, ONLINE, PLANS)}
    public = {name: public_key(file) for name, file in files.items()}
    keys = RoleKeys([public["root"]], [public["release"]], [public[ONLINE]], [public[PLANS]])
    with writing(folder.releases):
        make_folder(folder.releases)
    with held(folder.releases):
        Repository.create(folder.releases, keys, [signer_of(file) for file in files.values()], now=now)
    return tuple(folder.keys / f"{name}.pem" for name in _AWAY)
