"""Who does not count any more, and who does."""

from __future__ import annotations

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_fleet.refusals import NotAllowedError, StrangerError
from edgemill_fleet.store.devices import ENROLLED
from edgemill_fleet.store.tables import Certificate, Device


def revoked(session: Session, now_s: float) -> dict[str, float]:
    """Certificates that do not count though they have not expired: since when, by serial number."""
    rows = session.execute(
        select(Certificate.serial, Certificate.revoked_s).where(
            Certificate.revoked_s.is_not(None), Certificate.not_after_s > now_s
        )
    )
    return {serial: float(since or 0.0) for serial, since in rows}


def device_with(session: Session, certificate: x509.Certificate, now_s: float) -> str:
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
    if row.revoked_s is not None or device is None or device.standing != ENROLLED:
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
