"""Intake over real tables: once, in order, durable before it is answered; no device hinders another."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from brokers import Broker, best_broker
from fleet_rows import Ledger, add_devices, add_release, begin_rollout, outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from edgemill_core.errors import StoreError
from edgemill_core.ledger import GENESIS, Anchor, Kind, Record, Segment, check_chain
from edgemill_fleet.intake.consumer import Intake
from edgemill_fleet.intake.ledgers import all_progress
from edgemill_fleet.intake.messages import MOST_BYTES, Facts, Message, read_message
from edgemill_fleet.intake.taking import take_messages
from edgemill_fleet.intake.waiting import Waiting
from edgemill_fleet.rollouts.steward import step_rollout
from edgemill_fleet.rollouts.waves import Outcome
from edgemill_fleet.store.database import Database
from edgemill_fleet.store.devices import revoke_device
from edgemill_fleet.store.tables import Device, MemberRow, RecordRow
from edgemill_link import topics
from edgemill_link.broker_settings import broker_at
from edgemill_link.messages import Acknowledgement, MessageError, Presence
from edgemill_link.publisher import Publisher

EVERY_CUT = os.environ.get("EDGEMILL_EVERY_CUT") == "1"


def records_of(database: Database, device: str) -> list[Record]:
    one = RecordRow
    columns = (one.position, one.number, one.kind, one.station, one.decision, one.utc_ns, one.boot)
    rows = select(*columns, one.monotonic_ns, one.digest, one.link, one.salt, one.body).where(one.device == device)
    with database.reading() as session:
        return [Record.from_row(row) for row in session.execute(rows.order_by(one.position))]


def position(database: Database, device: str) -> int:
    with database.reading() as session:
        return max((known.position for of, _, known in all_progress(session) if of == device), default=0)


def box(device: str = "a", verdicts: int = 0) -> Ledger:
    made = Ledger(device)
    made.verdicts(verdicts)
    return made


def test_what_comes_is_kept_once_and_in_order_whatever_the_order(database: Database) -> None:
    add_devices(database, "a", "b")
    boxes = [box("a", 40), box("b", 30)]
    messages = [
        Message(one.device, one.batch(after, after + 7)) for one in boxes for after in range(0, one.position, 7)
    ]
    chance = random.Random(7)
    sent = 0
    while any(position(database, one.device) < one.position for one in boxes):
        some = chance.choices(messages, k=9)
        done = take_messages(database, some, 5.0)
        assert not done.trouble
        sent += 1
        assert sent < 200
        for device, answer in done.answers:
            assert answer.position <= position(database, device), "answered before it was there"
    for one in boxes:
        found = records_of(database, one.device)
        assert found == one.records
        assert check_chain(found) is None


def test_behind_a_gap_it_is_asked_again_and_a_broken_chain_is_not_taken(database: Database) -> None:
    add_devices(database, "a")
    one = box(verdicts=10)
    gap = take_messages(database, [Message("a", one.batch(5))], 0.0)
    assert [answer for _, answer in gap.answers] == [Acknowledgement(one.id, 0, "0" * 64, again=True)]
    batch = one.batch()
    altered = replace(batch.records[3], header=replace(batch.records[3].header, decision="pass"))
    broken = replace(batch, records=(*batch.records[:3], altered, *batch.records[4:]))
    done = take_messages(database, [Message("a", broken)], 0.0)
    assert not done.answers
    assert "record 4" in done.trouble[0]
    assert not records_of(database, "a")


def test_what_overtook_the_one_before_it_waits_a_moment(database: Database) -> None:
    add_devices(database, "a")
    one = box(verdicts=12)
    early = [Message("a", one.batch(after, after + 4), patient_until_s=5.0) for after in (8, 4)]
    done = take_messages(database, early, 4.0)
    assert not done.answers
    assert set(done.early) == set(early)
    done = take_messages(database, [*done.early, Message("a", one.batch(0, 4))], 4.5)
    assert not done.early
    assert done.answers[-1][1].position == 12
    assert not any(answer.again for _, answer in done.answers)
    late = take_messages(database, [replace(early[0], said=replace(early[0].said, after=99))], 5.0)
    assert late.answers[0][1].again


def test_presence_and_facts(database: Database) -> None:
    add_devices(database, "a")
    one = box(verdicts=3)
    take_messages(database, [Message("a", one.batch())], 1.0)
    said = [Message("a", Presence(True, one.id, acknowledged=9)), Message("a", Facts({"agent": "0.1"}))]
    done = take_messages(database, said, 2.0)
    assert done.answers == [("a", Acknowledgement(one.id, 3, one.link, again=True))], "it believes that we have more"
    with database.reading() as session:
        row = session.get_one(Device, "a")
        assert (row.online, row.facts, row.heard_s) == (True, {"agent": "0.1"}, 2.0)
    done = take_messages(database, [Message("a", Presence(False, one.id))], 3.0)
    assert not done.answers
    with database.reading() as session:
        assert not session.get_one(Device, "a").online


def test_who_is_not_let_in_is_not_heard(database: Database) -> None:
    add_devices(database, "a", "gone")
    with database.session() as session:
        revoke_device(session, "gone", 0.0)
    said = [Message(device, box(device, 2).batch()) for device in ("stranger", "gone", "a")]
    done = take_messages(database, said, 0.0)
    assert [device for device, _ in done.answers] == ["a"]
    assert [one.split(":")[0] for one in done.trouble] == ["stranger", "gone"]
    assert done.records == 2


def test_the_last_word_on_an_update_counts_once_it_is_on_record(database: Database) -> None:
    add_devices(database, "a", "b")
    add_release(database)
    number = begin_rollout(database)
    one = box("a")
    one.says(Outcome.TOOK, why="by hand")
    take_messages(database, [Message("a", one.batch())], 0.0)
    with database.reading() as session:
        row = session.get_one(MemberRow, (number, "a"))
        assert (row.outcome, row.why) == ("waiting", ""), "it was not asked"
    with database.session() as session:
        assert step_rollout(session, number, 0.0) == 2
    assert outcomes(database, number) == {"a": "took", "b": "asked"}, "it runs there already"
    two = box("b")
    two.says(Outcome.ROLLED_BACK, why="was late \0 3 times")
    two.says(Outcome.TOOK, version="9.9.9")
    two.write(Kind.UPDATE, {"name": "tiny", "version": "1.0.0", "state": "trial", "why": ""})
    two.write(Kind.UPDATE, ["no", "object"])
    take_messages(database, [Message("b", two.batch())], 8.0)
    with database.reading() as session:
        row = session.get_one(MemberRow, (number, "b"))
        assert (row.outcome, row.since_s, row.why) == ("rolled back", 8.0, "was late  3 times")
        assert session.get_one(Device, "b").runs == {"tiny": "9.9.9"}
    take_messages(database, [Message("b", two.batch())], 9.0)
    with database.reading() as session:
        assert session.get_one(MemberRow, (number, "b")).since_s == 8.0, "heard twice"


def test_a_new_disk_runs_nothing_that_we_know_of(database: Database) -> None:
    add_devices(database, "a")
    one = box("a")
    one.says(Outcome.TOOK)
    take_messages(database, [Message("a", one.batch())], 0.0)
    fresh = Ledger("a", id="ledger-2")
    fresh.verdicts(1)
    take_messages(database, [Message("a", fresh.batch())], 0.0)
    with database.reading() as session:
        assert session.get_one(Device, "a").runs == {}


def test_what_waits_is_bounded_by_what_it_holds() -> None:
    waiting = Waiting(100_000)
    for size in (0, 60_000, 60_000):
        waiting.put_nowait(("t", b"x" * size))
    with pytest.raises(queue.Full):
        waiting.put_nowait(("t", b""))
    assert [len(waiting.get_nowait()[1]) for _ in range(2)] == [0, 60_000]
    for _ in range(199):
        waiting.put_nowait(("t", b""))  # each counts, though it says nothing
    with pytest.raises(queue.Full):
        waiting.put_nowait(("t", b""))
    assert len(waiting.get_nowait()[1]) == 60_000
    while not waiting.empty():
        assert waiting.get_nowait() == ("t", b"")


@settings(max_examples=400 if EVERY_CUT else 60, deadline=None)
@given(
    payload=st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    leaf=st.sampled_from(["records", "online", "facts", "x"]),
)
def test_nothing_that_may_come_is_more_than_an_error(payload: bytes, leaf: str) -> None:
    for topic in (f"edgemill/1/a/{leaf}", leaf):
        try:
            read_message(topic, payload)
        except MessageError:
            continue


def odd_batches() -> Iterator[bytes]:
    def told(**changed: object) -> bytes:
        record = {**box(verdicts=1).records[0].as_dict(), **changed}
        return json.dumps({"ledger": "l", "after": 0, "previous": "0" * 64, "records": [record]}).encode()

    yield told(station="x" * 65)
    yield told(station="a\0b")
    yield told(boot="\ud800")
    yield told(position=1 << 63)
    yield told(utc_ns=-1)
    yield told(number=1e400)
    yield told(link="f" * 65)
    yield b'{"ledger": ' + b"[" * 100_000
    yield b" " * (MOST_BYTES + 1)
    yield json.dumps({**json.loads(told()), "ledger": "l" * 65}).encode()


@pytest.mark.parametrize("payload", list(odd_batches()), ids=range(10))
def test_what_the_tables_have_no_room_for_is_not_taken(payload: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(topics.records("a"), payload)


@pytest.mark.parametrize("payload", [b"[]", b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a":' * 50_000, b"1" * 64_001])
def test_facts_that_cannot_be_kept_are_not_taken(payload: bytes) -> None:
    with pytest.raises(MessageError):
        read_message(topics.facts("a"), payload)


def test_what_the_database_does_not_take_keeps_no_other_device(database: Database) -> None:
    """A row that cannot be, as none should pass ``read_message``."""
    add_devices(database, "a", "b")
    bad = box("a", 2).batch()
    bad = replace(bad, records=tuple(replace(one, header=replace(one.header, utc_ns=1 << 70)) for one in bad.records))
    link = "0" * 64
    records = []
    for one in bad.records:
        link = one.header.link(link)
        records.append(replace(one, link=link))
    bad = replace(bad, records=tuple(records))
    done = take_messages(database, [Message("a", bad), Message("b", box("b", 2).batch())], 0.0)
    assert [device for device, _ in done.answers] == ["b"]
    assert len(done.trouble) == 1
    assert position(database, "b") == 2


def test_two_intakes_with_the_same_box_keep_each_record_once(database: Database) -> None:
    add_devices(database, "a")
    one = box("a", 60)

    def take(seed: int) -> None:
        chance = random.Random(seed)
        while position(database, "a") < one.position:
            after = chance.choice([position(database, "a"), chance.randrange(60)])
            take_messages(database, [Message("a", one.batch(after, after + 6))], 0.0)

    threads = [threading.Thread(target=take, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records_of(database, "a") == one.records


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = best_broker(tmp_path)
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_database_that_is_away_is_told_of_once_and_nothing_is_answered(
    database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgemill_fleet.intake import consumer

    said: list[str] = []
    monkeypatch.setattr(consumer, "_PAUSE_S", 0.01)
    intake = Intake(database, broker_at(broker.url), said.append, "intake")
    with monkeypatch.context() as away:
        away.setattr(consumer, "take_messages", lambda *_: (_ for _ in ()).throw(StoreError("it is away")))
        intake._events.put((topics.online("a"), Presence(True, "l").encode()))
        intake._events.put((topics.online("a"), Presence(True, "l").encode()))
        for _ in range(3):
            intake.step()
    assert [one for one in said if "away" in one] == ["it is away"]
    intake.stop()


@dataclass(frozen=True)
class Source:
    """A box's ledger for ``Publisher``; what was acknowledged is in memory alone."""

    ledger: Ledger

    @property
    def id(self) -> str:
        return self.ledger.id

    def acknowledged(self) -> int:
        return 0

    def last(self) -> tuple[int, str]:
        return self.ledger.position, self.ledger.link

    def anchor(self) -> Anchor | None:
        return None

    def link_at(self, position: int) -> str:
        return self.ledger.records[position - 1].link if position else GENESIS

    def after(self, position: int, limit: int, until: int) -> list[Record]:
        return self.ledger.records[position : min(position + limit, until)]

    def segment(self, after: int) -> Segment:
        return Segment(self.id)

    def segment_called(self, name: str) -> Segment | None:
        return Segment(self.id) if name == self.id else None


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(database: Database, broker: Broker) -> None:
    """Two intakes behind a real broker; one of them is always about to die, by SIGKILL where there is the time."""
    add_devices(database, "a", "b", "c")
    boxes = [box(device, 5000 if EVERY_CUT else 300) for device in "abc"]
    publishers = [
        Publisher(one.device, Source(one), broker_at(broker.url), {"agent": "0.1"}, lambda _: None) for one in boxes
    ]
    over = threading.Event()
    threads = [threading.Thread(target=publish, args=(one, over)) for one in publishers]
    for thread in threads:
        thread.start()
    begin = intake_process if EVERY_CUT else intake_thread
    kill_until(
        lambda: all(one.all_acknowledged() for one in publishers),
        lambda: sum(position(database, device) for device in "abc"),
        lambda name: begin(database, broker, name),
    )
    over.set()
    for thread in threads:
        thread.join()
    for publisher in publishers:
        publisher.stop()
    for one in boxes:
        assert records_of(database, one.device) == one.records
    with database.reading() as session:
        assert session.get_one(Device, "a").facts == {"agent": "0.1"}


def publish(publisher: Publisher, over: threading.Event) -> None:
    while not over.is_set():
        publisher.step()


def kill_until(done: Callable[[], bool], taken: Callable[[], int], begin: Callable[[str], Callable[[], None]]) -> None:
    """Two intakes, of which one is killed whenever something was taken, and begun again; ``begin`` gives its end."""
    chance, until = random.Random(3), time.monotonic() + 120
    intakes = [begin(f"intake-{number}") for number in range(2)]
    try:
        while not done():
            assert time.monotonic() < until
            before = taken()
            while taken() == before and not done() and time.monotonic() < until:
                time.sleep(chance.uniform(0.0, 0.05))
            victim = chance.randrange(2)
            intakes[victim]()
            intakes[victim] = begin(f"intake-{victim}")
    finally:
        for end in intakes:
            end()


def intake_thread(database: Database, broker: Broker, name: str) -> Callable[[], None]:
    """One that says nothing any more when it is ended, whatever it just took."""
    intake, over = Intake(database, broker_at(broker.url), lambda _: None, name), threading.Event()

    def work() -> None:
        while not over.is_set():
            intake.step()

    thread = threading.Thread(target=work)
    thread.start()

    def end() -> None:
        intake.stop()
        over.set()
        thread.join()

    return end


def intake_process(database: Database, broker: Broker, name: str) -> Callable[[], None]:
    url = database.engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-c", INTAKE, url, broker.url, name], stdout=subprocess.DEVNULL)

    def end() -> None:
        process.kill()
        process.wait()

    return end


INTAKE = """
import sys
from edgemill_fleet.intake.consumer import Intake
from edgemill_fleet.store.database import open_database
from edgemill_link.broker_settings import broker_at

intake = Intake(open_database(sys.argv[1]), broker_at(sys.argv[2]), print, sys.argv[3])
while True:
    intake.step()
"""
