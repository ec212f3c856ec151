"""Backup and restore: what is in it, what is refused, and that no number and no record is there twice."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import pytest
from cuts import killed_before
from hypothesis import given, settings
from hypothesis import strategies as some
from release_keys import NOW

from edgemill_agent.backup import making, restoring, sealing
from edgemill_agent.backup.archive import Content, Contents, Packed, read_contents, unpack, write_archive
from edgemill_agent.backup.making import make_backup
from edgemill_agent.backup.restoring import Place, Restored, restore
from edgemill_agent.backup.sealing import PIECE, Opener, Sealer
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import COUNTED, Entry, LedgerView, open_ledger
from edgemill_agent.ledger.restored import MOST_A_SECOND, SINCE_S, numbers_from
from edgemill_agent.settings import AgentSettings, read_settings
from edgemill_agent.updating.book import Book, read_book, write_book
from edgemill_agent.updating.slots import Installed, Slots, bundle_folder, home, read_slots, write_slots
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import EdgemillError, InputError, LedgerError
from edgemill_core.ledger import Kind
from edgemill_link.signatures import KEY

WORDS = "correct horse battery staple"
YAML = """
device: {id: box-1}
fleet: {trust: root.json}
mqtt: {url: "mqtts://broker", ca: ca.pem, certificate: box.pem, key: box.pem.key}
stations:
  - {name: cell, bundle: "release:tiny", source: {folder: parts}}
"""
ALL = bool(os.environ.get("EDGEMILL_EVERY_CUT"))


def parts(first: int, count: int) -> list[Entry]:
    numbers = range(first, first + count)
    return [Entry(Kind.VERDICT, {"n": n}, n, "cell", "pass", f"{n:05d}", counted=n) for n in numbers]


class Kit:
    """A box with a state to lose."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.file = folder, folder / "state", folder / "box.backup"
        self.yaml = folder / "agent.yaml"
        self.yaml.write_text(YAML)
        for name in ("root.json", "ca.pem", "box.pem", "box.pem.key"):
            (folder / name).write_text(f"the content of {name}")
        ledger, _ = open_ledger(self.state, Clock())
        ledger.reserve()
        ledger.append(parts(1, 50))
        ledger.acknowledge(40)
        self.ledger = ledger
        (self.state / KEY).write_text("11" * 32)
        (self.state / "trust").mkdir()
        (self.state / "trust" / "root.json").write_text("{}")
        write_book(self.state, Book(plan=(3, "digest"), numbers=2, refused={"a" * 64: "it was bad"}))
        self.installed = Installed(name="tiny", version="1.0.0", digest="b" * 64, manifest="c" * 64)
        write_slots(self.state, "tiny", Slots(active=self.installed))
        (home(self.state, "tiny") / "manifests").mkdir()
        (home(self.state, "tiny") / "manifests" / f"{'c' * 64}.json").write_text("{}")
        for name, content in (("manifest.json", "{}"), ("model/weights", "w" * 1000)):
            file = bundle_folder(self.state, self.installed) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    @property
    def settings(self) -> AgentSettings:
        return read_settings(self.yaml, "names")

    def backup(self, words: str | None = None, bundles: bool = False) -> Path:
        make_backup(self.yaml, self.settings, self.file, words, bundles)
        return self.file

    def contents(self) -> set[str]:
        with self.file.open("rb") as file:
            return {one.path for one in read_contents(Opener(file, None)).files}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


# --- what is in it ---


def test_what_makes_a_box_this_box_comes_back_on_another_one(kit: Kit, tmp_path: Path) -> None:
    done = restore(kit.backup(WORDS), Place(tmp_path / "new"), WORDS)
    new = tmp_path / "new"
    assert (new / KEY).read_text() == "11" * 32
    assert (new / "trust" / "root.json").read_text() == "{}"
    assert read_book(new) == read_book(kit.state)
    assert (new / "settings" / "agent.yaml").read_text() == YAML
    assert sorted(Path(was).name for was in done.named.values()) == ["box.pem", "box.pem.key", "ca.pem", "root.json"]
    for here, was in done.named.items():
        assert Path(here).read_bytes() == Path(was).read_bytes()
        assert Path(here).stat().st_mode & 0o777 == 0o600
    assert (new / KEY).stat().st_mode & 0o777 == 0o600
    assert read_slots(new, "tiny") == Slots()  # the bundle comes again from where releases are
    assert not list(new.rglob("unfinished"))
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_bundles_come_along_if_they_are_asked_for(kit: Kit, tmp_path: Path) -> None:
    old = bundle_folder(kit.state, kit.installed).parent / "0.9.0-gone"
    old.mkdir()
    (old / "weights").write_text("of a bundle that is in no slot")
    (bundle_folder(kit.state, kit.installed) / "link").symlink_to(old)
    assert restore(kit.backup(bundles=True), Place(tmp_path / "new"), None).bundles
    new = tmp_path / "new"
    assert read_slots(new, "tiny") == Slots(active=kit.installed)
    assert (bundle_folder(new, kit.installed) / "model" / "weights").read_text() == "w" * 1000
    assert not (bundle_folder(new, kit.installed) / "link").exists()
    assert not list(new.rglob("0.9.0-gone"))


def test_a_backup_is_read_by_its_owner_and_with_the_passphrase_only(kit: Kit) -> None:
    kit.file.write_text("an older one")
    content = kit.backup(WORDS).read_bytes()
    assert kit.file.stat().st_mode & 0o777 == 0o600
    for secret in (b"11" * 8, b"the content of", b"box-1", b"cell", b"SQLite"):
        assert secret not in content
    with kit.file.open("rb") as file, pytest.raises(InputError, match="cannot be read") as caught:
        read_contents(Opener(file, "another passphrase"))
    assert "another passphrase" in str(caught.value.got)
    assert kit.backup(WORDS).read_bytes()[:200] != content[:200]  # another salt
    assert b"the content of" in kit.backup().read_bytes()
    assert kit.file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="too short"):
        kit.backup("short")
    assert not list(kit.state.glob(".backup*"))


def test_it_is_taken_while_the_agent_writes(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_PAGES", 1)
    over = threading.Event()

    def write() -> None:
        number = 51
        while not over.is_set():
            kit.ledger.append(parts(number, 5))
            number += 5

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(3):
            restore(kit.backup(), Place(tmp_path / f"new-{turn}"), None)
    finally:
        over.set()
        thread.join()
    positions = []
    for turn in range(3):
        view = LedgerView.open(tmp_path / f"new-{turn}")
        assert view.verify() is None
        positions.append(view.segments()[1].begin)
    assert positions == sorted(positions)
    assert positions[2] > positions[0] >= 50


def test_it_does_not_begin_anew_whenever_something_is_written(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_PAGES", 1)
    told = []

    def tell(step: str) -> None:
        told.append(step)
        assert len(told) < 100
        kit.ledger.append(parts(50 + len(told), 1))

    make_backup(kit.yaml, kit.settings, kit.file, None, tell=tell)
    assert len(told) > 5


def test_there_is_nothing_to_back_up(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgemill_agent.updating.updater import Updater

    monkeypatch.setattr(making, "_PATIENCE_S", 0.0)
    kit.backup()
    assert not (kit.state / "updates.lock").exists()  # root's, it would keep the agent from starting
    kit.file.unlink()
    with Updater(kit.settings, lambda: NOW):
        with pytest.raises(InputError, match="an update goes on"):
            kit.backup()
        kit.ledger.close()
        with pytest.raises(InputError, match="an update goes on"):
            with restoring._nobody_uses(kit.state, replace=True):
                pytest.fail("somebody does")
    with pytest.raises(InputError, match="cannot be written"):
        make_backup(kit.yaml, kit.settings, kit.folder / "nowhere" / "b", None)
    with closing(sqlite3.connect(kit.state / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="newer Edgemill"):
        kit.backup()
    (kit.state / "ledger.db").unlink()
    with pytest.raises(LedgerError, match="nothing to back up"):
        kit.backup()
    shutil.rmtree(kit.state)
    with pytest.raises(LedgerError, match="nothing to back up"):
        kit.backup()
    assert not kit.file.exists()


# --- what is refused ---


def test_a_plain_backup_does_not_take_the_place_of_an_encrypted_one(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not encrypted"):  # somebody made it of his own keys
        restore(kit.backup(), Place(tmp_path / "new", "box-1"), WORDS)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="is encrypted"):
        restore(kit.backup(WORDS), Place(tmp_path / "new"), None)


def sealed(content: bytes, words: str | None = None) -> io.BytesIO:
    file = io.BytesIO()
    sealer = Sealer(file, words)
    sealer.write(content)
    sealer.close()
    return io.BytesIO(file.getvalue())


def test_pieces_of_any_length_come_back(tmp_path: Path) -> None:
    for size in (0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE):
        content = bytes(size)
        for words in (None, WORDS) if size == PIECE else (None,):
            opener = Opener(sealed(content, words), words)
            assert opener.read(size) == content
            opener.close()


def opened(file: bytes, size: int, words: str | None) -> bytes:
    opener = Opener(io.BytesIO(file), words)
    content = opener.read(size)
    opener.close()
    return content


@pytest.mark.parametrize("words", [None, WORDS])
def test_pieces_that_were_altered_exchanged_left_out_or_cut_off_are_refused(
    words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_cipher", lru_cache(sealing._cipher))  # scrypt takes its time
    content = os.urandom(2 * PIECE + 100)
    whole = sealed(content, words).getvalue()
    begin = whole.index(b"}\n") + 2
    step = PIECE + 16
    one, two, three = whole[begin : begin + step], whole[begin + step : begin + 2 * step], whole[begin + 2 * step :]
    head = whole[:begin]
    bad = {
        "altered": head + one[:7] + bytes([one[7] ^ 1]) + one[8:] + two + three,
        "exchanged": head + two + one + three,
        "left out": head + one + three,
        "the last left out": head + one + two,
        "cut off": whole[:-1],
        "more": whole + b"x",
        "a piece more": whole + three,
        "another salt": whole.replace(b'"salt": "', b'"salt": "0', 1)[: len(whole)] if words else head[:-3],
        "nothing": b"",
        "no backup": b"PK\x03\x04" * 100,
    }
    for what, file in bad.items():
        with pytest.raises(InputError, match="cannot be read"):
            pytest.fail(f"{what}: {len(opened(file, len(content), words))}")
    opener = Opener(io.BytesIO(bad["the last left out"]), words)
    with pytest.raises(InputError, match="cannot be read"):  # though nothing says here that more is to come
        opener.read(2 * PIECE)


@settings(max_examples=40)
@given(some.data())
def test_a_plain_backup_with_any_byte_altered_is_refused_or_the_same(data: some.DataObject) -> None:
    told = Contents(device="b", made=1.0, bundles=False, files=(Content("box.key", b"k" * 40).packed(),))
    file = io.BytesIO()
    write_archive(file, None, told, [Content("box.key", b"k" * 40)])
    content = bytearray(file.getvalue())
    size = len(content) - content.index(b"}\n") - 2 - 16
    place = data.draw(some.integers(0, len(content) - 1))
    content[place] ^= data.draw(some.integers(1, 255))
    with pytest.raises(InputError, match="cannot be read"):
        opened(bytes(content), size, None)


def hostile(*files: dict[str, object], **changed: object) -> bytes:
    told = {"form": 1, "device": "box-1", "made": 1.0, "bundles": False, "named": {}, "files": files, **changed}
    return json.dumps(told).encode()


def packed(path: str, content: bytes = b"x", size: int | None = None) -> dict[str, object]:
    return {"path": path, "bytes": len(content) if size is None else size, "sha256": sha256_bytes(content)}


HOSTILE = {
    "path traversal": hostile(packed("slots/../../escape")),
    "up from the top": hostile(packed("../escape")),
    "absolute": hostile(packed("/etc/cron.d/x")),
    "absolute below": hostile(packed("slots//etc/x")),
    "dot": hostile(packed("slots/./x")),
    "a folder": hostile(packed("slots/")),
    "another top": hostile(packed("unfinished")),
    "a zero in it": hostile(packed("slots/a\x00b")),
    "too long": hostile(packed("slots/" + "a" * 300)),
    "too deep": hostile(packed("slots/" + "a/" * 600 + "a")),
    "twice": hostile(packed("box.key"), packed("box.key")),
    "a file as a folder": hostile(packed("slots/a"), packed("slots/a/b")),
    "longer than can be": hostile(packed("ledger.db", size=1 << 60)),
    "less than nothing": hostile(packed("ledger.db", size=-1)),
    "too many": hostile(*(packed(f"slots/{number}") for number in range(10_001))),
    "a newer form": hostile(form=2),
    "another key": hostile(links=["a"]),
    "no time": hostile(made=float("nan")),
    "a time that no calendar has": hostile(made=3e11),
    "JSON bomb": b"[" * 1_000_000,
    "no JSON": b"\xff",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_before_anything_is_written(tmp_path: Path, what: str) -> None:
    told = HOSTILE[what]
    (tmp_path / "b").write_bytes(sealed(len(told).to_bytes(4, "big") + told + b"x" * 10).getvalue())
    with pytest.raises(InputError, match="cannot be read"):
        restore(tmp_path / "b", Place(tmp_path / "new"), None)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_contents_that_would_not_fit_into_memory_or_onto_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(sealed(b"\xff\xff\xff\xff" + b"x" * 100).getvalue())
    with pytest.raises(InputError, match="cannot be read") as caught:
        restore(file, Place(tmp_path / "new"), None)
    assert "4,294,967,295" in str(caught.value.got)
    told = hostile(packed("ledger.db", size=1 << 49))
    file.write_bytes(sealed(len(told).to_bytes(4, "big") + told).getvalue())
    with pytest.raises(InputError, match="no room"):
        restore(file, Place(tmp_path / "new"), None)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("follows", [b"", b"other", b"xx"])
def test_files_that_are_not_what_the_contents_say(tmp_path: Path, follows: bytes) -> None:
    told = hostile(packed("box.key"))
    opener = Opener(sealed(len(told).to_bytes(4, "big") + told + follows), None)
    contents = read_contents(opener)
    with pytest.raises(InputError, match="cannot be read"):
        unpack(opener, contents, tmp_path)


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "box.key").symlink_to(tmp_path / "elsewhere")
    contents = Contents(device="b", made=1.0, bundles=False, files=(Packed(**packed("box.key")),))  # type: ignore[arg-type]
    opener = Opener(sealed(b"x"), None)
    with pytest.raises(FileExistsError):
        unpack(opener, contents, tmp_path / "into")
    assert not (tmp_path / "elsewhere").exists()


def test_a_backup_without_a_ledger_or_with_a_damaged_one(kit: Kit) -> None:
    kit.ledger.close()
    with closing(sqlite3.connect(kit.state / "ledger.db")) as connection, connection:
        connection.execute("UPDATE header SET decision = 'reject' WHERE position = 7")
    with pytest.raises(LedgerError, match="cannot be gone on with") as caught:
        restore(kit.backup(), Place(kit.folder / "new"), None)
    assert "record 7" in str(caught.value.got)
    told = hostile(packed("ledger.db", b"no database"))
    kit.file.write_bytes(sealed(len(told).to_bytes(4, "big") + told + b"no database").getvalue())
    with pytest.raises(LedgerError, match="cannot be gone on with"):
        restore(kit.file, Place(kit.folder / "new"), None)
    assert not list(kit.folder.glob("*new*")) + list(kit.folder.glob(".*new*"))


# --- where it goes ---


def test_a_state_folder_that_is_used_or_not_empty_is_left_alone(kit: Kit) -> None:
    before = kit.ledger.position
    kit.backup()
    with pytest.raises(InputError, match="not empty") as caught:
        restore(kit.file, Place(kit.state), None)
    assert "--replace" in str(caught.value.fix)
    with pytest.raises(LedgerError, match="another agent"):
        restore(kit.file, Place(kit.state, replace=True), None)
    with pytest.raises(InputError, match="another device"):
        restore(kit.file, Place(kit.folder / "new", "box-2"), None)
    kit.ledger.append(parts(51, 1))
    assert kit.ledger.position == before + 1
    kit.ledger.close()
    (kit.state / "mine").write_text("kept")
    done = restore(kit.file, Place(kit.state, "box-1", replace=True), None)
    assert done.aside is not None
    assert (done.aside / "mine").read_text() == "kept"
    assert LedgerView.open(done.aside).account().delivered == 51
    assert not (kit.state / "settings").exists()  # this box has its own
    assert not (kit.state / "mine").exists()
    assert open_ledger(kit.state, Clock())[0].position > 50


def test_a_file_system_that_cannot_exchange_folders(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.backup()
    kit.ledger.close()
    monkeypatch.setattr(restoring, "_exchange", lambda one, other: False)
    done = restore(kit.file, Place(kit.state, replace=True), None)
    assert done.aside is not None
    assert LedgerView.open(done.aside).verify() is None
    assert LedgerView.open(kit.state).verify() is None


def test_two_restores_do_not_go_on_at_once(kit: Kit) -> None:
    kit.backup()
    with restoring._beside(kit.folder / "new"), pytest.raises(InputError, match="another restore"):
        restore(kit.file, Place(kit.folder / "new"), None)


def _cuts(last: int, some_of: tuple[int, ...]) -> list[int]:
    return list(range(last)) if ALL else list(some_of)


def test_wherever_a_restore_is_killed_the_box_has_the_old_state_or_the_new_one(kit: Kit) -> None:
    kit.backup()
    kit.ledger.close()
    whole = kit.folder / "whole"
    kit.state.rename(whole)

    def work() -> Restored:
        return restore(kit.file, Place(kit.state, replace=True), None)

    for number in _cuts(200, (12, 23, 39)):
        for left in kit.folder.glob("*state*"):
            shutil.rmtree(left)
        shutil.copytree(whole, kit.state)
        killed = killed_before(number, work)
        view = LedgerView.open(kit.state)
        assert view.verify() is None
        assert len(view.segments()) in ((1, 2) if killed else (2,))
        view.close()
        again = work()
        assert again.aside is not None
        assert LedgerView.open(kit.state).verify() is None
        assert any(len(LedgerView.open(one).segments()) == 1 for one in kit.folder.glob("state.before-*"))
        if not killed:
            break
    assert not ALL or number > 20


def test_wherever_a_backup_is_killed_there_is_the_one_before_or_the_new_one(kit: Kit) -> None:
    kit.ledger.close()
    kit.file.write_text("the one before")

    def work() -> None:
        make_backup(kit.yaml, kit.settings, kit.file, None)

    for number in _cuts(100, (2, 5)):
        killed = killed_before(number, work)
        if killed and kit.file.read_bytes() == b"the one before":
            assert number < 50
        else:
            assert "ledger.db" in kit.contents()
        if not killed:
            break
    kit.backup()
    assert not list(kit.folder.glob(".box.backup*")) + list(kit.state.glob(".backup*"))


# --- numbers and records ---


@settings(max_examples=50)
@given(some.lists(some.tuples(some.floats(0, 3e5), some.floats(0, 1), some.booleans()), min_size=1, max_size=8))
def test_no_number_is_given_twice_however_often_a_box_is_restored(lives: list[tuple[float, float, bool]]) -> None:
    now, given_ = float(SINCE_S) + 1e8, [(1, 1000)]
    backups = [(1000, now)]
    for seconds, share, newest in lives:
        reserved, made = backups[-1 if newest else 0]
        first = numbers_from(reserved, made, now)
        now += seconds
        last = first + int(seconds * MOST_A_SECOND * share)  # as many as a box gives in this time, at most
        assert all(first > end or last < begin for begin, end in given_)
        given_.append((first, last))
        backups.append((last, now))
        now += 1.0


def test_a_clock_that_stands_before_the_backup_says_nothing_about_numbers(kit: Kit) -> None:
    with pytest.raises(InputError, match="clock") as caught:
        numbers_from(1000, 1e9, 0.0)
    assert "--numbers-from" in str(caught.value.fix)
    assert numbers_from(5 * 10**12, 1e9, 1.8e9) == 5 * 10**12 + 1
    kit.backup()
    with pytest.raises(InputError, match="cannot go on there"):
        restore(kit.file, Place(kit.folder / "new"), None, first_number=1000)
    assert restore(kit.file, Place(kit.folder / "new"), None, first_number=1001).numbers_from == 1001
    assert open_ledger(kit.folder / "new", Clock())[0].reserve()[0] == 1001


def test_a_restored_ledger_says_so_and_goes_on(kit: Kit) -> None:
    frame = Entry(
        Kind.EVIDENCE, {"sha256": "0" * 64}, station="cell", file="evidence/cell/000000000007.png", file_bytes=9
    )
    kit.ledger.append([frame])
    cursors = LedgerView.open(kit.state).cursors()
    assert f"cell{COUNTED}" in cursors
    done = restore(kit.backup(), Place(kit.folder / "new"), None)
    view = LedgerView.open(kit.folder / "new")
    assert view.verify() is None
    assert view.account().void == 0  # what the open block was used for meanwhile nobody here knows
    assert view.cursors() == {"cell": "00050"}  # counts of the controller would declare parts missed that were judged
    told, lost = view.after(51, 5)
    assert told.header.kind is Kind.RESTORED
    assert told.payload is not None
    content = told.payload.content()
    before = LedgerView.open(kit.state)
    assert (content["from"], content["position"], content["numbers_from"]) == (before.id, 51, done.numbers_from)
    assert lost.header.kind is Kind.EVICTED
    assert view.id != before.id
    ledger, opened = open_ledger(kit.folder / "new", Clock())
    assert opened.void == ()
    first, _ = ledger.reserve()
    assert first == done.numbers_from > 1000
    ledger.append(parts(first, 3))
    assert view.verify() is None
    assert view.verdict(7) is not None


@pytest.mark.parametrize(
    "made",
    [
        "DROP TABLE block; CREATE VIEW block (first, last, used) AS"
        " WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 1, x, 0 FROM n",
        "CREATE TRIGGER mine AFTER INSERT ON block BEGIN DELETE FROM header; END",
    ],
)
def test_a_ledger_that_would_do_more_than_hold_records_is_refused(kit: Kit, made: str) -> None:
    with closing(sqlite3.connect(kit.state / "ledger.db")) as connection:
        connection.executescript(made)
    with pytest.raises(LedgerError, match="cannot be gone on with"):
        restore(kit.backup(), Place(kit.folder / "new"), None)
    assert not (kit.folder / "new").exists()


@pytest.mark.parametrize("table", ["anchor", "last", "id"])
def test_what_says_that_a_ledger_was_restored_cannot_be_altered(kit: Kit, table: str) -> None:
    restore(kit.backup(), Place(kit.folder / "new"), None)
    with closing(sqlite3.connect(kit.folder / "new" / "ledger.db")) as connection, connection:
        if table == "anchor":
            connection.execute("UPDATE earlier SET anchor = replace(anchor, '\"verdicts\": 0', '\"verdicts\": 9')")
        elif table == "last":
            connection.execute("UPDATE earlier SET last = 49")
        else:
            connection.execute("UPDATE state SET value = 'mine' WHERE name = 'id'")
    fault = LedgerView.open(kit.folder / "new").verify()
    assert fault is not None
    assert "restored" in fault.what


def test_errors_say_what_to_do(kit: Kit) -> None:
    looks: list[Callable[[], object]] = [
        lambda: restore(kit.folder / "none", Place(kit.folder / "new"), None),
        lambda: restore(kit.yaml, Place(kit.folder / "new"), None),
        lambda: restore(kit.folder, Place(kit.folder / "new"), None),
        lambda: restore(kit.backup(), Place(kit.yaml), None),
    ]
    for look in looks:
        with pytest.raises(EdgemillError) as caught:
            look()
        assert all((caught.value.expected, caught.value.got, caught.value.fix))
