"""How much room the ledger takes, and what is the oldest of each kind; the policy is in ``edgemill_core.ledger``.

The quota is on bytes on the disk: SQLite's files and the kept frames. SQLite's write-ahead log grows while a group is
written or pages are moved, so a margin is kept free for it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.ledger import Kind

LOG_BYTES = 1 << 20
"""The write-ahead log is brought back to this size at each checkpoint."""
CHUNK_MOST = 4 << 20
ROW_BYTES = 32
"""What SQLite adds to a payload, about."""
HEADER_BYTES = 450
"""What a header takes with its index, about."""
EVIDENCE = "evidence"
"""Folder of the kept frames, beside the ledger."""


@dataclass(frozen=True)
class Oldest:
    """The oldest payloads of one kind: what an eviction takes.

    Attributes:
        first: position of the first one.
        last: position of the last one.
        count: how many.
        bytes: that they hold.
        files: kept frames among them, relative to the ledger's folder.
    """

    kind: Kind
    first: int
    last: int
    count: int
    bytes: int
    files: tuple[str, ...] = ()


class Room:
    """Looks at one ledger's room; changes only what ``Ledger`` asks for, inside its transactions."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, quota: int) -> None:
        self._connection = connection
        self._files = [folder / name for name in ("ledger.db-wal", "ledger.db-shm")]
        self._folder = folder
        self._page = self._pragma("page_size")
        self.quota = quota
        self.reserved = 0
        """Bytes that were promised to frames on their way to the disk."""
        self.reload()

    @property
    def chunk(self) -> int:
        """Bytes that an eviction frees at least, so that not every record brings one."""
        return min(self.quota // 50, CHUNK_MOST)

    @property
    def held(self) -> dict[Kind, int]:
        """Bytes of payloads (and frames) per kind."""
        return dict(self._held)

    def used(self) -> int:
        """Bytes on the disk."""
        logs = sum(path.stat().st_size for path in self._files if path.exists())
        return self._pragma("page_count") * self._page + logs + self._held.get(Kind.EVIDENCE, 0)

    def short_of(self, coming: int) -> int:
        """Bytes to free before ``coming`` more can be written; 0 or less if there is room."""
        inside = self._pragma("freelist_count") * self._page
        margin = LOG_BYTES + 2 * self.chunk + coming
        return self.used() - inside + self.reserved + coming + margin - self.quota

    def add(self, kind: Kind, size: int) -> None:
        """``size`` more bytes are held by ``kind``; fewer if negative."""
        self._held[kind] = self._held.get(kind, 0) + size
        self._connection.execute(
            "INSERT INTO held VALUES (?, ?) ON CONFLICT(kind) DO UPDATE SET bytes = excluded.bytes",
            (kind.value, self._held[kind]),
        )

    def reload(self) -> None:
        """Read again what is held, after a transaction was rolled back."""
        self._held = {Kind(kind): int(size) for kind, size in self._connection.execute("SELECT kind, bytes FROM held")}

    def oldest(self, kind: Kind, size: int, until: int) -> Oldest | None:
        """The oldest payloads of ``kind`` up to position ``until`` that together hold ``size`` bytes, or all."""
        taken: list[tuple[int, int, str]] = []
        for position, bytes_, file in self._connection.execute(_OLDEST[kind], (until,)):
            if size <= 0:
                break
            taken.append((position, bytes_, file))
            size -= bytes_
        if not taken:
            return None
        files = tuple(file for _, _, file in taken if file)
        return Oldest(kind, taken[0][0], taken[-1][0], len(taken), sum(row[1] for row in taken), files)

    def remove(self, oldest: Oldest) -> None:
        """Remove the rows; the frames' files go once that is committed."""
        span = (oldest.first, oldest.last)
        self._connection.execute(_REMOVE, (*span, oldest.kind.value, *span))
        if oldest.kind is Kind.EVIDENCE:
            self._connection.execute("DELETE FROM evidence WHERE position BETWEEN ? AND ?", span)
        self.add(oldest.kind, -oldest.bytes)

    def cut(self, until: int) -> tuple[str, ...]:
        """Remove everything up to position ``until``, headers too; returns the frames' files, which go afterwards."""
        for kind, size in self._connection.execute(_SIZES, (until,)).fetchall():
            self.add(Kind(kind), -size)
        frames = self._connection.execute("SELECT file, bytes FROM evidence WHERE position <= ?", (until,)).fetchall()
        self.add(Kind.EVIDENCE, -sum(size for _, size in frames))
        for table in ("payload", "header", "evidence", "age"):
            self._connection.execute(f"DELETE FROM {table} WHERE position <= ?", (until,))  # noqa: S608 (constants)
        return tuple(file for file, _ in frames)

    def shrink(self) -> None:
        """Give free pages back to the file system."""
        # execute() would step this pragma once, which frees one page
        self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _pragma(self, name: str) -> int:
        (found,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(found)


_REMOVE = """
DELETE FROM payload WHERE position BETWEEN ? AND ?
AND position IN (SELECT position FROM header WHERE kind = ? AND position BETWEEN ? AND ?)
"""
_SIZE = f"length(salt) + length(body) + {ROW_BYTES}"
_SIZES = f"SELECT kind, sum({_SIZE}) FROM payload JOIN header USING(position) WHERE position <= ? GROUP BY kind"  # noqa: S608
_OLDEST = {
    Kind.METRICS: f"SELECT position, {_SIZE}, '' FROM header h JOIN payload USING(position)"  # noqa: S608 (constants)
    " WHERE h.kind = 'metrics' AND position <= ? ORDER BY position",
    Kind.SHADOW: f"SELECT position, {_SIZE}, '' FROM header h JOIN payload USING(position)"  # noqa: S608
    " WHERE h.kind = 'shadow' AND position <= ? ORDER BY position",
    Kind.EVIDENCE: f"SELECT position, coalesce(bytes, 0) + {_SIZE}, coalesce(file, '')"  # noqa: S608
    " FROM header h JOIN payload USING(position) LEFT JOIN evidence USING(position)"
    " WHERE h.kind = 'evidence' AND position <= ? ORDER BY position",
    Kind.VERDICT: f"SELECT position, {_SIZE}, '' FROM payload JOIN header h USING(position)"  # noqa: S608
    " WHERE h.kind = 'verdict' AND position <= ? ORDER BY position",
}
