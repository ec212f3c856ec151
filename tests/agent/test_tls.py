"""A broker that wants certificates: the right ones, one of a stranger, and a broker that is a stranger itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_box import PATIENCE_S, Box
from brokers import MOSQUITTO, Mosquitto
from certificates import Authority, Pair

from edgemill_agent.ledger import LedgerView
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.consumer import Consumer
from edgemill_link.consumer_store import ConsumerStore

Plant = tuple[Mosquitto, Authority]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    if MOSQUITTO is None:
        pytest.skip("SKIPPED: mosquitto is not installed, so nothing showed what a refused certificate does (CI does)")
    ours = Authority(tmp_path, "plant")
    server = ours.pair("broker")
    files = {"cafile": ours.file, "certfile": server.certificate, "keyfile": server.key}
    more = "\n".join([*(f"{key} {path}" for key, path in files.items()), "require_certificate true"])
    broker = Mosquitto(tmp_path, f"{more}\nallow_anonymous true\nuser root", "mqtts")
    broker.start()
    yield broker, ours
    broker.close()


def mqtt(plant: Plant, client: Pair) -> dict[str, str]:
    files = {"ca": plant[1].file, "certificate": client.certificate, "key": client.key}
    return {"url": plant[0].url, **{name: str(path) for name, path in files.items()}}


def run(box: Box, told: dict[str, str]) -> str:
    """What the agent says; every part has its verdict whatever the broker does."""
    box.settings |= {"mqtt": told, "drain_s": 3}
    agent = box.start()
    _, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode == 0, err
    assert LedgerView.open(box.state).account().delivered == 60
    return str(err)


def test_with_the_right_certificate_everything_is_delivered(box: Box, plant: Plant, tmp_path: Path) -> None:
    store = ConsumerStore(tmp_path / "c.db")
    settings = BrokerSettings.model_validate(mqtt(plant, plant[1].pair("consumer")))
    consumer = Consumer(store, settings, print)
    box.settings |= {"mqtt": mqtt(plant, plant[1].pair("box")), "drain_s": 30}
    agent = box.start()
    while agent.poll() is None:
        consumer.step()
    consumer.stop()
    assert box.end(agent)["ledger"]["acknowledged"] >= 61
    assert [account.delivered for account in store.accounts().values()] == [60]


def test_a_certificate_of_a_stranger_is_refused_and_that_is_said(box: Box, plant: Plant, tmp_path: Path) -> None:
    said = run(box, mqtt(plant, Authority(tmp_path, "stranger").pair("box")))
    assert "refuses our certificate" in said
    assert said.count("refuses our certificate") == 1


def test_a_broker_that_is_a_stranger_is_not_trusted_and_that_is_said(box: Box, plant: Plant, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    said = run(box, {**mqtt(plant, plant[1].pair("box")), "ca": str(stranger.file)})
    assert "we do not trust the broker" in said
