"""An older SQLite file becomes one of today; one of a newer Edgemill is left as it is.

The form of a file is its ``user_version``: how many steps of its table were taken. All that are missing are taken in
one transaction, so a file is of the old form or of today's, wherever the power goes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from edgemill_core.errors import LedgerError

Migrations = Sequence[Sequence[str]]
"""Each step's statements; never alter a step that was released."""


def form_of(connection: sqlite3.Connection) -> int:
    """How many steps were taken; 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_not_newer(connection: sqlite3.Connection, migrations: Migrations, what: str) -> None:
    """Refuse a file whose form is not known here: what is not understood must not be written to.

    Args:
        what: is kept in it, for the message.

    Raises:
        LedgerError: it was written by a newer Edgemill.
    """
    version = form_of(connection)
    if version > len(migrations):
        raise LedgerError(
            f"{what} was written by a newer Edgemill",
            expected=f"schema {len(migrations)} or older",
            got=f"schema {version}",
            fix="update Edgemill here again: an older one cannot take over what a newer one wrote; nothing was changed",
        )


def migrate(
    connection: sqlite3.Connection,
    migrations: Migrations,
    what: str,
    first: Callable[[], None] = lambda: None,
) -> int:
    """Take the steps that are missing, all or none.

    Args:
        connection: in autocommit (``isolation_level=None``).
        what: is kept in it, for the messages.
        first: done in the transaction that makes a new file.

    Returns:
        The form that was found.

    Raises:
        LedgerError: it was written by a newer Edgemill, or cannot be written; it is as it was.
    """
    check_not_newer(connection, migrations, what)
    found = form_of(connection)
    if found == len(migrations):
        return found
    try:
        connection.execute("BEGIN IMMEDIATE")
        found = form_of(connection)  # another process may have been quicker
        for step in migrations[found:]:
            for statement in step:
                connection.execute(statement)
        if found == 0:
            first()
        connection.execute(f"PRAGMA user_version = {max(found, len(migrations))}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise LedgerError(
            f"{what} cannot be brought to the form that this Edgemill writes",
            expected=f"room on a disk that can be written, for schema {len(migrations)}",
            got=f"{error}, at schema {found}",
            fix="free some space, or see who holds the file; nothing was changed",
        ) from error
    return found
