"""Give a box its next certificate, also when the one it has expired while it was cut off.

No client certificate is asked for: TLS would let nobody in with one that has expired. What counts is a signature by
its key, and that it was not revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgemill_core.errors import InputError
from edgemill_fleet.identity.authority import Authority, Issued
from edgemill_fleet.identity.certificates import requested_key
from edgemill_fleet.identity.enrolment import given, keep
from edgemill_fleet.identity.revocation import device_with
from edgemill_fleet.refusals import ConflictError, StrangerError, TooOftenError
from edgemill_fleet.store.audit import BOX, note
from edgemill_fleet.store.tables import Certificate
from edgemill_link.enrolment import RenewRequest, renewal_statement

_MOST_AN_HOUR = 20


@dataclass(frozen=True)
class Terms:
    """How long certificates hold.

    Attributes:
        holds: a new one.
        way_back: one that has expired can be renewed for so long.
    """

    holds: timedelta
    way_back: timedelta


def renew(session: Session, authority: Authority, request: RenewRequest, now: datetime, terms: Terms) -> Issued:
    """The next certificate of a box; the one before counts until it expires.

    Raises:
        InputError: certificate or CSR are none.
        StrangerError: this CA did not give the certificate, or its key did not sign.
        NotAllowedError: it was revoked.
        ConflictError: it expired too long ago.
        TooOftenError: it was given too many of late.
    """
    key = requested_key(request.csr)
    certificate = _certificate(request.certificate)
    if not authority.gave(certificate) or not _signed(certificate, request):
        raise StrangerError(
            "nobody is known by this certificate",
            expected="one that this fleet gave, and a signature by its key",
            got="another, or no such signature",
            fix="enrol the box: edgemill fleet enrol DEVICE",
        )
    ended = certificate.not_valid_after_utc
    device = device_with(session, certificate, min(now, ended - timedelta(seconds=1)).timestamp())
    if now > ended + terms.way_back:
        raise ConflictError(
            f"{device} was away for too long",
            expected=f"a certificate that ended at most {terms.way_back.days} days ago",
            got=f"one that ended {(now - ended).days} days ago",
            fix=f"enrol it again: edgemill fleet enrol {device}",
        )
    fresh = given(session, device, key, (now + terms.holds / 2).timestamp())
    if fresh is not None:  # the answer was lost, and it asks again
        return fresh
    _check_pace(session, device, now, terms)
    issued = authority.client(device, key, now, terms.holds)
    keep(session, device, issued)
    note(session, BOX, "device renewed", now.timestamp(), device=device, serial=issued.serial)
    return issued


def _check_pace(session: Session, device: str, now: datetime, terms: Terms) -> None:
    """A box that asks without end fills the table, and each of its certificates is looked at the next time."""
    last_hour = Certificate.not_after_s > (now + terms.holds - timedelta(hours=1)).timestamp()
    given_of_late = select(func.count()).where(Certificate.device == device, last_hour)
    if (session.scalar(given_of_late) or 0) >= _MOST_AN_HOUR:
        raise TooOftenError(
            f"{device} was given too many certificates",
            expected=f"{_MOST_AN_HOUR} in an hour at most",
            got="more",
            fix="look at the box: it should ask every few weeks, and keep what it is given",
        )


def _certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise InputError(
            "this is no certificate",
            expected="PEM, as the box was given it",
            got=str(error)[:200],
            fix="enrol the box again",
        ) from error


def _signed(certificate: x509.Certificate, request: RenewRequest) -> bool:
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    statement = renewal_statement(request.certificate, request.csr)
    try:
        public.verify(bytes.fromhex(request.proof), statement, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
