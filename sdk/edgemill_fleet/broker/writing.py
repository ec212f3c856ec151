"""Write a broker's files, and tell one that runs to read them again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from shutil import chown

from sqlalchemy import select

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_fleet.broker.mosquitto import (
    ACCESS,
    CA,
    CERTIFICATE,
    CONFIGURATION,
    KEY,
    REVOKED,
    Ports,
    access_list,
    configuration,
)
from edgemill_fleet.settings import FleetFolder
from edgemill_fleet.store.database import Database
from edgemill_fleet.store.devices import REVOKED as SHUT_OUT
from edgemill_fleet.store.tables import Device


def shut_out(database: Database) -> list[str]:
    """Devices that were revoked."""
    with database.reading() as session:
        return list(session.scalars(select(Device.id).where(Device.standing == SHUT_OUT)))


def write_broker(folder: FleetFolder, database: Database, out: Path, ports: Ports, user: str) -> bool:
    """Write everything that the broker reads into a folder of its own; gives whether anything of it is new.

    Certificates and ``crl.pem`` are those that `fleet serve` keeps in the fleet's folder.

    Args:
        user: who is to be able to read them, besides root; must be one of this machine if root says it.

    Raises:
        InputError: something is missing, or cannot be written.
    """
    here = folder.path
    try:
        wanted = {
            CONFIGURATION: configuration(out.absolute(), ports, user).encode(),
            ACCESS: access_list(shut_out(database)).encode(),
            CA: (here / "ca.pem").read_bytes(),
            REVOKED: (here / "crl.pem").read_bytes(),
            CERTIFICATE: (here / "keys" / "server.pem").read_bytes(),
            KEY: (here / "keys" / "server.key.pem").read_bytes(),
        }
        changed = [_write(out / name, content, user) for name, content in wanted.items()]
    except (OSError, LookupError) as error:
        raise InputError(
            f"the broker's files cannot be written to {out}",
            expected=f"a fleet in {here} that was served once, a user {user}, and a folder to write to",
            got=str(error),
            fix="start `edgemill fleet serve` once, or say --out and --user",
        ) from error
    return any(changed)


def read_again(pid_file: Path) -> None:
    """Tell the broker that its files changed. Nobody is disconnected.

    Raises:
        InputError: it does not run.
    """
    try:
        os.kill(int(pid_file.read_text(encoding="ascii")), signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise InputError(
            "the broker was not told to read its files again",
            expected=f"the number of its process in {pid_file}",
            got=str(error),
            fix="start it, or name the file that `pid_file` in its configuration does",
        ) from error


def _write(path: Path, content: bytes, user: str) -> bool:
    """Whether it was not there like that."""
    if path.exists() and path.read_bytes() == content:
        return False
    write_bytes(path, content, mode=0o600)
    if os.geteuid() == 0:
        chown(path, user)
    return True
