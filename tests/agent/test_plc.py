"""Parts by trigger, verdicts to a controller: a real Modbus/TCP and a real OPC UA server, each in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_box import Box, wait_until
from controllers import Controller

from edgemill_agent.ledger import LedgerView
from edgemill_agent.line.counting import SAFE, code_of, counted, parts_between
from edgemill_agent.plc import PlcError, plc_class
from edgemill_agent.settings import read_settings
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind, Record

pytest.importorskip("pymodbus", reason="pip install 'edgemill[plc]'")
PASS, REJECT = 1, 2
SAFE_REJECT = SAFE + REJECT
OUTPUTS = ("reject", "code", "number", "ready", "alarm", "heartbeat")


@pytest.fixture
def controller() -> Iterator[Callable[[str], Controller]]:
    made: list[Controller] = []

    def make(kind: str) -> Controller:
        made.append(Controller(kind))
        return made[-1]

    yield make
    for one in made:
        one.close()


def connect(box: Box, plc: Controller, deadline_ms: int = 2000, **trigger: Any) -> None:
    """The box's station listens and answers to ``plc``."""
    station = box.settings["stations"][0]
    station["deadline_ms"] = deadline_ms
    station["trigger"] = {**plc.place, **(trigger or {"counter": plc.points["counter"]})}
    station["outputs"] = [{**plc.place, "heartbeat_ms": 50, **{name: plc.points[name] for name in OUTPUTS}}]


def ready(plc: Controller, writes: list[Any] | None = None) -> Callable[[], bool]:
    def look() -> bool:
        report = plc.report()
        if writes is not None:
            writes.extend(report["writes"])
        return bool(report["values"]["ready"])

    return look


def answers(writes: list[tuple[int, str, int]]) -> dict[int, tuple[int, int]]:
    """By count: reject and code as they stood when the number was written; no count stands twice."""
    now = {"reject": -1, "code": -1}
    found: dict[int, tuple[int, int]] = {}
    for _, point, value in writes:
        if point in now:
            now[point] = value
        elif point == "number":
            assert value not in found, f"part {value} was answered twice"
            found[value] = (now["reject"], now["code"])
    return found


def records(box: Box, kind: Kind) -> list[Record]:
    view = LedgerView.open(box.state)
    assert view.verify() is None
    return [record for record in view.records() if record.header.kind is kind]


def bodies(box: Box) -> list[dict[str, Any]]:
    return [record.payload.content() for record in records(box, Kind.VERDICT) if record.payload]


@pytest.mark.parametrize("kind", ["modbus", "opcua"])
def test_every_part_is_answered_once_and_rightly(box: Box, controller: Callable[[str], Controller], kind: str) -> None:
    plc = controller(kind)
    connect(box, plc)
    plc.ask(counter=65_500)  # it begins again at 0 on the way
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    plc.ask(parts=60, every_s=0.02)
    account = box.end(agent)
    report = plc.report()
    found = answers([*writes, *report["writes"]])
    counts = [count for _, count in report["parts"]]
    assert list(found) == counts
    kept = bodies(box)
    assert [body["count"] for body in kept] == counts
    for body in kept:
        decision = body["verdict"]["decision"]
        assert found[body["count"]] == (int(decision != "pass"), code_of(decision, safe=False))
        assert 0 < body["ms"] <= body["output_ms"] < 2000
    assert {decision for _, decision in found.values()} == {PASS, REJECT}
    assert report["values"]["ready"] == report["values"]["alarm"] == 0
    assert report["values"]["heartbeat"] > 5
    figures = account["stations"]["cell"]
    assert (figures["verdicts"], figures["late"], figures["missed"], figures["untold"]) == (60, 0, 0, 0)


def test_a_bit_is_a_trigger_too(box: Box, controller: Callable[[str], Controller]) -> None:
    plc = controller("modbus")
    connect(box, plc, bit=plc.points["bit"])
    agent, writes = box.start(), []
    plc.ask(bit=1)  # a part that is there already is none that came
    wait_until(ready(plc, writes), "the station to be ready")
    for count in range(1, 4):
        plc.ask(bit=0)
        time.sleep(0.1)
        plc.ask(bit=1)
        wait_until(lambda count=count: plc.report()["values"]["number"] == count, f"part {count} to be answered")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    agent = box.start()  # it goes on behind what was recorded
    plc.ask(bit=0)
    wait_until(ready(plc, writes), "the station to be ready again")
    plc.ask(bit=1)
    wait_until(lambda: plc.report()["values"]["number"] == 4, "part 4 to be answered")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    assert [body["count"] for body in bodies(box)] == [1, 2, 3, 4]


def test_a_counter_without_a_number_goes_on_behind_the_ledgers_last_count(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc)
    del box.settings["stations"][0]["outputs"][0]["number"]
    agent = box.start()
    wait_until(ready(plc), "the station to be ready")
    plc.ask(parts=3, every_s=0.02)
    wait_until(lambda: box.recorded() == 3, "three records")
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    plc.ask(parts=2, every_s=0.02)
    agent = box.start()
    wait_until(lambda: records(box, Kind.MISSED), "the gap to be declared")
    agent.send_signal(signal.SIGTERM)
    assert box.end(agent)["stations"]["cell"]["missed"] == 2


def test_rejected_parts_are_thrown_out_and_the_ledger_says_so(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc)
    station = box.settings["stations"][0]
    station["trigger"]["encoder"] = plc.points["encoder"]
    station["outputs"][0] |= {
        "busy": plc.points["busy"],
        "eject": {"encoder": plc.points["encoder"], "point": plc.points["eject"], "distance": 800, "window": 250},
    }
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    plc.ask(belt=1000, encoder=65_000)
    plc.ask(parts=20, every_s=0.05)
    frozen = box.kill("cell/engine", signal.SIGSTOP)
    plc.ask(parts=1, every_s=0.01)  # its deadline is 2 s, but the belt is there after 0.8 s
    wait_until(lambda: box.recorded() == 21, "all records")
    os.kill(frozen, signal.SIGCONT)
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    report = plc.report()
    kept = {body["count"]: body for body in bodies(box)}
    rejected = [count for count, body in kept.items() if body["verdict"]["decision"] == "reject"]
    assert 1 < len(rejected) < 21
    assert len(report["ejected"]) == len(rejected)
    for count, at in zip(sorted(rejected), report["ejected"], strict=True):
        assert abs(((at - report["places"][str(count)]) & 0xFFFF) - 800) <= 250
        assert abs(kept[count]["ejected"] - 800) <= 250
    assert "at the ejector before" in kept[21]["verdict"]["reasons"][0]
    assert kept[21]["late"] is True
    assert (account["late"], account["untold"]) == (1, 0)
    assert report["values"]["eject"] == report["values"]["busy"] == 0


def test_a_part_that_slips_past_the_ejector_is_late_and_rings_the_alarm(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc, deadline_ms=100)
    station = box.settings["stations"][0]
    station["trigger"]["encoder"] = plc.points["encoder"]
    place = {"encoder": plc.points["encoder"], "point": plc.points["eject"]}
    station["outputs"][0]["eject"] = {**place, "distance": 800, "window": 50}
    station["hang_ms"] = 1500
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    box.kill("cell/engine", signal.SIGSTOP)
    plc.ask(parts=1, every_s=0.01)
    wait_until(lambda: plc.report()["values"]["number"] == 1, "the safe verdict")
    plc.ask(encoder=20_000)
    wait_until(lambda: plc.report()["values"]["alarm"], "the alarm")
    wait_until(lambda: box.recorded() == 1, "the record")
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    (body,) = bodies(box)
    assert "jumped" in body["output_fault"]
    assert body["late"] is True
    assert "ejected" not in body
    assert (account["late"], account["untold"]) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_frozen_or_killed_engine_costs_no_deadline(
    box: Box, controller: Callable[[str], Controller], number: int
) -> None:
    plc = controller("modbus")
    connect(box, plc, deadline_ms=100)
    box.settings["stations"][0]["hang_ms"] = 1000
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    frozen = box.kill("cell/engine", number)
    plc.ask(parts=10, every_s=0.02)
    wait_until(lambda: len(answers(writes)) == 10 or writes.extend(plc.report()["writes"]), "the safe answers")
    wait_until(lambda: box.processes().get("cell/engine", frozen) != frozen, "another engine")
    wait_until(ready(plc, writes), "the station to be ready again")
    plc.ask(parts=5, every_s=0.05)
    wait_until(lambda: len(answers(writes)) == 15 or writes.extend(plc.report()["writes"]), "the answers after that")
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    found = answers([*writes, *plc.report()["writes"]])
    safe = [count for count, (_, code) in found.items() if code == SAFE_REJECT]
    assert safe[:3] == [1, 2, 3]
    assert all(found[count] == (1, SAFE_REJECT) for count in safe)
    assert found[15][1] in (PASS, REJECT)
    assert any(point == "alarm" and value for _, point, value in writes)
    late = [body for body in bodies(box) if body.get("late")]
    assert len(late) == account["late"] > 0
    assert sorted(body["count"] for body in bodies(box)) == list(range(1, 16))  # recorded as they were ready
    assert all(body["output_ms"] < 350 for body in late)


def test_a_frozen_source_costs_no_deadline_and_mixes_up_no_pictures(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc, deadline_ms=150)
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    time.sleep(0.3)  # for the ring to fill
    frozen = box.kill("cell/source", signal.SIGSTOP)
    plc.ask(parts=12, every_s=0.02)
    wait_until(lambda: len(answers(writes)) == 12 or writes.extend(plc.report()["writes"]), "the safe answers")
    os.kill(frozen, signal.SIGCONT)
    time.sleep(0.5)
    plc.ask(parts=8, every_s=0.03)
    wait_until(lambda: len(answers(writes)) == 20 or writes.extend(plc.report()["writes"]), "the answers after that")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    kept = {body["count"]: body for body in bodies(box)}
    assert sorted(kept) == list(range(1, 21))
    late = [count for count, body in kept.items() if not body["item"]]
    assert late == list(range(5, 13))  # four frames were in the ring
    assert all(answers(writes)[count] == (1, SAFE_REJECT) for count in late)
    pictures = sorted(path.name for path in (box.folder / "pictures").glob("*.png"))
    assert all(kept[count]["item"] == pictures[count - 1] for count in kept if count not in late)


def test_a_killed_line_declares_its_gap_and_answers_nothing_twice(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc)
    box.add_pictures()
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    plc.ask(parts=20, every_s=0.02)
    wait_until(lambda: 20 in answers(writes) or writes.extend(plc.report()["writes"]), "20 answers")
    wait_until(lambda: box.recorded() == 20, "20 records")
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    plc.ask(parts=7, every_s=0.01)
    writes += plc.report()["writes"]
    beat = plc.report()["values"]["heartbeat"]
    time.sleep(0.3)
    assert plc.report()["values"]["heartbeat"] == beat  # what the controller sees of a dead box
    agent = box.start()
    wait_until(lambda: records(box, Kind.MISSED), "the gap to be declared")
    plc.ask(parts=5, every_s=0.05)
    wait_until(lambda: 32 in answers(writes) or writes.extend(plc.report()["writes"]), "answers after the gap")
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    assert list(answers([*writes, *plc.report()["writes"]])) == [*range(1, 21), *range(28, 33)]
    (missed,) = records(box, Kind.MISSED)
    assert missed.payload is not None
    told = missed.payload.content()
    assert (told["first"], told["last"], told["parts"], account["missed"]) == (21, 27, 7, 7)


def test_a_controller_that_goes_and_comes_back(box: Box, controller: Callable[[str], Controller]) -> None:
    plc = controller("modbus")
    connect(box, plc)
    box.add_pictures()
    agent, writes = box.start(), []
    wait_until(ready(plc, writes), "the station to be ready")
    plc.ask(parts=5, every_s=0.02)
    wait_until(lambda: 5 in answers(writes) or writes.extend(plc.report()["writes"]), "5 answers")
    plc.kill()
    time.sleep(0.5)
    plc.start(counter=5)
    wait_until(ready(plc), "the station to be ready again")
    plc.ask(parts=5, every_s=0.02)
    after: list[Any] = []
    wait_until(lambda: 10 in answers(after) or after.extend(plc.report()["writes"]), "answers after that")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    assert list(answers(after)) == [6, 7, 8, 9, 10]
    assert Counter(body["count"] for body in bodies(box)) == Counter(range(1, 11))


@pytest.mark.parametrize("kind", ["modbus", "opcua"])
def test_a_connection_says_what_is_wrong_and_can_be_opened_again(
    controller: Callable[[str], Controller], kind: str
) -> None:
    plc = controller(kind)
    place = {"unit": 1, **plc.place[kind]}

    async def use() -> None:
        one = plc_class(kind)(place, 1.0)
        with pytest.raises(PlcError, match="not connected"):
            await one.read(plc.points["counter"])
        await one.connect()
        assert await one.read(plc.points["counter"]) == 0
        await one.write({plc.points["reject"]: 1, plc.points["number"]: 77})
        assert (await one.read(plc.points["reject"]), await one.read(plc.points["number"])) == (1, 77)
        with pytest.raises(PlcError):
            await one.read({"modbus": "holding 999", "opcua": "ns=2;s=nothing"}[kind])
        plc.kill()
        for _ in range(2):
            with pytest.raises(PlcError):
                await one.write({plc.points["number"]: 78})
        with pytest.raises(PlcError, match="127"):
            await one.connect()
        plc.start(counter=9)
        await one.connect()
        assert await one.read(plc.points["counter"]) == 9
        await one.close()
        await one.close()

    asyncio.run(use())


def test_a_verdict_that_the_controller_does_not_take_is_declared(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    listens, answers_to = controller("modbus"), controller("modbus")
    connect(box, listens, deadline_ms=500)
    box.settings["stations"][0]["outputs"] = [{**answers_to.place, "number": "holding 21", "give_up_ms": 100}]
    agent = box.start()
    wait_until(lambda: "cell/engine" in box.processes(), "the engine")
    wait_until(lambda: records(box, Kind.START), "the engine to be ready")
    time.sleep(0.5)
    os.kill(answers_to.process.pid, signal.SIGSTOP)
    listens.ask(parts=3, every_s=0.02)
    wait_until(lambda: box.recorded() == 3, "the records")
    os.kill(answers_to.process.pid, signal.SIGCONT)
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    assert account["untold"] == 3
    assert all("output_ms" not in body and body["output_fault"] for body in bodies(box))


@pytest.mark.parametrize("bits", [16, 32])
def test_a_counter_is_followed_over_its_end(bits: int) -> None:
    span = 1 << bits
    for last in (0, 1, span // 2, span - 2, span - 1):
        for risen in (0, 1, 2, 999, span // 2 - 1):
            assert parts_between(last, counted(last, risen, bits), bits) == risen
        for back in (1, 2, span // 2):
            assert parts_between(last, (last - back) % span, bits) is None


def test_codes_tell_decisions_and_who_gave_them_apart() -> None:
    codes = [code_of(decision, safe) for decision in ("pass", "reject", "uncertain", "score") for safe in (False, True)]
    assert codes == [1, 9, 2, 10, 3, 11, 4, 12]


def test_the_controllers_product_selects_the_engine_and_it_is_told_when_that_judges(
    box: Box, controller: Callable[[str], Controller]
) -> None:
    plc = controller("modbus")
    connect(box, plc)
    station = box.settings["stations"][0]
    station["trigger"] |= {"product": plc.points["wanted"], "product_ms": 20}
    station["outputs"][0]["product"] = plc.points["product"]
    runtimes = {7: "onnxruntime", 9: "openvino"}
    station["products"] = {code: {"bundle": station["bundle"], "runtime": name} for code, name in runtimes.items()}
    plc.ask(wanted=7)
    agent = box.start()
    for code in (7, 9):
        plc.ask(wanted=code)
        if code == 9:  # its engine dies while it loads: it is tried again, for nobody else judges that product
            wait_until(lambda: "cell/newcomer" in box.processes(), "the other engine to load")
            box.kill("cell/newcomer")
        wait_until(lambda code=code: plc.report()["values"]["product"] == code, f"product {code} to be judged")
        wait_until(ready(plc), "the station to be ready")
        plc.ask(parts=2, every_s=0.05)
    wait_until(lambda: box.recorded() == 4, "four records")
    plc.ask(wanted=8)  # there is no such engine
    wait_until(lambda: not plc.report()["values"]["ready"], "the station not to be ready")
    assert plc.report()["values"]["product"] == 9
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    engines = [body["engine"] for body in bodies(box)]
    assert engines[0] == engines[1] != engines[2] == engines[3]


MODBUS = {"modbus": {"host": "h"}}


@pytest.mark.parametrize(
    ("station", "said"),
    [
        ({"trigger": {**MODBUS, "counter": "register 1"}}, "has a deadline_ms"),
        ({"deadline_ms": 9, "trigger": {"counter": "register 1"}}, "exactly one of: modbus, opcua, mqtt"),
        ({"deadline_ms": 9, "trigger": MODBUS}, "exactly one of: counter, bit"),
        ({"deadline_ms": 9, "trigger": {**MODBUS, "counter": "reg 1"}}, "a point like 'coil 4'"),
        ({"deadline_ms": 9, "trigger": {**MODBUS, "counter": "coil 65536"}}, "a point like 'coil 4'"),
        ({"deadline_ms": 9, "trigger": {"opcua": {"url": "http://x"}, "counter": "i=1"}}, "opc"),
        ({"deadline_ms": 9, "trigger": {"opcua": {"url": "opc.tcp://x"}, "counter": "Line"}}, "a node like"),
        ({"outputs": [MODBUS]}, "name at least one of: reject"),
        ({"outputs": [{**MODBUS, "reject": "input 3"}]}, "a point that can be written"),
        ({"outputs": [{**MODBUS, "code": "holding 3", "number": "holding 3"}]}, "each point has one meaning"),
    ],
)
def test_wrong_points_are_found_before_anything_runs(box: Box, station: dict[str, Any], said: str) -> None:
    box.settings["stations"][0] |= station
    with pytest.raises(SettingsError) as caught:
        read_settings(Path(box.write()))
    assert said in str(caught.value)
