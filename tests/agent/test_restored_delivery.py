"""A box that was restored, and a consumer that has less than the backup, or more: nothing is missing or there twice."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_box import PATIENCE_S
from brokers import Broker, broker_called

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Ages, Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.ledger.restored import begin_again, numbers_from, reserved_until
from edgemill_core.ledger import EVICTED_FIRST, NO_END, Kind, Segment
from edgemill_link import consumer as consumer_module
from edgemill_link import topics
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.consumer import Consumer, take
from edgemill_link.consumer_store import ConsumerStore
from edgemill_link.messages import first_batch
from edgemill_link.publisher import Publisher, Report

KEPT = 30
"""Records in the backup."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = broker_called("embedded", tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_TICK_S", 0.01)  # both sides take turns in one thread here


def record(ledger: Ledger, first: int, count: int) -> None:
    ledger.append([Entry(Kind.VERDICT, {"n": n}, n, "cell", "pass", str(n)) for n in range(first, first + count)])


def consumed(store: ConsumerStore, device: str, view: LedgerView, until: int) -> None:
    """As if it had come by MQTT."""
    if until:
        batch = first_batch(view.id, 0, view.link_at(0), view.after(0, until))
        assert take(store, device, batch).trouble == ""


def delivered(
    broker: Broker, device: str, view: LedgerView, store: ConsumerStore, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Until the consumer has everything; what either side had to say."""
    said: list[str] = []

    def report(one: Report) -> None:
        if one.trouble:
            said.append(one.trouble)

    settings = BrokerSettings(url=broker.url)
    consumer = Consumer(store, settings, said.append, name=f"consumer-{device}", device=device)
    publisher = Publisher(device, view, settings, {}, report, window=7)
    publish = publisher._connection.publish

    def watched(topic: str, payload: bytes, **more: Any) -> bool:
        """What is of one name goes out after all that is before it has come; at the door the box says where it is."""
        if topic in (topics.records(device), topics.online(device)):
            name, segments = json.loads(payload)["ledger"], view.segments()
            (begin,) = [one.begin for one in segments if one.id == name]
            assert begin <= publisher._window.acknowledged
            assert topic == topics.records(device) or name == view.segment(publisher._window.acknowledged).id
        return publish(topic, payload, **more)

    monkeypatch.setattr(publisher._connection, "publish", watched)
    until = time.monotonic() + PATIENCE_S
    try:
        while not publisher.all_acknowledged():
            assert time.monotonic() < until, said
            publisher.wake()
            publisher.step()
            consumer.step()
    finally:
        publisher.stop()
        consumer.stop()
    return said


def restored(kept: Path, folder: Path, reserved: int | None = None) -> Ledger:
    shutil.copytree(kept, folder)
    first = numbers_from(reserved_until(folder), 0.0, time.time())
    begin_again(folder, Clock(), first, {})
    ledger, _ = open_ledger(folder, Clock())
    begin, _ = ledger.reserve()
    assert begin == first
    record(ledger, first, 20)
    return ledger


@pytest.mark.parametrize("had", [0, KEPT - 10, KEPT, KEPT + 15] if os.environ.get("EDGEMILL_EVERY_CUT") else [20, 45])
def test_a_consumer_counts_every_part_once(
    tmp_path: Path, broker: Broker, had: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = f"box-{had}"
    lost, _ = open_ledger(tmp_path / "lost", Clock())
    lost.reserve()
    record(lost, 1, KEPT)
    lost.acknowledge(min(had, KEPT - 5))
    shutil.copytree(tmp_path / "lost", tmp_path / "kept")
    record(lost, KEPT + 1, 15)  # behind the backup
    store = ConsumerStore(tmp_path / "consumer.db")
    view = LedgerView.open(tmp_path / "lost")
    consumed(store, device, view, had)
    ledger = restored(tmp_path / "kept", tmp_path / "new")
    new = LedgerView.open(tmp_path / "new")
    assert delivered(broker, device, new, store, monkeypatch) == []
    accounts = store.accounts()
    assert set(accounts) == {(device, view.id), (device, new.id)}
    assert accounts[device, view.id].delivered == max(had, KEPT)
    assert accounts[device, new.id].delivered == 20
    assert not any(account.doubled for account in accounts.values())
    both = [set(_numbers(store, device, ledger_id)) for ledger_id in (view.id, new.id)]
    assert not both[0] & both[1]
    (told,) = [one for one in store.records(device, new.id) if one.header.kind is Kind.RESTORED]
    assert told.payload is not None
    assert told.payload.content()["from"] == view.id
    assert told.payload.content()["position"] == KEPT
    ledger.close()
    store.close()


def _numbers(store: ConsumerStore, device: str, ledger: str) -> list[int]:
    return [one.header.number for one in store.records(device, ledger) if one.header.number]


def test_twice_restored_and_trimmed(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one and the same backup; the second box threw the headers of before away."""
    lost, _ = open_ledger(tmp_path / "kept", Clock())
    lost.reserve()
    record(lost, 1, KEPT)
    lost.close()
    store = ConsumerStore(tmp_path / "consumer.db")
    views = []
    for turn in range(2):
        ledger = restored(tmp_path / "kept", tmp_path / f"new-{turn}")
        views.append(LedgerView.open(tmp_path / f"new-{turn}"))
        if turn:
            ages = Ages(dict.fromkeys(EVICTED_FIRST, 1e9), 3600.0)
            ledger.keep_house(7200.0, ages, delivered=False, numbers_from=1)
            record(ledger, int(views[1].after(0, 100)[-1].header.number) + 1, 5)
            ledger.keep_house(7200.0, ages, delivered=False, numbers_from=1)
            assert views[1].first()[0] >= KEPT
            assert views[1].verify() is None
            anchor = views[1].anchor()
            assert anchor is not None
            assert anchor.verdicts <= (KEPT if anchor.position == KEPT else 25)
        assert delivered(broker, "box-t", views[turn], store, monkeypatch) == []
        ledger.close()
    accounts = store.accounts()
    first, second = views
    assert accounts["box-t", first.segments()[0].id].delivered == KEPT
    assert accounts["box-t", first.id].delivered == 20
    assert accounts["box-t", second.id].delivered == 25
    assert len(accounts) == 3
    store.close()


def test_what_an_acknowledgement_says_of_a_segment() -> None:
    before, now = Segment("old", 0, 30), Segment("new", 30, NO_END)
    assert [before.place(said, 10) for said in (0, 20, 30, 99)] == [0, 20, 30, 30]
    assert [now.place(said, 29) for said in (0, 30, 35)] == [None, None, None]
    assert [now.place(said, 30) for said in (0, 30, 35)] == [30, 30, 35]
