"""From the ledger to the consumer, through real brokers that are killed: everything, once, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_box import PATIENCE_S, Box, wait_until
from brokers import Broker, broker_called

from edgemill_agent.ledger import LedgerView
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Account, check_chain
from edgemill_link.consumer_store import ConsumerStore


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = broker_called(request.param, tmp_path)
    made.start()
    yield made
    made.close()


class Consumer:
    """``edgemill ledger consume`` as a process."""

    def __init__(self, url: str, store: Path) -> None:
        self._command = [sys.executable, "-m", "edgemill", "ledger", "consume", "--broker", url]
        self._command += ["--store", str(store), "--json"]
        self.store = store
        self.process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill_and_start_again(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.process = self._start()

    def position(self) -> int:
        """How far it is, read beside it."""
        try:
            store = ConsumerStore(self.store)
        except LedgerError:
            return 0
        found = sum(progress.position for _, _, progress in store.all_progress())
        store.close()
        return found

    def end(self) -> list[dict[str, object]]:
        self.process.terminate()
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        ledgers: list[dict[str, object]] = json.loads(out)["ledgers"]
        return ledgers


@pytest.fixture
def consumer(broker: Broker, tmp_path: Path) -> Iterator[Consumer]:
    started = Consumer(broker.url, tmp_path / "consumer.db")
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.communicate()


@pytest.fixture
def linked(box: Box, broker: Broker) -> Box:
    """Twelve hundred pictures and a broker."""
    box.add_pictures()
    box.settings |= {"mqtt": {"url": broker.url, "keepalive_s": 5}, "drain_s": 40}
    return box


def check(box: Box, consumer: Consumer, produced: int) -> None:
    """Consumer and ledger hold the same whole chain, and the account adds up."""
    store = ConsumerStore(consumer.store)
    view = LedgerView.open(box.state)
    taken = list(store.records("box-1", view.id))
    assert check_chain(taken) is None
    assert taken == list(view.records())
    account = Account()
    for record in taken:
        account.add(record)
    assert account.delivered + account.lost == produced
    assert not account.doubled
    store.close()
    view.close()


def test_everything_arrives_once_whatever_is_killed(linked: Box, broker: Broker, consumer: Consumer) -> None:
    agent = linked.start()
    wait_until(lambda: consumer.position() > 50, "records at the consumer")
    broker.kill()
    linked.kill("cell/engine")
    before = linked.recorded()
    wait_until(lambda: linked.recorded() > before + 50, "verdicts without a broker")
    broker.start()
    wait_until(lambda: consumer.position() > before + 50, "records after the broker came back")
    linked.kill("link")
    consumer.kill_and_start_again()
    account = linked.end(agent)
    assert account["ledger"]["acknowledged"] == account["ledger"]["position"]
    found = consumer.end()
    assert found[0]["delivered"] == 1200
    check(linked, consumer, 1200)


def test_a_broker_that_comes_late_gets_what_was_recorded_before(
    linked: Box, broker: Broker, consumer: Consumer
) -> None:
    broker.kill()
    linked.settings["drain_s"] = 0.2
    account = linked.run()
    assert account["ledger"]["acknowledged"] == 0
    assert account["stations"]["cell"]["verdicts"] == 1200
    broker.start()
    linked.settings["drain_s"] = 40
    account = linked.run()
    assert account["ledger"]["acknowledged"] == account["ledger"]["position"]
    check(linked, consumer, 1200)


def test_a_consumer_that_lost_its_store_gets_everything_again(
    linked: Box, broker: Broker, consumer: Consumer, tmp_path: Path
) -> None:
    linked.run()
    consumer.end()
    other = Consumer(broker.url, tmp_path / "other.db")
    pictures = linked.folder / "pictures"
    os.link(pictures / "0000.png", pictures / "9999.png")
    try:
        linked.run()
        check(linked, other, 1201)
    finally:
        other.end()
