"""Files of the fleet's own servers: certificates that are made anew before they expire, and what is revoked.

The server and its broker, on this machine, share one certificate: ``keys/server.pem``. Whoever takes in telemetry shows
the broker ``keys/intake.pem``; its name begins as no device's may, so that it is nobody's box.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgemill_core.durable import write_bytes
from edgemill_fleet.identity.authority import Authority, Issued
from edgemill_fleet.identity.certificates import key_bytes, new_key
from edgemill_fleet.identity.revocation import revoked
from edgemill_fleet.store.database import Database

INTAKE = "_intake"
"""Common name of who takes in telemetry."""
REVOKED = "crl.pem"
_HOLDS = timedelta(days=90)
Sign = Callable[[ec.EllipticCurvePublicKey], Issued]


def refresh_certificates(folder: Path, authority: Authority, names: tuple[str, ...], now: datetime) -> bool:
    """Make the certificates of server and intake, where one is missing, is for other names, or has a third of its life
    left; gives whether one was made.
    """
    keys = folder / "keys"
    with _alone(keys):
        server = _refresh(keys, "server", names, now, lambda public: authority.server(names, public, now, _HOLDS))
        intake = _refresh(keys, "intake", (), now, lambda public: authority.client(INTAKE, public, now, _HOLDS))
    return server or intake


def write_revocations(folder: Path, database: Database, authority: Authority, now: datetime) -> None:
    """Write ``crl.pem`` as the database has it now; of two who do, the later has the last word."""
    with _alone(folder / "keys"):
        with database.reading() as session:
            found = revoked(session, now.timestamp())
        write_bytes(folder / REVOKED, authority.revocation_list(found, now))


def _refresh(keys: Path, name: str, names: tuple[str, ...], now: datetime, sign: Sign) -> bool:
    file = keys / f"{name}.pem"
    if _good(file, keys / f"{name}.key.pem", names, now):
        return False
    key = new_key()
    # The key first: who is cut off in between has no certificate that fits, and makes both again.
    write_bytes(keys / f"{name}.key.pem", key_bytes(key), mode=0o600)
    write_bytes(file, sign(key.public_key()).pem.encode())
    return True


def _good(file: Path, private: Path, names: tuple[str, ...], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError):
        return False
    until, fits = certificate.not_valid_after_utc, certificate.public_key() == key.public_key()
    return fits and until - now > _HOLDS / 3 and _names(certificate) == frozenset(names)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(one.value) for one in found)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, of those on this folder."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
