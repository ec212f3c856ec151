"""The fleet's own CA: a key in the fleet's folder, and what it signs.

Whoever has the key can let boxes in and pass for the server; he cannot have a box run anything, because releases and
plans are signed with other keys. Keep a copy of ``keys/`` apart from the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_fleet.identity import certificates

AUTHORITY_HOLDS = timedelta(days=20 * 365)
REVOKED_HOLDS = timedelta(days=30)
"""OpenSSL lets nobody in by a list that has expired: it is made anew every day (``server_files.refresh``)."""


@dataclass(frozen=True)
class Issued:
    """A certificate that was given.

    Attributes:
        serial: hex, as the table has it.
        not_after_s: seconds since 1970.
    """

    serial: str
    pem: str
    not_after_s: float


class Authority:
    """Signs with the CA's key.

    Args:
        certificate: its own.
    """

    def __init__(self, certificate: x509.Certificate, key: certificates.Key) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str, now: datetime) -> Authority:
        """Make a key and a certificate in a fleet's folder.

        Raises:
            InputError: there is one already.
        """
        if _key_file(folder).exists() or _certificate_file(folder).exists():
            raise InputError(
                f"{folder} has a CA already",
                expected="none: every box that enrolled trusts the one that is there",
                got=str(_key_file(folder)),
                fix="use it, or make another fleet in another folder",
            )
        key = certificates.new_key()
        made = certificates.authority_certificate(key, f"{name} fleet CA", now, AUTHORITY_HOLDS)
        write_bytes(_key_file(folder), certificates.key_bytes(key), mode=0o600)
        write_bytes(_certificate_file(folder), certificates.pem_of(made).encode())
        return cls(made, key)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The one of a fleet's folder.

        Raises:
            InputError: there is none, or certificate and key do not belong together.
        """
        try:
            certificate = x509.load_pem_x509_certificate(_certificate_file(folder).read_bytes())
            key = serialization.load_pem_private_key(_key_file(folder).read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise _no_authority(folder, str(error)) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise _no_authority(folder, "a key that does not belong to the certificate")
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """Of its certificate."""
        return certificates.pem_of(self.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate (DER), hex; part of every enrolment code."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def client(self, who: str, public: ec.EllipticCurvePublicKey, now: datetime, holds: timedelta) -> Issued:
        """A certificate for a box, or for a program of the fleet itself."""
        made = certificates.client_certificate(self.certificate, self._key, who, public, now, holds)
        return _issued(made)

    def server(
        self, names: tuple[str, ...], public: ec.EllipticCurvePublicKey, now: datetime, holds: timedelta
    ) -> Issued:
        """A certificate for a server, under all these names."""
        made = certificates.server_certificate(self.certificate, self._key, names, public, now, holds)
        return _issued(made)

    def revocation_list(self, revoked: Mapping[str, float], now: datetime) -> bytes:
        """PEM; ``revoked``: serial number in hex, and since when in seconds since 1970."""
        since = {int(serial, 16): datetime.fromtimestamp(at_s, now.tzinfo) for serial, at_s in revoked.items()}
        return certificates.revocation_list(self.certificate, self._key, since, now, REVOKED_HOLDS)

    def gave(self, certificate: x509.Certificate) -> bool:
        """Whether this CA signed it."""
        return certificates.is_from(self.certificate, certificate)


def _issued(made: x509.Certificate) -> Issued:
    return Issued(f"{made.serial_number:x}", certificates.pem_of(made), made.not_valid_after_utc.timestamp())


def _key_file(folder: Path) -> Path:
    return folder / "keys" / "ca.key.pem"


def _certificate_file(folder: Path) -> Path:
    return folder / "ca.pem"


def _no_authority(folder: Path, got: str) -> InputError:
    return InputError(
        f"{folder} has no CA that can sign",
        expected="ca.pem and keys/ca.key.pem, as `edgemill fleet init` makes them",
        got=got,
        fix="put keys/ back from where it is kept apart; a new CA would have to be enrolled with by every box",
    )
