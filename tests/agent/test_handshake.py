"""Ready, busy, valid and taken, the belt's encoder and the product, on real Modbus/TCP and OPC UA servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from controllers import Controller

from edgemill_agent.clock import Clock
from edgemill_agent.line.controllers import outputs_for, trigger_for
from edgemill_agent.line.handshake import Handshake, Step
from edgemill_agent.line.outputs import Answer, Outputs, Owed, Told
from edgemill_agent.line.plc_outputs import PlcOutputs
from edgemill_agent.line.tracking import Seen
from edgemill_agent.line.trigger import Handlers, Trigger
from edgemill_agent.plc import plc_class
from edgemill_agent.plc.points import modbus_runs
from edgemill_agent.plc.settings import OutputSettings, TriggerSettings

pytest.importorskip("pymodbus", reason="pip install 'edgemill[plc]'")
KINDS = pytest.mark.parametrize("kind", ["modbus", "opcua"])
PARTS = ("reject", "code", "number", "valid")


class Line:
    """A trigger and outputs in this process, with the controller in another."""

    def __init__(self, plc: Controller) -> None:
        self.plc = plc
        self.said: list[str] = []
        self.fired: list[tuple[int | None, int, Seen | None]] = []
        self.products: list[int] = []
        self.missed: list[tuple[int, int, int, str]] = []
        self.writes: list[tuple[str, int]] = []
        self.ejected: list[int] = []
        self.places: dict[int, int] = {}
        self.judge: Callable[[int | None, int, Seen | None], None] = lambda *_: None

    def outputs(self, deadline_ms: int = 1000, **more: Any) -> Outputs:
        names = more.pop("points", PARTS)
        points = {name: self.plc.points[name] for name in names}
        settings = OutputSettings.model_validate({**self.plc.place, "timeout_ms": 3000, **points, **more})
        return outputs_for(settings, deadline_ms, Clock(), self.said.append)

    def trigger(self, **more: Any) -> Trigger:
        points = {"counter": self.plc.points["counter"], "product": self.plc.points["wanted"], "product_ms": 10}
        settings = TriggerSettings.model_validate({**self.plc.place, "timeout_ms": 3000, **points, **more})
        handlers = Handlers(
            self._fired,
            lambda *told: self.missed.append(told),
            lambda: None,
            self.said.append,
            lambda code, at_ns: self.products.append(code),
        )
        return trigger_for(settings, Clock(), handlers)

    def _fired(self, count: int | None, since_ns: int, seen: Seen | None) -> None:
        self.fired.append((count, since_ns, seen))
        self.judge(count, since_ns, seen)

    async def look(self) -> dict[str, int]:
        """What stands at the controller's points; what was written since is noted."""
        found = await asyncio.to_thread(self.plc.report)
        self.writes += [(point, value) for _, point, value in found["writes"]]
        self.ejected += found["ejected"]
        self.places = {int(count): place for count, place in found["places"].items()}
        values: dict[str, int] = found["values"]
        return values

    async def wait_for(self, **values: int) -> None:
        async def so() -> bool:
            now = await self.look()
            return all(now[point] == value for point, value in values.items())

        await until(so, str(values))

    def written(self, *points: str) -> list[tuple[str, int]]:
        return [(point, value) for point, value in self.writes if point in points]

    async def ask(self, **command: Any) -> None:
        await asyncio.to_thread(self.plc.ask, **command)


@asynccontextmanager
async def running(*what: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in what]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(so: Callable[[], Awaitable[object]], what: str) -> None:
    end = time.monotonic() + 30
    while not await so():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


def tell(outputs: Outputs, count: int, decision: str = "pass") -> asyncio.Future[Told]:
    outputs.expect(None, lambda: None)
    return outputs.answer(Answer(count, count, decision, False, (), time.monotonic_ns()), None)


@pytest.fixture(scope="module")
def controllers() -> Iterator[dict[str, Controller]]:
    """One of a kind for all tests: an OPC UA server takes seconds to start."""
    made: dict[str, Controller] = {}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def line(kind: str, controllers: dict[str, Controller]) -> Line:
    if kind not in controllers:
        controllers[kind] = Controller(kind)
    controllers[kind].ask(reset=True)
    return Line(controllers[kind])


@pytest.fixture
def kind() -> str:
    return "modbus"


@KINDS
def test_four_steps_hand_over_each_answer_once(line: Line, kind: str) -> None:
    async def use() -> None:
        outputs = line.outputs(taken=line.plc.points["taken"])
        async with running(outputs.run()):
            told = [tell(outputs, count, "reject" if count == 2 else "pass") for count in (1, 2, 3)]
            assert all(one.ms is not None and not one.fault for one in await asyncio.gather(*told))
            await line.wait_for(valid=0, taken=0)
        each = [step for count in (1, 2, 3) for step in (("number", count), ("valid", 1), ("valid", 0))]
        assert line.written("number", "valid")[1:] == each  # first it takes back what may stand there
        assert line.written("reject") == [("reject", 0), ("reject", 1), ("reject", 0)]

    asyncio.run(use())


@KINDS
def test_an_answer_that_is_not_taken_is_declared_and_the_next_one_has_its_turn(line: Line, kind: str) -> None:
    async def use() -> None:
        await line.ask(takes="never")
        outputs = line.outputs(taken=line.plc.points["taken"], taken_ms=60)
        async with running(outputs.run()):
            first = await tell(outputs, 1)
            assert (first.ms, first.fault) == (None, "the controller did not take it within 60 ms")
            await line.ask(takes="at once")
            assert (await tell(outputs, 2)).ms is not None
        await line.look()
        assert line.written("number") == [("number", 1), ("number", 2)]
        assert any("part 1: the controller did not take it" in said for said in line.said)

    asyncio.run(use())


@KINDS
def test_a_taken_that_stays_holds_up_answers_until_they_are_too_old(line: Line, kind: str) -> None:
    async def use() -> None:
        await line.ask(takes="stuck")
        outputs = line.outputs(
            300, taken=line.plc.points["taken"], taken_ms=50, give_up_ms=0, heartbeat=line.plc.points["heartbeat"]
        )
        async with running(outputs.run()):
            assert (await tell(outputs, 1)).ms is not None
            second = await tell(outputs, 2)
            assert "does not take it back" in second.fault
            assert sum("does not take it back" in said for said in line.said) == 1
            beats = (await line.look())["heartbeat"]
            await until(lambda: later(line, beats), "the heart to beat on")
            await line.ask(takes="at once", taken=0)
            assert (await tell(outputs, 3)).ms is not None
        await line.look()
        assert line.written("number") == [("number", 1), ("number", 3)]

    asyncio.run(use())


async def later(line: Line, beats: int) -> bool:
    return (await line.look())["heartbeat"] > beats


def test_a_controller_that_dies_with_an_answer_in_its_hands_is_offered_it_again(line: Line) -> None:
    async def use() -> None:
        await line.ask(takes="never")
        outputs = line.outputs(10_000, taken=line.plc.points["taken"], taken_ms=20_000)
        async with running(outputs.run()):
            first, second = tell(outputs, 1, "reject"), tell(outputs, 2)
            await line.wait_for(number=1, valid=1)
            line.plc.kill()
            await asyncio.sleep(0.2)
            line.plc.start()
            assert (await first).ms is not None
            assert (await second).ms is not None
        line.writes.clear()
        await line.look()
        assert line.written("number") == [("number", 1), ("number", 2)]
        assert line.written("reject") == [("reject", 1), ("reject", 0)]

    asyncio.run(use())


def test_a_controller_that_never_comes_back_is_not_waited_for(line: Line) -> None:
    async def use() -> None:
        await line.ask(takes="never")
        outputs = line.outputs(100, taken=line.plc.points["taken"], taken_ms=100, give_up_ms=100)
        async with running(outputs.run()):
            first, second = tell(outputs, 1), tell(outputs, 2)
            await line.wait_for(number=1, valid=1)
            line.plc.kill()
            for one in (first, second):
                told = await asyncio.wait_for(one, 10)
                assert told.ms is None
                assert told.fault
        line.plc.start()

    asyncio.run(use())


@KINDS
def test_without_taken_valid_changes_with_each_answer_and_goes_on_from_what_stands_there(line: Line, kind: str) -> None:
    async def use() -> None:
        for counts in ((1, 2, 3), (4, 5)):
            outputs = line.outputs()
            async with running(outputs.run()):
                for count in counts:
                    await tell(outputs, count)
        await line.look()
        assert line.written("valid") == [("valid", value) for value in (1, 0, 1, 0, 1)]

    asyncio.run(use())


def test_an_answer_that_was_written_without_our_knowing_is_no_second_one(line: Line) -> None:
    """The confirmation is lost, so it is written again: the toggling bit must not change twice."""

    async def use() -> None:
        outputs, owed = line.outputs(), Owed(Answer(7, 7, "pass", False, (), 0))
        assert isinstance(outputs, PlcOutputs)
        for _ in range(2):
            await outputs._connect()
            await outputs._plc.write(outputs._values(owed))
        await outputs._close()
        await line.look()
        first, second = line.written("valid")
        assert first == second

    asyncio.run(use())


@KINDS
def test_busy_ready_alarm_and_product_are_shown(line: Line, kind: str) -> None:
    async def use() -> None:
        outputs = line.outputs(points=("busy", "ready", "alarm", "product"))
        async with running(outputs.run()):
            outputs.show("ready", 1)
            outputs.show("product", 7)
            for _ in range(2):
                outputs.expect(None, lambda: None)
            await line.wait_for(busy=1, ready=1, product=7, alarm=0)
            for count in (1, 2):
                told = outputs.answer(Answer(count, count, "pass", False, (), time.monotonic_ns()), None)
                assert await told == Told(None)  # there is no point for it, and that is no fault
            await line.wait_for(busy=0)
            outputs.show("alarm", 1)
            await line.wait_for(alarm=1, product=7)
        values = await line.look()
        assert (values["ready"], values["busy"]) == (0, 0)
        assert line.written("busy")[-3:] == [("busy", 1), ("busy", 0), ("busy", 0)]  # the last one is the good-bye

    asyncio.run(use())


@KINDS
def test_counter_encoder_and_product_are_read_in_one_look(line: Line, kind: str) -> None:
    async def use() -> None:
        await line.ask(counter=65_530, encoder=65_000, wanted=3)
        trigger = line.trigger(encoder=line.plc.points["encoder"])
        async with running(trigger.run(None)):
            await until(lambda: connected(trigger), "the trigger")
            assert line.products == [3]
            await line.ask(belt=2000, wanted=4)
            await line.ask(parts=20, every_s=0.02)
            await until(lambda: came(line, 20), "20 parts")
            await line.look()
        assert [count for count, _, _ in line.fired] == list(line.places)
        assert line.products == [3, 4]
        for count, _, seen in line.fired:
            assert count is not None
            assert seen is not None
            late = (seen.encoder - line.places[count]) & 0xFFFF
            assert late <= seen.spread + 4  # two steps of the controller's belt

    asyncio.run(use())


async def connected(trigger: Trigger) -> bool:
    return trigger.connected


async def came(line: Line, parts: int) -> bool:
    return len(line.fired) == parts


@KINDS
def test_rejected_parts_are_thrown_out_where_the_belt_carried_them(line: Line, kind: str) -> None:
    distance, window = 600, 150

    async def use() -> None:
        await line.ask(encoder=65_200, belt=1500)
        eject = {"encoder": line.plc.points["encoder"], "point": line.plc.points["eject"], "pulse_ms": 20}
        outputs = line.outputs(eject={**eject, "distance": distance, "window": window, "fastest": 3000})
        trigger = line.trigger(encoder=line.plc.points["encoder"])
        told = []

        def judge(count: int | None, since_ns: int, seen: Seen | None) -> None:
            followed = outputs.expect(seen, lambda: None)
            decision = "reject" if count in (1, 2, 5) else "pass"
            told.append(outputs.answer(Answer(count, count, decision, False, (), since_ns), followed))

        line.judge = judge
        async with running(trigger.run(None), outputs.run()):
            await until(lambda: connected(trigger), "the trigger")
            await line.ask(parts=6, every_s=0.15)
            await until(lambda: came(line, 6), "6 parts")
            results = await asyncio.gather(*told)
            await line.wait_for(eject=0)
        assert [one.went is not None for one in results] == [True, True, False, False, True, False]
        assert not any(one.fault for one in results)
        assert len(line.ejected) == 3
        for count, at in zip((1, 2, 5), line.ejected, strict=True):
            assert abs(((at - line.places[count]) & 0xFFFF) - distance) <= window
        # Once at the beginning, because nobody knows what stood there.
        assert line.written("eject") == [("eject", value) for value in (0, 1, 0, 1, 0, 1, 0)]

    asyncio.run(use())


def test_a_part_at_the_ejector_without_a_verdict_is_decided_there(line: Line) -> None:
    async def use() -> None:
        eject = {"encoder": line.plc.points["encoder"], "point": line.plc.points["eject"]}
        outputs = line.outputs(eject={**eject, "distance": 200, "window": 100})
        decided: list[asyncio.Future[Told]] = []

        def decide() -> None:
            answer = Answer(1, 1, "reject", True, (), time.monotonic_ns())
            decided.append(outputs.answer(answer, followed))

        async with running(outputs.run()):
            followed = outputs.expect(Seen(0, 0, time.monotonic_ns()), decide)
            await line.ask(belt=1000)
            await until(lambda: some(decided), "the ejector's decision")
            told = await decided[0]
        await line.look()
        assert told.went is not None
        assert 100 <= told.went <= 300
        assert len(line.ejected) == len(decided) == 1

    asyncio.run(use())


async def some(found: list[Any]) -> bool:
    return bool(found)


def test_a_part_that_passed_while_the_encoder_could_not_be_read_is_declared(line: Line) -> None:
    async def use() -> None:
        eject = {"encoder": line.plc.points["encoder"], "point": line.plc.points["eject"]}
        outputs = line.outputs(eject={**eject, "distance": 200, "window": 50, "fastest": 5000})
        async with running(outputs.run()):
            followed = outputs.expect(Seen(0, 0, time.monotonic_ns()), lambda: None)
            told = outputs.answer(Answer(1, 1, "reject", False, (), time.monotonic_ns()), followed)
            await line.wait_for(number=1)
            line.plc.kill()
            line.plc.start()
            await line.ask(encoder=400)
            result = await asyncio.wait_for(told, 20)
        assert (result.went, result.gone) == (None, True)
        assert "beyond the ejector" in result.fault or "jumped" in result.fault, "as the first look falls"
        assert result.ms is not None  # the verdict itself was taken
        await line.look()
        assert not line.ejected

    asyncio.run(use())


def test_a_belt_that_stands_still_at_the_end_leaves_its_part_declared(line: Line) -> None:
    async def use() -> None:
        eject = {"encoder": line.plc.points["encoder"], "point": line.plc.points["eject"]}
        outputs = line.outputs(eject={**eject, "distance": 200, "window": 50})
        async with running(outputs.run()):
            followed = outputs.expect(Seen(0, 0, time.monotonic_ns()), lambda: None)
            told = outputs.answer(Answer(1, 1, "reject", False, (), time.monotonic_ns()), followed)
            await line.wait_for(number=1)
        result = await asyncio.wait_for(told, 5)
        assert (result.gone, result.fault) == (True, "the agent ended before it was at the ejector")

    asyncio.run(use())


WRONG = {
    "modbus": {"nowhere": "holding 999"},
    "opcua": {"nowhere": "ns=2;s=nothing", "of words": "ns=2;s=text"},
}


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, found in WRONG.items() for what in found])
def test_a_wrong_point_is_named_and_tried_again_and_nothing_hangs(line: Line, kind: str, what: str) -> None:
    point = WRONG[kind][what]

    async def use() -> None:
        outputs = line.outputs(200, points=("reject",), give_up_ms=50, code=point)
        trigger = line.trigger(encoder=point)
        async with running(outputs.run(), trigger.run(None)):
            told = await asyncio.wait_for(tell(outputs, 1), 10)
            assert told.ms is None
            assert point in told.fault
            await until(lambda: both_said(line, point), "both to say what is wrong")
        assert not trigger.connected
        assert len(line.said) == len(set(line.said)) == 2  # tried again and again, said once

    asyncio.run(use())


async def both_said(line: Line, point: str) -> bool:
    return all(any(said.startswith(who) and point in said for said in line.said) for who in ("trigger", "output"))


def test_the_handshake_in_whole_numbers() -> None:
    shake = Handshake(100)
    assert (shake.valid, shake.free) == (0, False)  # an answer of an earlier run may be there
    assert shake.look(True, 0) is None
    assert shake.look(True, 100) is None
    assert shake.look(True, 101) is Step.STUCK
    assert shake.look(True, 500) is None
    assert shake.look(False, 501) is None
    assert shake.free
    shake.offer(1000)
    assert (shake.valid, shake.free) == (1, False)
    assert shake.look(False, 1100) is None
    assert shake.look(False, 1101) is Step.NOT_TAKEN
    assert (shake.valid, shake.free) == (0, False)
    assert shake.look(False, 1102) is None
    shake.offer(2000)
    assert shake.look(True, 9000) is Step.TAKEN  # late, but taken
    assert shake.look(True, 9001) is None
    assert not shake.free


def test_as_few_requests_as_there_can_be() -> None:
    runs = modbus_runs({"register 12": 16, "register 10": 32, "holding 3": 16, "coil 2": 16, "register 14": 16})
    assert [(run.area, run.first, run.count) for run in runs] == [
        ("coil", 2, 1),
        ("holding", 3, 1),
        ("register", 10, 3),
        ("register", 14, 1),
    ]
    assert runs[2].split([1, 2, 3], low_word_first=False) == {"register 10": 0x10002, "register 12": 3}
    assert runs[2].split([1, 2, 3], low_word_first=True) == {"register 10": 0x20001, "register 12": 3}


@pytest.mark.parametrize(("low_first", "value"), [(False, 0x10002), (True, 0x20001)])
def test_a_number_of_two_registers_is_read_whole(line: Line, low_first: bool, value: int) -> None:
    place = {"unit": 1, **line.plc.place["modbus"], "low_word_first": low_first}

    async def use() -> None:
        await line.ask(counter=1, encoder=2)
        one = plc_class("modbus")(place, 3.0)
        await one.connect()
        assert await one.read_all({"register 10": 32, "input 3": 16}) == {"register 10": value, "input 3": 0}
        await one.write({"holding 20": 5, "holding 21": 70_000, "coil 4": 1})  # the first two in one request
        assert await one.read_all({"holding 21": 16, "holding 20": 16}) == {
            "holding 20": 5,
            "holding 21": 70_000 & 0xFFFF,
        }
        await one.close()

    asyncio.run(use())
