"""A box is let in by a code, and renews its certificate before it expires, or after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_core.durable import sha256_bytes, write_bytes
from edgemill_core.errors import IdentityError, LinkError
from edgemill_link.enrolment import (
    AUTHORITY,
    ENROL,
    RENEW,
    Code,
    Enrolled,
    EnrolRequest,
    Renewed,
    RenewRequest,
)
from edgemill_link.fleet_door import post, read_text, trusting, trusting_file, untrusted
from edgemill_link.identity import (
    FOLDER,
    Identity,
    key_text,
    make_key,
    read_identity,
    renewal_due,
    replace_certificate,
    request_text,
    write_identity,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_PENDING = f".{FOLDER}.pending"
_END_OF_KEY = "-----END PRIVATE KEY-----\n"


def enrol(code: Code, device: str, state: Path, again: bool = False) -> Identity:
    """Be let in: make a key, send a request for a certificate, keep what comes.

    Killed anywhere it is said again with the same code: key and request are kept until the answer is.

    Args:
        code: that the fleet made for this device.
        device: this box's id.
        state: the agent's state folder.
        again: take the place of an identity that this box has already.

    Raises:
        IdentityError: the server is not the fleet that made the code; or it does not let this box in; or this box
            was let in before.
        LinkError: the fleet cannot be reached.
    """
    before = read_identity(state) if not again else None
    if before is not None:
        raise IdentityError(
            f"this box is let in already, as {before.fleet.device} at {before.fleet.url}",
            expected=f"no {state / FOLDER}",
            got=str(before.folder),
            fix="nothing is to be done; to take another identity say --again",
        )
    context = trusting(authority_of(code))
    key, csr = _pending(state, code, device)
    given = post(code.url, ENROL, EnrolRequest(secret=code.secret, device=device, csr=csr), Enrolled, context)
    if given.device != device:
        raise _misfit(code.url, f"a certificate for {device}", given.device)
    check_certificate(code.url, given.certificate, key, device)
    if code.ca not in _digests(given.ca):
        raise _misfit(code.url, "its CA, as the code names it", "another CA")
    identity = write_identity(state, code.url, key, given)
    (state / _PENDING).unlink(missing_ok=True)
    return identity


def authority_of(code: Code) -> str:
    """The CA's certificate, PEM; whoever gives it out, only the one that the code names is taken.

    Raises:
        IdentityError: there is another, or none.
        LinkError: nobody can be reached.
    """
    for pem in _certificates(read_text(code.url, AUTHORITY, untrusted())):
        if _digest(pem) == code.ca:
            return pem
    raise IdentityError(
        f"the server at {code.url} is not the fleet that made this code; nothing was sent to it",
        expected=f"a CA certificate of SHA-256 {code.ca[:16]}…",
        got="another, or none",
        fix="check the address in the code; if it is right, somebody stands between this box and the fleet",
    )


def renew(identity: Identity) -> Identity:
    """Have a certificate for a new key take the place of the one that is there, whether that has expired or not.

    Raises:
        IdentityError: the fleet refuses: this box is revoked, or was away for longer than it allows.
        LinkError: it cannot be reached; what is there is kept.
    """
    fleet = identity.fleet
    key = make_key()
    csr = request_text(key, fleet.device)
    said = RenewRequest(certificate=identity.certificate_pem(), csr=csr, proof=identity.prove(csr))
    given = post(fleet.url, RENEW, said, Renewed, trusting_file(identity.ca))
    check_certificate(fleet.url, given.certificate, key_text(key), fleet.device)
    trusting(given.ca)  # nothing that could not be read the next time is kept
    return replace_certificate(identity, key_text(key), given.certificate, given.ca, given.broker or fleet.broker)


def renew_if_due(identity: Identity, now: datetime, tell: Callable[[str], None]) -> Identity:
    """Renew when it is time; that it did not come off matters only once the certificate has expired.

    Args:
        now: by this box's clock.
        tell: told of what was done, or was not.

    Raises:
        IdentityError, LinkError: as for ``renew``, if the certificate has expired.
    """
    own = identity.certificate()
    if not renewal_due(own.not_valid_before_utc, own.not_valid_after_utc, now):
        return identity
    tell("renewing this box's certificate")
    try:
        return renew(identity)
    except (IdentityError, LinkError) as error:
        if now >= own.not_valid_after_utc:
            raise
        tell(f"this box's certificate was not renewed ({error.what}); it holds until {own.not_valid_after_utc:%F}")
        return identity


def check_certificate(url: str, pem: str, key: str, device: str) -> Certificate:
    """Whether it is for this device and this key; the box's own, if others stand behind it.

    Raises:
        IdentityError: it is not.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        found = load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise _misfit(url, "a certificate", str(error)) from error
    if found.public_key() != load_pem_private_key(key.encode(), None).public_key():
        raise _misfit(url, "a certificate for the key of this box", "one for another key")
    if f"CN={device}" not in found.subject.rfc4514_string().split(","):
        raise _misfit(url, f"a certificate for {device}", found.subject.rfc4514_string())
    return found


def _pending(state: Path, code: Code, device: str) -> tuple[str, str]:
    """Key and CSR for this code; the same ones as the last time, if the answer to that was lost."""
    file = state / _PENDING
    mark = f"{code.digest} {device}\n"
    try:
        kept = file.read_text(encoding="ascii")
    except (OSError, ValueError):
        kept = ""
    if not kept.startswith(mark):
        key = make_key()
        kept = f"{mark}{key_text(key)}{request_text(key, device)}"
        write_bytes(file, kept.encode(), mode=0o600)
    key_pem, _, csr = kept.removeprefix(mark).partition(_END_OF_KEY)
    return key_pem + _END_OF_KEY, csr


def _certificates(text: str) -> list[str]:
    end = "-----END CERTIFICATE-----"
    return [f"{part}{end}\n" for part in text.split(end)[:-1]]


def _digests(text: str) -> list[str]:
    return [_digest(pem) for pem in _certificates(text)]


def _digest(pem: str) -> str:
    """SHA-256 of the certificate's DER, hex; empty if it is none."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return sha256_bytes(load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER))
    except ValueError:
        return ""


def _misfit(url: str, expected: str, got: str) -> IdentityError:
    return IdentityError(
        f"what {url} gave does not fit, and is not kept", expected=expected, got=got, fix="ask its owner"
    )
