"""The quota, ages and anchors of a ledger on a real disk."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Ages, Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.ledger.schema import MIGRATIONS
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import EVICTED_FIRST, GENESIS, Header, Kind, Payload
from edgemill_link.consumer import take
from edgemill_link.consumer_store import ConsumerStore
from edgemill_link.messages import Batch

QUOTA = 3 << 20
BUSY = """
import hashlib, sys
from pathlib import Path
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Ages, Entry, open_ledger
from edgemill_core.ledger import EVICTED_FIRST, Kind
folder = Path(sys.argv[1])
ledger, _ = open_ledger(folder, Clock(), 3 << 20)
ages = Ages(dict.fromkeys(EVICTED_FIRST, 40_000.0), 60_000.0)
while True:
    first, last = ledger.reserve()
    for number in range(first, last + 1, 20):
        group = range(number, number + 20)
        ledger.append([Entry(Kind.VERDICT, {"x": "y" * 300}, n, "s", "pass", f"{n:08d}") for n in group])
        ledger.append([Entry(Kind.METRICS, {"number": number})])
        if ledger.reserve_room(30_000):
            name, content = f"evidence/s/{number:012d}.png", number.to_bytes(4, "big") * 7_500
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            ledger.release_room(30_000)
            body = {"number": number, "file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": 30_000}
            ledger.append([Entry(Kind.EVIDENCE, body, station="s", file=name, file_bytes=30_000)])
        ledger.keep_house(600.0, ages, delivered=False, numbers_from=number)
    print(last, flush=True)
"""
FOR_EVER = Ages(dict.fromkeys(EVICTED_FIRST, 1e12), 1e12)


def verdicts(first: int, count: int, size: int = 300) -> list[Entry]:
    return [Entry(Kind.VERDICT, {"x": "y" * size}, n, "s", "pass", f"{n:06d}") for n in range(first, first + count)]


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def keep_frame(ledger: Ledger, number: int, size: int) -> Path | None:
    """What station and source worker do together."""
    if not ledger.reserve_room(size):
        return None
    name, content = f"evidence/s/{number:012d}.png", number.to_bytes(4, "big") * (size // 4)
    path = ledger.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    ledger.release_room(size)
    body = {"number": number, "file": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": size}
    ledger.append([Entry(Kind.EVIDENCE, body, station="s", file=name, file_bytes=size)])
    return path


def test_the_quota_is_never_passed_and_the_policy_is_kept(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    for turn in range(130):
        ledger.append(verdicts(20 * turn + 1, 20))
        ledger.append([Entry(Kind.METRICS, {"turn": turn})])
        keep_frame(ledger, turn, 20_000)
        assert disk(tmp_path) <= QUOTA
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    assert view.account().delivered == 2600
    kept = {kind: [r.payload is not None for r in view.records() if r.header.kind is kind] for kind in EVICTED_FIRST}
    declared = [r.payload.content() for r in view.records() if r.header.kind is Kind.EVICTED and r.payload]
    assert {told["why"] for told in declared} == {"quota"}
    order = list(dict.fromkeys(told["what"] for told in declared))
    assert order == ["metrics", "evidence", "verdict"]
    for kind in EVICTED_FIRST:
        gone = kept[kind].count(False)
        assert gone == sum(told["count"] for told in declared if told["what"] == kind.value)
        assert kept[kind][:gone] == [False] * gone  # the oldest ones


def fill(ledger: Ledger, numbers: Iterator[int]) -> None:
    for number in numbers:
        ledger.append(verdicts(number, 50, size=1))


def test_without_anything_to_evict_it_says_what_to_do_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    numbers = iter(range(1, 1_000_000, 50))
    with pytest.raises(LedgerError, match="quota of the ledger") as caught:
        fill(ledger, numbers)
    assert "retention" in caught.value.fix
    assert disk(tmp_path) <= QUOTA
    assert not ledger.reserve_room(1 << 20)
    ledger.declare_void([(1 << 40, 1 << 40)], "there is always room to say that")
    ledger.close()
    again, _ = open_ledger(tmp_path, Clock(), 2 * QUOTA)
    again.append(verdicts(1 << 41, 50))
    assert LedgerView.open(tmp_path).verify() is None


def test_frames_that_were_not_kept_do_not_stand_in_the_way_of_eviction(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    for turn in range(150):
        ledger.append(verdicts(20 * turn + 1, 20))
        ledger.append([Entry(Kind.EVIDENCE, {"number": turn, "not_kept": "x" * 2000}, station="s")])
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    assert view.held().get("evidence", 0) < 20 * 2100
    assert view.account().delivered == 3000


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_amid_evictions_and_trims_leaves_a_whole_ledger(tmp_path: Path, seed: int) -> None:
    rng, told = random.Random(seed), 0
    for _ in range(4):
        busy = subprocess.Popen([sys.executable, "-c", BUSY, tmp_path], stdout=subprocess.PIPE, text=True)
        assert busy.stdout is not None
        told = int(busy.stdout.readline())
        time.sleep(rng.random())
        busy.kill()
        busy.communicate()
        view = LedgerView.open(tmp_path)
        assert view.verify() is None
        view.close()
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    view = LedgerView.open(tmp_path)
    account = view.account()
    assert view.first()[0] > 0
    assert account.delivered + account.void >= told
    assert account.delivered == account.stations["s"]
    assert disk(tmp_path) <= QUOTA
    files = {str(path.relative_to(tmp_path)) for path in (tmp_path / "evidence").glob("*/*")}
    assert files == {file for (file,) in ledger._connection.execute("SELECT file FROM evidence")}


def test_a_ledger_is_whole_while_its_agent_writes_evicts_and_trims(tmp_path: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", BUSY, tmp_path], stdout=subprocess.PIPE, text=True)
    assert busy.stdout is not None
    looks = 0
    try:
        while int(busy.stdout.readline()) < 3000 or looks < 6:
            view = LedgerView.open(tmp_path)
            assert view.verify() is None
            account = view.account()
            assert account.delivered == account.stations["s"]
            view.close()
            looks += 1
    finally:
        busy.kill()
        busy.communicate()
    assert LedgerView.open(tmp_path).first()[0] > 0


def test_ages_count_the_time_that_the_agent_ran(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    ages = Ages({**FOR_EVER.payloads, Kind.METRICS: 5000, Kind.EVIDENCE: 9000}, 1e12)
    ledger.append([Entry(Kind.METRICS, {"n": 1})])
    frame = keep_frame(ledger, 1, 400)
    ledger.append(verdicts(1, 2))
    for _ in range(2):
        ledger.keep_house(3600, ages, delivered=False, numbers_from=0)
    view = LedgerView.open(tmp_path)
    assert view.held().keys() == {"evidence", "metrics", "verdict"}
    ledger.keep_house(3600, ages, delivered=False, numbers_from=0)
    assert view.held().keys() == {"evidence", "evicted", "verdict"}
    ledger.keep_house(3600, ages, delivered=False, numbers_from=0)
    assert view.held().keys() == {"evicted", "verdict"}
    assert frame is not None
    assert not frame.exists()
    assert view.verify() is None


def trimmed(folder: Path, count: int = 30) -> Ledger:
    """A ledger whose older records are behind an anchor."""
    ledger, _ = open_ledger(folder, Clock(), QUOTA)
    ledger.append(verdicts(1, count))
    ledger.append([Entry(Kind.LOST, {"count": 3, "ranges": [[90, 92]], "why": "test"})])
    ledger.keep_house(3600, FOR_EVER, delivered=False, numbers_from=0)
    ledger.append(verdicts(100, 10))
    ledger.keep_house(7200, Ages(FOR_EVER.payloads, 7200), delivered=False, numbers_from=0)
    return ledger


def test_trimming_leaves_a_signed_anchor_that_carries_the_account(tmp_path: Path) -> None:
    trimmed(tmp_path)
    view = LedgerView.open(tmp_path)
    anchor = view.anchor()
    assert anchor is not None
    assert (anchor.position, anchor.verdicts, anchor.lost) == (31, 30, 3)
    assert [r.header.position for r in view.records()] == list(range(32, 42))
    assert view.verify() is None
    account = view.account()
    assert (account.delivered, account.lost, account.stations) == (40, 3, {"s": 40})
    assert (tmp_path / "box.key").stat().st_mode & 0o777 == 0o600
    assert view.held() == {"verdict": sum(len(r.payload.body) + 48 for r in view.records() if r.payload)}


@pytest.mark.parametrize("altered", ["verdicts", "link", "signature"])
def test_an_altered_anchor_is_found(tmp_path: Path, altered: str) -> None:
    trimmed(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        body = json.loads(connection.execute("SELECT body FROM anchor").fetchone()[0])
        body[altered] = 29 if altered == "verdicts" else "00" * 32
        connection.execute("UPDATE anchor SET body = ?", (json.dumps(body),))
    fault = LedgerView.open(tmp_path).verify()
    assert fault is not None
    assert "anchor" in fault.what


def test_what_the_consumer_does_not_have_is_not_trimmed(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    ledger.append(verdicts(1, 20))
    ledger.acknowledge(12)
    ledger.keep_house(3600, FOR_EVER, delivered=True, numbers_from=0)
    ledger.keep_house(3600, Ages(FOR_EVER.payloads, 60), delivered=True, numbers_from=0)
    assert LedgerView.open(tmp_path).first()[0] == 12


def test_numbers_of_a_block_in_use_are_not_forgotten(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    first, last = ledger.reserve()
    ledger.append(verdicts(first, last - first + 1, size=1))
    first, _ = ledger.reserve()
    ledger.append(verdicts(first, 3))
    ledger.keep_house(3600, FOR_EVER, delivered=False, numbers_from=0)
    ledger.keep_house(3600, Ages(FOR_EVER.payloads, 60), delivered=False, numbers_from=0)
    view = LedgerView.open(tmp_path)
    assert view.first()[0] == 0  # some number of the first block may still be recorded
    ledger.keep_house(3600, Ages(FOR_EVER.payloads, 60), delivered=False, numbers_from=last)
    assert view.first()[0] == 0
    ledger.keep_house(3600, Ages(FOR_EVER.payloads, 60), delivered=False, numbers_from=last + 1)
    assert view.first()[0] == last


def batch(view: LedgerView, after: int, link: str) -> Batch:
    return Batch(view.id, after, link, tuple(view.after(after, 100)), view.anchor())


def test_a_consumer_that_lost_its_store_begins_at_the_anchor(tmp_path: Path) -> None:
    trimmed(tmp_path)
    view = LedgerView.open(tmp_path)
    store = ConsumerStore(tmp_path / "c.db")
    first, link = view.first()
    sent = Batch.decode(batch(view, first, link).encode())
    assert take(store, "box", sent).records == sent.records
    assert take(store, "box", sent).records == ()
    account = store.accounts()["box", view.id]
    assert (account.delivered, account.lost) == (40, 3)


def test_a_consumer_refuses_an_anchor_that_is_not_signed_or_by_another_key(tmp_path: Path) -> None:
    ledger = trimmed(tmp_path)
    view = LedgerView.open(tmp_path)
    store = ConsumerStore(tmp_path / "c.db")
    first, link = view.first()
    sent = batch(view, first, link)
    anchor = view.anchor()
    assert anchor is not None
    forged = Batch(sent.ledger, sent.after, sent.previous, sent.records, anchor.signed("00" * 64))
    refused = take(store, "box", forged)
    assert (refused.answer, refused.records) == (None, ())
    assert "signature" in refused.trouble
    elsewhere = Batch(sent.ledger, sent.after + 1, sent.previous, sent.records[1:], anchor)
    assert "another place" in take(store, "box", elsewhere).trouble
    assert take(store, "box", sent).answer is not None
    (tmp_path / "box.key").unlink()
    ledger.append(verdicts(200, 5))
    ledger.keep_house(7200, FOR_EVER, delivered=False, numbers_from=0)
    ledger.append(verdicts(300, 5))
    ledger.keep_house(7200, Ages(FOR_EVER.payloads, 7200), delivered=False, numbers_from=0)
    first, link = view.first()
    assert "another key" in take(store, "box", batch(view, first, link)).trouble


def test_a_frame_without_a_record_is_swept_up_and_one_with_a_record_is_watched(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    kept = keep_frame(ledger, 7, 800)
    assert kept is not None
    orphan = kept.with_name("000000000008.png")
    orphan.write_bytes(b"the line process was killed before it recorded this")
    ledger.close()
    again, _ = open_ledger(tmp_path, Clock(), QUOTA)
    again.close()
    assert not orphan.exists()
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    kept.write_bytes(b"another picture")
    fault = view.verify()
    assert fault is not None
    assert "altered" in fault.what
    kept.unlink()
    fault = view.verify()
    assert fault is not None
    assert "gone" in fault.what


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        payload = Payload(b"s" * 16, b'{"n":1}')
        header = Header(1, 1, Kind.VERDICT, "s", "pass", 5, "boot", 6, payload.digest)
        row = (*{**header.as_dict(), "kind": "verdict"}.values(), header.link(GENESIS))
        old.execute("INSERT INTO header VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        old.execute("INSERT INTO payload VALUES (1, ?, ?)", (payload.salt, payload.body))
        old.execute("INSERT INTO state VALUES ('id', 'an-old-one')")
        old.execute("PRAGMA user_version = 1")
    with pytest.raises(LedgerError, match="no ledger to read") as caught:
        LedgerView.open(tmp_path)
    assert "brought up to date" in caught.value.fix
    ledger, opened = open_ledger(tmp_path, Clock(), QUOTA)
    assert opened.id == "an-old-one"
    ledger.append(verdicts(2, 1))
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    assert view.held().keys() == {"verdict"}
    assert ledger._connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
