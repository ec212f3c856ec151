"""Who did what: a row for every change that somebody, or the steward, made, in the transaction that makes it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from edgemill_fleet.store.tables import Audit

STEWARD = "steward"
"""Name of the one who changes things by itself."""


def note(session: Session, who: str, what: str, now_s: float, **told: object) -> None:
    """Add a row.

    Args:
        who: name of a token, or ``STEWARD``.
        what: ``rollout stopped``: what it is about, and what was done.
        told: JSON-ready; no secrets.
    """
    session.add(Audit(at_s=now_s, who=who, what=what, told=told))
