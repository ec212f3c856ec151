"""Who did what: a row for every change that somebody, or the steward, made, in the transaction that makes it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_fleet.store.tables import Audit

STEWARD = "steward"
"""Name of the one who changes things by itself."""
BOX = "box"
"""Name of any box that does something by itself; which one is told beside it."""
HERE = "this machine"
"""Name of whoever uses the fleet's folder, and no token."""


def note(session: Session, who: str, what: str, now_s: float, **told: object) -> None:
    """Add a row.

    Args:
        who: name of a token, ``STEWARD``, ``BOX`` or ``HERE``.
        what: ``rollout stopped``: what it is about, and what was done.
        told: JSON-ready; no secrets.
    """
    session.add(Audit(at_s=now_s, who=who, what=what, told=told))


def read_audit(session: Session, before: int | None = None, most: int = 100) -> Sequence[Audit]:
    """The newest first.

    Args:
        before: id of a row; only older ones.
    """
    asked = select(Audit).order_by(Audit.id.desc()).limit(most)
    return session.scalars(asked if before is None else asked.where(Audit.id < before)).all()
