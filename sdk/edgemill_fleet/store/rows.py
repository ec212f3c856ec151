"""What both databases can do with many rows at once, said the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from edgemill_core.errors import InputError
from edgemill_fleet.store.tables import Table

_MOST = 500
"""Values in one statement; SQLite takes 32,766 of them, and plans none better for more."""
Item = TypeVar("Item")


class NotThereError(InputError):
    """What was asked for by name does not exist."""


def pieces(items: Sequence[Item], most: int = _MOST) -> Iterator[Sequence[Item]]:
    """``items`` in pieces that fit into one statement."""
    for begin in range(0, len(items), most):
        yield items[begin : begin + most]


def put_rows(session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]], keep: Sequence[str] = ()) -> None:
    """Insert rows, or let them take the place of those that are there.

    Objects that the session holds of them are not changed with it: ``session.expire_all()``.

    Args:
        rows: all with the same columns by the database's names, the primary key's among them.
        keep: columns that stay as they are where there is a row.
    """
    if not rows:
        return
    kind: Any = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    plain: Any = table.__table__
    statement = kind.insert(plain)
    keys = [column.name for column in plain.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in (*keys, *keep)}
    if changed:
        statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    session.execute(statement, list(rows))
