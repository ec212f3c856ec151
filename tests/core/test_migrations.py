"""Older SQLite files, newer ones, full disks, and kill -9 at every statement."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edgemill_core.errors import LedgerError
from edgemill_core.migrations import Migrations, form_of, migrate

STEPS: Migrations = (
    ("CREATE TABLE part(number INTEGER PRIMARY KEY)", "INSERT INTO part VALUES (1)"),
    ("ALTER TABLE part ADD COLUMN name TEXT", "UPDATE part SET name = 'n' || number"),
    ("CREATE TABLE named AS SELECT * FROM part", "DROP TABLE part", "INSERT INTO named VALUES (2, 'n2')"),
)
HOLDS = {0: None, 1: [(1,)], 2: [(1, "n1")], 3: [(1, "n1"), (2, "n2")]}


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a process is killed here, no power cut
        yield connection


def held(connection: sqlite3.Connection) -> object:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return connection.execute(f"SELECT * FROM {tables[0]}").fetchall() if tables else None


def killed_at(number: int, file: Path, work: Callable[[sqlite3.Connection], object]) -> bool:
    """Do ``work`` in a process that is killed at its statement of this number; False if it made fewer."""
    child = os.fork()
    if child == 0:
        left = [number]

        def count(_: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        with opened(file) as connection:
            connection.set_trace_callback(count)
            work(connection)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("found", range(4))
def test_the_missing_steps_are_taken_once(tmp_path: Path, found: int) -> None:
    with opened(tmp_path / "some.db") as connection:
        if found:
            assert migrate(connection, STEPS[:found], "it") == 0
        assert migrate(connection, STEPS, "it") == found
        assert migrate(connection, STEPS, "it") == 3
        assert held(connection) == HOLDS[3]


def test_what_a_newer_edgemill_wrote_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "some.db") as connection:
        migrate(connection, STEPS, "it")
        with pytest.raises(LedgerError, match="it was written by a newer Edgemill") as caught:
            migrate(connection, STEPS[:2], "it")
        assert (caught.value.expected, caught.value.got) == ("schema 2 or older", "schema 3")
        assert (form_of(connection), held(connection)) == (3, HOLDS[3])


def test_a_step_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with opened(tmp_path / "some.db") as connection:
        migrate(connection, STEPS[:1], "it")
        with pytest.raises(LedgerError, match="cannot be brought"):
            migrate(connection, (*STEPS, ("no SQL",)), "it")
        assert (form_of(connection), held(connection)) == (1, HOLDS[1])


def test_one_that_is_held_by_somebody_else_says_so(tmp_path: Path) -> None:
    with opened(tmp_path / "some.db") as one, opened(tmp_path / "some.db") as other:
        other.execute("PRAGMA busy_timeout = 10")
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="cannot be brought") as caught:
            migrate(other, STEPS, "it")
        assert "locked" in str(caught.value.got)


def test_wherever_it_is_killed_the_file_is_old_or_new_and_goes_on(tmp_path: Path) -> None:
    for found in (0, 1):
        number, more = 0, True
        while more:
            file = tmp_path / f"{found}-{number}.db"
            with opened(file) as connection:
                migrate(connection, STEPS[:found], "it")
            more = killed_at(number, file, lambda connection: migrate(connection, STEPS, "it"))
            with opened(file) as connection:
                form = form_of(connection)
                assert form in ((found, 3) if more else (3,))
                assert held(connection) == HOLDS[form]
                migrate(connection, STEPS, "it")
                assert held(connection) == HOLDS[3]
            number += 1
        assert number > 5
