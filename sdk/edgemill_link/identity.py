"""What a box knows of itself and of its fleet once it is let in: a folder, only ever whole.

::

    identity/box.pem      key and certificate in one file, so that one never lies there without the other; mode 0600
    identity/ca.pem       the fleet's CA; whoever shows a certificate of it is of the fleet
    identity/root.json    the TUF root that came with it
    identity/fleet.json   where the fleet and its broker are

The key is made here and never leaves this box. The library for keys is imported on use: the line process has none.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from edgemill_core.durable import make_folder, sync_folder, sync_tree, write_bytes
from edgemill_core.errors import IdentityError
from edgemill_core.validation import Strict, first_complaint
from edgemill_link.enrolment import DeviceId, Enrolled, renewal_statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

FOLDER = "identity"
"""In the agent's state folder."""
_AT_SHARE = 2 / 3
"""Of its life, after which a certificate is renewed."""


class Fleet(Strict):
    """Where this box belongs to.

    Attributes:
        device: as the fleet knows it.
        url: of the fleet, without a slash at its end.
        broker: ``mqtts://host:port``; empty if the fleet has none.
    """

    device: DeviceId
    url: str
    broker: str = ""


@dataclass(frozen=True)
class Identity:
    """The files of a box that was let in.

    Attributes:
        folder: where they lie.
        fleet: what ``fleet.json`` says.
    """

    folder: Path
    fleet: Fleet

    @property
    def own(self) -> Path:
        """Key and certificate, PEM."""
        return self.folder / "box.pem"

    @property
    def ca(self) -> Path:
        """The CA's certificate, PEM; two while one follows the other."""
        return self.folder / "ca.pem"

    @property
    def root(self) -> Path:
        """The TUF root."""
        return self.folder / "root.json"

    def certificate_pem(self) -> str:
        """Without the key; and any that stand between it and the CA."""
        text = self._own_text()
        return text[text.index("-----BEGIN CERTIFICATE-----") :]

    def certificate(self) -> Certificate:
        """The box's own."""
        from cryptography.x509 import load_pem_x509_certificate

        return load_pem_x509_certificate(self.certificate_pem().encode())

    def prove(self, csr: str) -> str:
        """Signature that asks for a certificate for ``csr`` in the place of this one, hex."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._own_text().encode(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        return key.sign(renewal_statement(self.certificate_pem(), csr), ECDSA(SHA256())).hex()

    def _own_text(self) -> str:
        try:
            text = self.own.read_text(encoding="ascii")
            text.index("-----BEGIN CERTIFICATE-----")
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, str(error)) from error
        return text


def read_identity(state: Path) -> Identity | None:
    """Of the box whose state folder this is; ``None`` if it was never let in.

    Raises:
        IdentityError: a file of it is damaged.
    """
    folder = state / FOLDER
    _undo_half_a_swap(folder)
    try:
        told = (folder / "fleet.json").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(folder, str(error)) from error
    try:
        return Identity(folder, Fleet.model_validate_json(told))
    except ValidationError as error:
        raise _damaged(folder, ": ".join(first_complaint(error))) from error


def write_identity(state: Path, url: str, key_pem: str, given: Enrolled) -> Identity:
    """Keep what the fleet gave. A power cut leaves what was there before, or this.

    Args:
        state: the agent's state folder.
        url: of the fleet.
        key_pem: the box's key.
        given: that belongs to it.
    """
    folder, beside = state / FOLDER, state / f".{FOLDER}.new"
    fleet = Fleet(device=given.device, url=url, broker=given.broker)
    shutil.rmtree(beside, ignore_errors=True)
    make_folder(state)
    beside.mkdir(mode=0o700)
    write_bytes(beside / "box.pem", (key_pem + given.certificate).encode(), mode=0o600)
    write_bytes(beside / "ca.pem", given.ca.encode())
    write_bytes(beside / "root.json", given.root.encode())
    write_bytes(beside / "fleet.json", fleet.model_dump_json().encode())
    sync_tree(beside)
    _undo_half_a_swap(folder)
    if folder.exists():
        shutil.rmtree(_before(folder), ignore_errors=True)
        folder.rename(_before(folder))
    beside.rename(folder)
    sync_folder(state)
    shutil.rmtree(_before(folder), ignore_errors=True)
    return Identity(folder, fleet)


def replace_certificate(identity: Identity, key_pem: str, certificate: str, ca: str, broker: str) -> Identity:
    """Keep what a renewal gave; each file is the old one or the new one, and each pair of them does."""
    fleet = identity.fleet.model_copy(update={"broker": broker})
    write_bytes(identity.ca, ca.encode())
    write_bytes(identity.own, (key_pem + certificate).encode(), mode=0o600)
    if fleet != identity.fleet:
        write_bytes(identity.folder / "fleet.json", fleet.model_dump_json().encode())
    return Identity(identity.folder, fleet)


def renewal_due(begins: datetime, ends: datetime, now: datetime) -> bool:
    """Whether it is time for another certificate: two thirds of its life are over, or all of it."""
    return now >= begins + (ends - begins) * _AT_SHARE


def left_of(identity: Identity, now: datetime) -> timedelta:
    """How long the certificate still holds; negative if it has expired."""
    return identity.certificate().not_valid_after_utc - now


def make_key() -> EllipticCurvePrivateKey:
    """On P-256: what every TLS library, and most hardware, can do."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    return generate_private_key(SECP256R1())


def key_text(key: EllipticCurvePrivateKey) -> str:
    """PEM; not encrypted: the box has to start with nobody there."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def request_text(key: EllipticCurvePrivateKey, device: str) -> str:
    """A CSR for the key, PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def utc_now() -> datetime:
    """By this box's clock, which may be wrong."""
    return datetime.now(timezone.utc)


def _before(folder: Path) -> Path:
    return folder.with_name(f".{FOLDER}.before")


def _undo_half_a_swap(folder: Path) -> None:
    """A box that was enrolled again, and lost power between two renames, is what it was before."""
    if not folder.exists() and _before(folder).exists():
        _before(folder).rename(folder)


def _damaged(folder: Path, got: str) -> IdentityError:
    return IdentityError(
        f"what this box knows of itself in {folder} is damaged",
        expected="box.pem, ca.pem, root.json and fleet.json, as `edgemill agent enrol` wrote them",
        got=got,
        fix="have another code made, and enrol again with --again",
    )
