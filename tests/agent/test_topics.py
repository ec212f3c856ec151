"""MQTT as a controller: the embedded broker and mosquitto, killed in between; and what a message means."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from agent_box import Box, wait_until
from brokers import Broker, best_broker, broker_called
from paho.mqtt.enums import CallbackAPIVersion

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import LedgerView
from edgemill_agent.line.topic_trigger import AGAIN_MOST, TopicTrigger
from edgemill_agent.line.tracking import Seen
from edgemill_agent.line.trigger import MOST_AT_ONCE, Handlers
from edgemill_agent.plc import Message, PlcError, messages_class
from edgemill_agent.plc.settings import TriggerSettings
from edgemill_agent.settings import read_settings
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind

PARTS, VERDICTS, STATE = "line3/parts", "line3/verdicts", "line3/verdicts/state"


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = broker_called(request.param, tmp_path) if hasattr(request, "param") else best_broker(tmp_path)
    made.start()
    yield made
    made.close()


BOTH = pytest.mark.parametrize("broker", ["embedded", "mosquitto"], indirect=True)


class Cell:
    """The line's other end: it publishes parts and hears verdicts, and comes back by itself when the broker does."""

    def __init__(self, url: str) -> None:
        self.verdicts: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.up = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "cell", protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(0.1, 0.2)  # type: ignore[arg-type]
        self.client.on_connect, self.client.on_message = self._on_connect, self._on_message
        self.client.on_subscribe = lambda *_: self.up.set()
        self.client.on_disconnect = lambda *_: self.up.clear()
        self.client.connect("127.0.0.1", int(url.rsplit(":", 1)[1]), clean_start=True)
        self.client.loop_start()
        assert self.up.wait(10)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(VERDICTS, 1), (STATE, 1)])

    def _on_message(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        (self.verdicts if message.topic == VERDICTS else self.states).append(json.loads(message.payload))

    def part(self, payload: object, retain: bool = False) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(PARTS, body, 1, retain).wait_for_publish(10)

    def counts(self) -> list[int]:
        return [verdict["count"] for verdict in self.verdicts]

    def ready(self) -> bool:
        return bool(self.states and self.states[-1]["ready"])

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def cell(broker: Broker) -> Iterator[Cell]:
    made = Cell(broker.url)
    yield made
    made.close()


def connect(box: Box, broker: Broker, deadline_ms: int = 2000) -> None:
    station = box.settings["stations"][0]
    place = {"mqtt": {"url": broker.url}, "timeout_ms": 1000}
    station["deadline_ms"] = deadline_ms
    station["trigger"] = {**place, "topic": PARTS}
    station["outputs"] = [{**place, "topic": VERDICTS, "heartbeat_ms": 100}]


def bodies(box: Box, kind: Kind) -> list[dict[str, Any]]:
    view = LedgerView.open(box.state)
    assert view.verify() is None
    return [one.payload.content() for one in view.records() if one.header.kind is kind and one.payload]


def stop(agent: subprocess.Popen[str], box: Box) -> dict[str, Any]:
    agent.send_signal(signal.SIGTERM)
    found: dict[str, Any] = box.end(agent)["stations"]["cell"]
    return found


@BOTH
def test_each_count_once_whatever_comes_twice_or_never_and_whoever_is_killed(
    box: Box, broker: Broker, cell: Cell
) -> None:
    connect(box, broker)
    box.add_pictures()
    cell.part({"count": 999}, retain=True)  # it stands there when the station comes, and is no part
    agent = box.start()
    wait_until(cell.ready, "the station to be ready")
    for count in (1, 2, 2, 3, 1, 6, 6):  # 4 and 5 never come
        cell.part(count if count % 2 else {"count": count})
    wait_until(lambda: len(cell.verdicts) == 6, "six verdicts")
    broker.kill()
    wait_until(lambda: not cell.up.is_set(), "the cell to see that the broker is gone")
    broker.start()
    assert cell.up.wait(20)
    cell.states.clear()
    wait_until(cell.ready, "the station to be ready again")
    for count in (6, 9, 10):  # 7 and 8 were published while the broker was gone
        cell.part({"count": count})
    wait_until(lambda: 10 in cell.counts(), "the last verdict")
    wait_until(lambda: box.recorded() == 10, "ten records")
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    wait_until(lambda: not cell.ready(), "the last will of the dead line")
    cell.states.clear()
    agent = box.start()
    wait_until(cell.ready, "the station to be ready a third time")
    cell.part({"count": 10})
    cell.part({"count": 14})
    wait_until(lambda: 14 in cell.counts(), "a verdict after that")
    account = stop(agent, box)
    wait_until(lambda: not cell.ready(), "the good-bye")
    recorded = Counter(body["count"] for body in bodies(box, Kind.VERDICT))
    assert recorded == Counter([*range(1, 11), 14])
    assert set(cell.counts()) <= set(recorded)
    assert not {count for count, times in Counter(cell.counts()).items() if times > 1}
    (missed,) = bodies(box, Kind.MISSED)
    assert (missed["first"], missed["last"], missed["parts"], account["missed"]) == (11, 13, 3, 3)
    for body in bodies(box, Kind.VERDICT):
        if "output_ms" in body:
            (told,) = [one for one in cell.verdicts if one["count"] == body["count"]]
            assert told["decision"] == body["verdict"]["decision"]
            assert told["safe"] is bool(body.get("late"))
    assert sum("output_ms" in body for body in bodies(box, Kind.VERDICT)) >= 7


def test_messages_without_a_count_are_parts_too_and_get_the_ledgers_number(
    box: Box, broker: Broker, cell: Cell
) -> None:
    connect(box, broker)
    agent = box.start()
    wait_until(cell.ready, "the station to be ready")
    for payload in (b"", b"\xff\xfe", {"lot": "A7"}):
        cell.part(payload)
    wait_until(lambda: len(cell.verdicts) == 3, "three verdicts")
    stop(agent, box)
    assert [told["number"] for told in cell.verdicts] == [1, 2, 3]
    assert all("count" not in told and told["safe"] is False for told in cell.verdicts)


def test_a_verdict_comes_in_time_while_the_engine_is_frozen(box: Box, broker: Broker, cell: Cell) -> None:
    connect(box, broker, deadline_ms=150)
    agent = box.start()
    wait_until(cell.ready, "the station to be ready")
    frozen = box.kill("cell/engine", signal.SIGSTOP)
    cell.part(5)
    wait_until(lambda: cell.verdicts, "the safe verdict")
    os.kill(frozen, signal.SIGCONT)
    (told,) = cell.verdicts
    assert (told["count"], told["decision"], told["safe"]) == (5, "reject", True)
    assert "no verdict within 150 ms" in told["reasons"][0]
    stop(agent, box)
    (body,) = bodies(box, Kind.VERDICT)
    assert body["late"] is True


class Heard:
    """A topic's trigger without a broker, told messages by hand."""

    def __init__(self, answered: int | None = None, **more: Any) -> None:
        self.fired: list[tuple[int | None, int, Seen | None]] = []
        self.missed: list[tuple[int, int, int]] = []
        self.said: list[str] = []
        self.products: list[tuple[int, int]] = []
        settings = TriggerSettings.model_validate({"mqtt": {"url": "mqtt://h"}, "topic": PARTS, **more})
        handlers = Handlers(
            lambda *told: self.fired.append(told),
            lambda first, last, parts, why: self.missed.append((first, last, parts)),
            lambda: None,
            self.said.append,
            lambda code, at_ns: self.products.append((code, at_ns)),
        )
        self.trigger = TopicTrigger(settings, Clock(), handlers)
        self.trigger._answered = answered
        self.now = 0

    def hear(self, *payloads: object) -> Heard:
        for payload in payloads:
            self.now += 1000
            body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            self.trigger.hear(Message(body, self.now))
        return self

    @property
    def counts(self) -> list[int | None]:
        return [count for count, _, _ in self.fired]


def test_lost_messages_are_made_up_for_from_when_the_last_one_came() -> None:
    heard = Heard().hear(7, 10)
    assert heard.fired == [(7, 1000, None), (8, 1000, None), (9, 1000, None), (10, 2000, None)]


def test_what_comes_again_is_no_part_and_a_counter_that_begins_again_is_noticed() -> None:
    heard = Heard().hear(200, 201, 200, 201, 201 - AGAIN_MOST)
    assert heard.counts == [200, 201]
    assert len(heard.said) == 3
    heard.hear(201 - AGAIN_MOST - 1, 102)
    assert heard.counts == [200, 201, 100, 101, 102]
    assert "went back from 201 to 100" in heard.said[3]


def test_a_count_begins_again_behind_its_last_bit() -> None:
    heard = Heard(counter_bits=16).hear(65_534, 65_535, 0, 65_535, 2)
    assert heard.counts == [65_534, 65_535, 0, 1, 2]


def test_more_than_can_be_judged_are_declared() -> None:
    heard = Heard().hear(1, MOST_AT_ONCE + 12)
    assert heard.missed == [(2, 11, 10)]
    assert heard.counts == [1, *range(12, MOST_AT_ONCE + 13)]


@pytest.mark.parametrize(
    ("answered", "first", "missed", "fired"),
    [
        (None, 50, [], [50]),
        (50, 50, [], []),
        (50, 49, [], []),
        (50, 51, [], [51]),
        (50, 60, [(51, 59, 9)], [60]),
        (65_535, 65_538, [(65_536, 65_537, 2)], [65_538]),
        (50_000, 3, [], [3]),
    ],
)
def test_a_start_declares_what_came_since_the_last_answer(
    answered: int | None, first: int, missed: list[Any], fired: list[int]
) -> None:
    heard = Heard(answered).hear(first)
    assert (heard.missed, heard.counts) == (missed, fired)


def test_encoder_and_product_come_with_the_message() -> None:
    heard = Heard().hear({"count": 1, "product": 7, "encoder": 512}, {"product": 7}, {"product": 9, "part": False}, 2)
    assert heard.products == [(7, 1000), (9, 3000)]
    assert heard.fired == [(1, 1000, Seen(512, 0, 1000)), (None, 2000, None), (2, 4000, None)]


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[" * 100_000, b"true", b"-1", b"1.5", b'{"count": "3"}', b"\xff", b"[1]"]
)
def test_whatever_a_message_says_it_is_a_part(payload: bytes) -> None:
    assert Heard().hear(payload).counts == [None]


def test_a_connection_says_what_is_wrong(broker: Broker) -> None:
    place = {"url": broker.url}

    async def use() -> None:
        one = messages_class("mqtt")(place, 1.0)
        with pytest.raises(PlcError, match="not connected"):
            await one.next()
        await one.connect(listen=PARTS)
        await one.send(PARTS, b"1")
        assert (await asyncio.wait_for(one.next(), 5)).payload == b"1"
        waits = asyncio.ensure_future(one.next())
        await asyncio.sleep(0)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(PlcError, match="disconnected"):
            await asyncio.wait_for(waits, 5)
        for _ in range(2):
            with pytest.raises(PlcError):
                await asyncio.wait_for(one.send(PARTS, b"2"), 5)
            with pytest.raises(PlcError):
                await asyncio.wait_for(one.next(), 5)
        with pytest.raises(PlcError, match=r"127\.0\.0\.1"):
            await asyncio.wait_for(one.connect(), 10)
        await asyncio.to_thread(broker.start)
        await one.connect(listen=PARTS)
        await one.send(PARTS, b"3")
        assert (await asyncio.wait_for(one.next(), 5)).payload == b"3"
        await one.close()
        await one.close()

    asyncio.run(use())
    wait_until(lambda: not [one for one in threading.enumerate() if "paho" in one.name], "paho's threads to end")


def test_a_frozen_broker_holds_up_nothing(broker: Broker) -> None:
    process = broker._process  # type: ignore[attr-defined]

    async def use() -> None:
        one = messages_class("mqtt")({"url": broker.url}, 0.2)
        await one.connect()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(PlcError, match="no answer in time"):
                await one.send(VERDICTS, b"x")
            await one.close()
            assert time.monotonic() - began < 3
        finally:
            os.kill(process.pid, signal.SIGCONT)

    asyncio.run(use())


def test_nobody_who_listens_is_said_where_the_broker_says_so(tmp_path: Path) -> None:
    broker = broker_called("mosquitto", tmp_path)
    broker.start()

    async def use() -> None:
        one, other = (messages_class("mqtt")({"url": broker.url}, 2.0) for _ in range(2))
        await one.connect()
        assert not await one.send(VERDICTS, b"x")
        await other.connect(listen=VERDICTS)
        assert await one.send(VERDICTS, b"x")
        await one.close()
        await other.close()

    try:
        asyncio.run(use())
    finally:
        broker.close()


def test_the_line_holds_no_native_runtime_and_no_http_for_it() -> None:
    told = (
        "import sys, edgemill_agent.line.line, edgemill_agent.plc.mqtt;"
        "heavy = {'cv2', 'onnxruntime', 'openvino', 'torch', 'fastapi', 'uvicorn', 'prometheus_client', 'pymodbus'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


MQTT = {"mqtt": {"url": "mqtt://h"}}


@pytest.mark.parametrize(
    ("station", "said"),
    [
        ({"deadline_ms": 9, "trigger": MQTT}, "mqtt needs a topic"),
        ({"deadline_ms": 9, "trigger": {**MQTT, "topic": "line/+"}}, "one topic like"),
        ({"deadline_ms": 9, "trigger": {**MQTT, "topic": "a", "counter": "register 1"}}, "mqtt has no counter"),
        ({"deadline_ms": 9, "trigger": {"modbus": {"host": "h"}, "topic": "a"}}, "modbus has no topic"),
        ({"outputs": [{**MQTT, "topic": "a", "reject": "coil 1"}]}, "mqtt has no reject"),
        ({"outputs": [{**MQTT, "topic": "a", "state": "a"}]}, "each a topic of their own"),
        ({"outputs": [{"modbus": {"host": "h"}, "code": "holding 1", "taken": "input 1"}]}, "name both"),
        (
            {"outputs": [{"modbus": {"host": "h"}, "eject": {"encoder": "register 1", "distance": 9, "window": 1}}]},
            "this key",
        ),
        (
            {
                "deadline_ms": 9,
                "trigger": {"modbus": {"host": "h"}, "counter": "register 1"},
                "outputs": [
                    {
                        "modbus": {"host": "h"},
                        "eject": {"encoder": "register 2", "distance": 9, "window": 1, "point": "coil 1"},
                    }
                ],
            },
            "eject needs a trigger with an encoder",
        ),
        (
            {
                "outputs": [
                    {
                        "modbus": {"host": "h"},
                        "eject": {"encoder": "register 2", "distance": 32_760, "window": 9, "point": "coil 1"},
                    }
                ]
            },
            "less than half of an encoder of 16 bits",
        ),
    ],
)
def test_wrong_settings_are_found_before_anything_runs(box: Box, station: dict[str, Any], said: str) -> None:
    box.settings["stations"][0] |= station
    with pytest.raises(SettingsError) as caught:
        read_settings(Path(box.write()))
    assert said in str(caught.value)


def test_paths_of_certificates_are_relative_to_the_settings(box: Box) -> None:
    secure = {"mqtt": {"url": "mqtts://h", "ca": "ca.pem"}, "topic": "a"}
    box.settings["stations"][0] |= {"deadline_ms": 9, "trigger": secure, "outputs": [secure]}
    (station,) = read_settings(Path(box.write())).stations
    assert station.trigger is not None
    for found in (station.trigger.mqtt, station.outputs[0].mqtt):
        assert found is not None
        assert found.ca == box.folder / "ca.pem"
