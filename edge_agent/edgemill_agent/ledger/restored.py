"""Go on from a backup: what the box recorded behind it is gone here, and the consumer may have it.

Two things must not be given out twice: a position under the same name, and a number. So the chain goes on under a new
name, and numbers behind every one that the box can have reached meanwhile. Both stand in the first record.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import schema
from edgemill_agent.ledger.store import COUNTED, Entry, open_ledger
from edgemill_agent.ledger.view import LedgerView
from edgemill_core.errors import InputError, LedgerError
from edgemill_core.ledger import Anchor, Kind
from edgemill_link.signatures import sign

MOST_A_SECOND = 1000
"""More parts no box judges in a second, on the average over its life."""
SINCE_S = 1_577_836_800
"""Numbers of a restored box count from here, 2020-01-01 in seconds since 1970."""


def numbers_from(reserved: int, made_s: float, now_s: float) -> int:
    """The first number that a restored box gives.

    A box that gives at most ``MOST_A_SECOND`` and begins like this is never ahead of the clock, so neither is what was
    given between the backup and now, by this box or by one that was restored from the same backup.

    Args:
        reserved: the last number that was reserved in the backup.
        made_s: when the backup was made, seconds since 1970.
        now_s: likewise.

    Raises:
        InputError: the clock stands before the backup, so it says nothing.
    """
    if now_s < made_s:
        raise InputError(
            "the clock of this box stands before the backup was made",
            expected=f"{made_s:.0f} s since 1970, or later",
            got=f"{now_s:.0f}",
            fix="set the clock; or say --numbers-from, a number that this box has certainly not reached",
        )
    return max(reserved, int((now_s - SINCE_S) * MOST_A_SECOND)) + 1


def reserved_until(folder: Path) -> int:
    """The last number that the ledger in ``folder`` reserved."""
    connection = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    try:
        _check_tables(connection, folder)
        schema.prepare(connection)
        (last,) = connection.execute(
            "SELECT max(coalesce((SELECT max(last) FROM block), 0), coalesce((SELECT max(number) FROM header), 0))"
        ).fetchone()
        return int(last)
    except sqlite3.Error as error:
        raise _no_ledger(folder, str(error)) from error
    finally:
        connection.close()


def begin_again(folder: Path, clock: Clock, first_number: int, told: Mapping[str, object]) -> None:
    """Have a ledger that came out of a backup go on under a new name, and record that it does.

    Frames that did not come with it are declared evicted; counts of controllers are forgotten, since what was counted
    behind the backup was judged, though not here.

    Args:
        folder: with the ledger and the box's key; nobody uses it.
        first_number: as ``numbers_from`` gives it.
        told: for the record.

    Raises:
        LedgerError: it is no ledger, or not whole.
    """
    position, before = _rename(folder, first_number)
    ledger, _ = open_ledger(folder, clock)
    try:
        body = {"from": before, "position": position, "numbers_from": first_number, **told}
        ledger.append([Entry(Kind.RESTORED, body)])
        ledger.forget_lost_frames()
    finally:
        ledger.close()


def _rename(folder: Path, first_number: int) -> tuple[int, str]:
    connection = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        schema.prepare(connection)
        view = LedgerView(connection, folder)
        fault = view.verify_chain()
        if fault is not None:
            raise _no_ledger(folder, f"record {fault.position}: {fault.what}")
        (position, link), before, name = view.last(), view.id, uuid4().hex
        anchor = sign(Anchor(name, position, link, 0), folder)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO earlier VALUES (?, ?, ?)", (position, before, json.dumps(anchor.as_dict())))
        connection.execute("UPDATE state SET value = ? WHERE name = 'id'", (name,))
        connection.execute("DELETE FROM block")
        connection.execute("INSERT INTO block VALUES (?, ?, 0)", (first_number - 1, first_number - 1))
        connection.execute("DELETE FROM cursor WHERE station LIKE ?", (f"%{COUNTED}",))
        connection.execute("COMMIT")
        return position, before
    except sqlite3.Error as error:
        raise _no_ledger(folder, str(error)) from error
    finally:
        connection.close()


def _check_tables(connection: sqlite3.Connection, folder: Path) -> None:
    """Tables alone: a view in the place of one may never end, and a trigger writes what nobody asked for."""
    other = connection.execute("SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
    if other is not None:
        raise _no_ledger(folder, f"a {other[0]}, {str(other[1])[:50]!r}")


def _no_ledger(folder: Path, got: str) -> LedgerError:
    return LedgerError(
        "the ledger of the backup cannot be gone on with",
        expected="a ledger that is whole",
        got=got,
        fix=f"take another backup; {folder} was not put in anything's place",
    )
