"""Who did what: written in the transaction that does it, so that neither is there without the other."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_fleet.store.tables import Audit

BOX = "box"
"""Who did it, where it was a box by itself; which one stands in what is told."""
HERE = "this machine"
"""Who did it, where somebody used the fleet's folder and no token."""


def note(session: Session, at_s: float, who: str, what: str, **told: object) -> None:
    """Add to the audit log.

    Args:
        who: name of a token, ``BOX`` or ``HERE``.
        what: one word for the thing and one for what was done, as ``device revoke``.
        told: no secrets.
    """
    session.add(Audit(at_s=at_s, who=who, what=what, told=told))


def read_audit(session: Session, before: int | None = None, most: int = 100) -> Sequence[Audit]:
    """The newest first.

    Args:
        before: id of an entry; only older ones.
    """
    asked = select(Audit).order_by(Audit.id.desc()).limit(most)
    return session.scalars(asked if before is None else asked.where(Audit.id < before)).all()
