"""A lease: what only one process may do at a time, and another takes over when it is gone."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_fleet.store.rows import put_rows
from edgemill_fleet.store.tables import Lease

NOBODY = ""


class LeaseLost(Exception):  # noqa: N818 (as the field says it)
    """The lease is somebody else's now; whoever had it stops where he is."""


def since_last(session: Session, name: str, now_s: float, for_s: float) -> float:
    """Seconds since somebody took the lease, or held it for longer, for ``for_s``; 0 if nobody ever did."""
    until_s = session.execute(select(Lease.until_s).where(Lease.name == name).with_for_update()).scalar_one_or_none()
    return 0.0 if until_s is None else max(0.0, now_s - (until_s - for_s))


def take_lease(session: Session, name: str, holder: str, now_s: float, for_s: float) -> bool:
    """Take it, or hold it for longer; false while somebody else has it.

    Said in the transaction that does the work, it also keeps a holder from writing that was stopped for longer than
    his lease.

    Args:
        holder: unique to the process.
        now_s: of clocks that agree to less than ``for_s``.
    """
    # There is a row first, so that there is something to hold: of two who make it, one waits here for the other.
    put_rows(session, Lease, [{"name": name, "holder": NOBODY, "until_s": now_s}], keep=("holder", "until_s"))
    held = select(Lease).where(Lease.name == name).with_for_update().execution_options(populate_existing=True)
    found = session.execute(held).scalar_one()
    ahead_s = found.until_s - now_s
    # Further ahead than clocks that agree can have it, it was given by one that was wrong: nobody waits for that.
    if found.holder not in (holder, NOBODY) and 0 < ahead_s <= 2 * for_s:
        return False
    found.holder, found.until_s = holder, now_s + for_s
    session.flush()
    return True


def give_up_lease(session: Session, name: str, holder: str) -> None:
    """Let the next one have it at once."""
    found = session.execute(select(Lease).where(Lease.name == name).with_for_update()).scalar_one_or_none()
    if found is not None and found.holder == holder:
        found.holder = NOBODY
