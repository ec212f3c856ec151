"""Ledgers of every schema that there ever was, and what a newer Edgemill left in a state folder."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgemill.cli.ledger import verify
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, LedgerView, open_ledger, schema
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import Book, read_book, write_book
from edgemill_agent.updating.slots import Slots, home, read_slots, write_slots
from edgemill_agent.updating.starting import count_start
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import GENESIS, Header, Kind, Payload
from edgemill_link.consumer_store import MIGRATIONS, ConsumerStore, Progress

TODAY = len(schema.MIGRATIONS)


def old_ledger(folder: Path, form: int, records: int = 20) -> None:
    """As an Edgemill of that schema left it; none of the released steps was ever altered (``git log``)."""
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(folder / "ledger.db", isolation_level=None)) as old:
        old.execute("PRAGMA synchronous = OFF")
        old.execute("BEGIN")
        for statement in (statement for step in schema.MIGRATIONS[:form] for statement in step):
            old.execute(statement)
        old.execute("INSERT INTO state VALUES ('id', 'an-old-one')")
        old.execute("INSERT INTO block VALUES (1, 1000, 0)")
        link = GENESIS
        for position in range(1, records + 1):
            payload = Payload(b"s" * 16, json.dumps({"n": position}).encode())
            header = Header(position, position, Kind.VERDICT, "s", "pass", 5, "boot", 6, payload.digest)
            link = header.link(link)
            row = (*{**header.as_dict(), "kind": "verdict"}.values(), link)
            old.execute("INSERT INTO header VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            old.execute("INSERT INTO payload VALUES (?, ?, ?)", (position, payload.salt, payload.body))
        old.execute(f"PRAGMA user_version = {form}")
        old.execute("COMMIT")


@pytest.mark.parametrize("form", range(1, TODAY))
def test_a_ledger_of_each_older_schema_goes_on_with_its_chain(
    tmp_path: Path, form: int, capsys: pytest.CaptureFixture[str]
) -> None:
    old_ledger(tmp_path, form)
    ledger, opened = open_ledger(tmp_path, Clock())
    assert opened.id == "an-old-one"
    first, _ = ledger.reserve()
    assert first == 1001
    ledger.append([Entry(Kind.VERDICT, {}, first, "s", "pass", "i")])
    ledger.close()
    verify(tmp_path, json=True)
    assert json.loads(capsys.readouterr().out)["records"] == 21
    view = LedgerView.open(tmp_path)
    assert view.account().delivered == 21
    assert [one.id for one in view.segments()] == ["an-old-one"]
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_wherever_a_ledger_is_killed_while_it_is_brought_up_to_date_it_is_whole(tmp_path: Path) -> None:
    numbers = range(100) if os.environ.get("EDGEMILL_EVERY_CUT") else (9, 24)
    for number in numbers:
        folder = tmp_path / str(number)
        old_ledger(folder, 1)
        child = os.fork()
        if child == 0:
            left = [number]

            def count(_: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            connection = sqlite3.connect(folder / "ledger.db", isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")  # a process is killed here, no power cut
            connection.set_trace_callback(count)
            schema.prepare(connection)
            os._exit(0)
        more = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        with closing(sqlite3.connect(folder / "ledger.db")) as connection:
            (form,) = connection.execute("PRAGMA user_version").fetchone()
            assert form in (1, TODAY)
            assert connection.execute("SELECT count(*), max(position) FROM header").fetchone() == (20, 20)
        open_ledger(folder, Clock())[0].close()
        assert LedgerView.open(folder).verify() is None
        with closing(sqlite3.connect(folder / "ledger.db")) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        if not more:
            break
    assert number == numbers[-1] or number > 15


def test_a_ledger_of_a_newer_edgemill_is_refused_by_all_who_open_it(tmp_path: Path) -> None:
    old_ledger(tmp_path, TODAY)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute(f"PRAGMA user_version = {TODAY + 1}")
    before = (tmp_path / "ledger.db").read_bytes()
    station = {"name": "cell", "bundle": "release:tiny", "source": {"folder": "x"}}
    settings = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station], "state": tmp_path})
    for look in (
        LedgerView.open,
        schema.check_known,
        lambda folder: open_ledger(folder, Clock()),
        lambda _: count_start(settings),  # it would take the ledger for one that is not there yet
    ):
        with pytest.raises(LedgerError, match="the ledger was written by a newer Edgemill") as caught:
            look(tmp_path)
        assert "update Edgemill" in str(caught.value.fix)
    assert (tmp_path / "ledger.db").read_bytes() == before


def test_what_a_newer_edgemill_wrote_of_slots_and_updates_is_not_taken_for_damage(tmp_path: Path) -> None:
    write_slots(tmp_path, "tiny", Slots())
    write_book(tmp_path, Book(numbers=3))
    assert (read_slots(tmp_path, "tiny"), read_book(tmp_path)) == (Slots(), Book(numbers=3))
    for file, read in (
        (home(tmp_path, "tiny") / "slots.json", lambda: read_slots(tmp_path, "tiny")),
        (tmp_path / "updates.json", lambda: read_book(tmp_path)),
    ):
        told = json.loads(file.read_bytes())
        assert told["form"] == 1
        for form in (2, "two", None):
            file.write_text(json.dumps({**told, "form": form, "of_tomorrow": 1}))
            with pytest.raises(LedgerError, match="written by a newer Edgemill") as caught:
                read()
            assert "update Edgemill" in str(caught.value.fix)
        file.write_text(json.dumps({key: value for key, value in told.items() if key != "form"}))
        read()  # as it was before there was a form
        file.write_text("[" * 100_000)
        with pytest.raises(LedgerError, match="cannot be read"):
            read()


def test_a_store_of_the_consumer_from_before_it_had_a_number(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    with closing(sqlite3.connect(file)) as old, old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO progress VALUES ('box-1', 'l', 7, 'link')")
    store = ConsumerStore(file)
    assert store.progress("box-1", "l") == Progress(7, "link")
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerError, match="written by a newer Edgemill"):
        ConsumerStore(file)
