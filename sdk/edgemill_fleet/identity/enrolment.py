"""Let boxes in: by a code that one person makes and one box uses, once.

Of a code only the digest is kept. It is used by one statement that finds it unused, so of two boxes that say it at the
same moment one is let in. The same box may say it again, for as long as it holds: the answer may have been lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edgemill_fleet.identity.authority import Authority, Issued
from edgemill_fleet.identity.certificates import public_bytes, requested_key
from edgemill_fleet.refusals import ConflictError, StrangerError
from edgemill_fleet.store.audit import BOX, note
from edgemill_fleet.store.devices import add_device, revoke_certificates
from edgemill_fleet.store.tables import Certificate, Device, Enrolment
from edgemill_link.enrolment import Code, EnrolRequest, make_code, secret_digest


@dataclass(frozen=True)
class Place:
    """Where a box belongs."""

    site: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class LetIn:
    """What a box is given.

    Attributes:
        replaces: other certificates of the device count no more since now.
    """

    issued: Issued
    replaces: bool = False


def make_enrolment(
    session: Session, url: str, ca: str, device: str, place: Place, now: datetime, holds: timedelta
) -> Code:
    """A code for one device. It is not kept: whoever loses it makes another.

    Args:
        url: under which boxes reach the fleet.
        ca: digest of its CA's certificate.
        holds: how long it may be used.
    """
    code = make_code(url, ca)
    session.add(
        Enrolment(
            digest=code.digest,
            device=device,
            site=place.site,
            group=place.group,
            tags=list(place.tags),
            expires_s=(now + holds).timestamp(),
        )
    )
    return code


def enrol(session: Session, authority: Authority, request: EnrolRequest, now: datetime, holds: timedelta) -> LetIn:
    """Let the box in that says a code.

    A device that is there already is taken for the same one with a new key: what it had before does not count any more.

    Args:
        holds: how long its certificate holds.

    Raises:
        StrangerError: nobody made this code.
        ConflictError: it has expired, another box used it, or it is for another device.
        InputError: the CSR is none.
    """
    key = requested_key(request.csr)
    now_s, digest = now.timestamp(), secret_digest(request.secret)
    unused = (Enrolment.digest == digest, Enrolment.device == request.device, Enrolment.used_s.is_(None))
    taken = session.scalars(
        update(Enrolment)
        .where(*unused, Enrolment.expires_s > now_s)
        .values(used_s=now_s)
        .returning(Enrolment.digest)
        .execution_options(synchronize_session=False)
    ).first()
    found = session.get(Enrolment, digest)
    if taken is None:
        return LetIn(_again(session, found, request.device, key, now_s))
    assert found is not None
    replaces = _let_in(session, found, now_s)
    issued = authority.client(request.device, key, now, holds)
    keep(session, request.device, issued)
    note(session, BOX, "device enrolled", now_s, device=request.device, serial=issued.serial)
    return LetIn(issued, replaces)


def keep(session: Session, device: str, issued: Issued) -> None:
    """Remember a certificate that was given."""
    session.add(Certificate(serial=issued.serial, device=device, pem=issued.pem, not_after_s=issued.not_after_s))


def given(session: Session, device: str, key: ec.EllipticCurvePublicKey, now_s: float) -> Issued | None:
    """The newest certificate that a device was given for this key, if it counts."""
    rows = session.scalars(
        select(Certificate)
        .where(Certificate.device == device, Certificate.revoked_s.is_(None), Certificate.not_after_s > now_s)
        .order_by(Certificate.not_after_s.desc())
    )
    for row in rows:
        known = x509.load_pem_x509_certificate(row.pem.encode()).public_key()
        if isinstance(known, ec.EllipticCurvePublicKey) and public_bytes(known) == public_bytes(key):
            return Issued(row.serial, row.pem, row.not_after_s)
    return None


def _let_in(session: Session, code: Enrolment, now_s: float) -> bool:
    before = session.get(Device, code.device, with_for_update=True)
    site, group, tags = (before.site, before.group, before.tags) if before is not None else ("", "", [])
    add_device(session, code.device, now_s, code.group or group, code.site or site, code.tags or tags)
    return revoke_certificates(session, code.device, now_s) > 0


def _again(
    session: Session, found: Enrolment | None, device: str, key: ec.EllipticCurvePublicKey, now_s: float
) -> Issued:
    """The answer of before, to the box that had it; a refusal to everybody else."""
    if found is None:
        raise StrangerError(
            "nobody made this code",
            expected="one that `edgemill fleet enrol` said",
            got="another",
            fix="make one, and copy it whole",
        )
    if found.device != device:
        raise _refused("it was made for another device", "say the device's name as whoever made the code did")
    if found.expires_s <= now_s:
        raise _refused("it has expired", "make another: edgemill fleet enrol DEVICE")
    issued = given(session, device, key, now_s)
    if issued is None:
        raise _refused(
            "it was used by a box with another key",
            "make another: edgemill fleet enrol DEVICE; if nobody here used this one, revoke the device first",
        )
    return issued


def _refused(got: str, fix: str) -> ConflictError:
    return ConflictError(
        "the code lets nobody in", expected="one that is unused, for this device and still holds", got=got, fix=fix
    )
