"""Who does not count any more, and who does."""

from __future__ import annotations

from cryptography import x509
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from edgemill_fleet.refusals import NotAllowedError, StrangerError, UnknownError
from edgemill_fleet.store.tables import Certificate, Device


def revoke_certificates(session: Session, device: str, now_s: float) -> int:
    """No certificate that a device has counts any more; gives how many did."""
    done = session.scalars(
        update(Certificate)
        .where(Certificate.device == device, Certificate.revoked_s.is_(None))
        .values(revoked_s=now_s)
        .returning(Certificate.serial)
        .execution_options(synchronize_session=False)
    )
    return len(done.all())


def revoke(session: Session, device: str, now_s: float) -> None:
    """Shut a box out, until somebody makes a code for it.

    Raises:
        UnknownError: there is no such device.
    """
    found = session.get(Device, device, with_for_update=True)
    if found is None:
        raise unknown_device(device)
    found.standing = "revoked"
    revoke_certificates(session, device, now_s)


def revoked(session: Session, now_s: float) -> dict[str, float]:
    """Certificates that do not count though they have not expired: since when, by serial number."""
    rows = session.execute(
        select(Certificate.serial, Certificate.revoked_s).where(
            Certificate.revoked_s.is_not(None), Certificate.not_after_s > now_s
        )
    )
    return {serial: float(since or 0.0) for serial, since in rows}


def device_of(session: Session, certificate: x509.Certificate, now_s: float) -> str:
    """The device that shows this certificate, which the CA is known to have signed.

    Raises:
        StrangerError: the database does not know it.
        NotAllowedError: it was revoked, or has expired.
    """
    row = session.get(Certificate, f"{certificate.serial_number:x}")
    if row is None:
        raise StrangerError(
            "this certificate is nobody's",
            expected="one that a box was given when it enrolled",
            got=f"serial number {certificate.serial_number:x}",
            fix="enrol the box",
        )
    device = session.get(Device, row.device)
    if row.revoked_s is not None or device is None or device.standing != "enrolled":
        raise NotAllowedError(
            f"{row.device} is shut out",
            expected="a certificate that counts",
            got="one that was revoked",
            fix="if that was wrong: edgemill fleet enrol DEVICE, and enrol the box again",
        )
    if row.not_after_s <= now_s:
        raise NotAllowedError(
            f"the certificate of {row.device} has expired",
            expected="one that holds",
            got=f"one that ended {(now_s - row.not_after_s) / 86400:.1f} days ago",
            fix="the box renews it by itself: edgemill agent update",
        )
    return row.device


def unknown_device(device: str) -> UnknownError:
    """For a name that nobody has."""
    return UnknownError(
        "there is no such device",
        expected="one that has enrolled",
        got=repr(device)[:80],
        fix="edgemill fleet devices lists them",
    )
