"""Writes verdicts to a controller, each part's once, in order, and not when its part is long gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edgemill_agent.back_off import BackOff
from edgemill_agent.clock import Clock
from edgemill_agent.line.counting import code_of
from edgemill_agent.plc import Plc, PlcError, plc_class
from edgemill_agent.plc.settings import OutputSettings


@dataclass(frozen=True)
class Told:
    """What became of an answer.

    Attributes:
        ms: from the trigger until the controller confirmed it; ``None`` if it did not.
        fault: why not.
    """

    ms: float | None
    fault: str = ""


@dataclass
class _Answer:
    count: int
    decision: str
    safe: bool
    since_ns: int
    told: asyncio.Future[Told]


class Outputs:
    """The points of one controller.

    Args:
        settings: from ``agent.yaml``.
        deadline_ms: the station's, if it has one.
        clock: the box's.
        tell: told of trouble, in words.
    """

    def __init__(
        self, settings: OutputSettings, deadline_ms: int | None, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._good_for_ns = ((deadline_ms or 0) + settings.give_up_ms) * 1_000_000
        self._answers: deque[_Answer] = deque()
        self._wake = asyncio.Event()
        self._states = {"ready": 0, "alarm": 0}
        self._written: dict[str, int] = {}
        self._beats = 0
        self._trouble = ""
        self.answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """What stood at ``number`` before this run wrote there; ``None`` where there is no such point."""

    @property
    def counts(self) -> bool:
        """Whether the controller is told which part a verdict is of."""
        return self._settings.number is not None

    @property
    def trouble(self) -> str:
        """Why the controller takes nothing now, in words; empty if it does."""
        return self._trouble

    def answer(self, count: int, decision: str, safe: bool, since_ns: int) -> asyncio.Future[Told]:
        """Write a part's verdict soon; ``since_ns`` is when its trigger came, by the monotonic clock."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._answers.append(_Answer(count, decision, safe, since_ns, told))
        self._wake.set()
        return told

    def show(self, state: str, on: bool) -> None:
        """Write ``ready`` or ``alarm`` soon."""
        self._states[state] = int(on)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; what is left then is told as not written, and the controller that nobody is ready.

        Raises:
            MissingPartError: the controller's package is not installed.
        """
        plc = plc_class(self._settings.kind)(self._settings.place, self._settings.timeout_ms / 1e3)
        wait = BackOff()
        try:
            while True:
                try:
                    await plc.connect()
                    await self._first_look(plc)
                    self._written.clear()
                    wait.reset()
                    await self._serve(plc)
                except PlcError as error:
                    self._say(str(error))
                    self._give_up_old()
                    await asyncio.sleep(wait.wait_s())
                    self._give_up_old()
        finally:
            self._states.update(ready=0)
            with suppress(PlcError):
                await self._write_states(plc)
            for answer in self._answers:
                _tell(answer, Told(None, "the agent ended before the controller took it"))
            self._answers.clear()
            await plc.close()

    async def _first_look(self, plc: Plc) -> None:
        if not self.answered.done():
            point = self._settings.number
            self.answered.set_result(None if point is None else await plc.read(point))

    async def _serve(self, plc: Plc) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            self._wake.clear()
            while self._give_up_old():
                await self._write_answer(plc, self._answers[0])
            await self._write_states(plc)
            if self._settings.heartbeat is not None and loop.time() >= due:
                due = loop.time() + self._settings.heartbeat_ms / 1e3
                self._beats = (self._beats + 1) & 0xFFFF
                await plc.write({self._settings.heartbeat: self._beats})
            self._trouble = ""
            if not self._wake.is_set():
                await self._wait(max(0.0, due - loop.time()) if self._settings.heartbeat else None)

    async def _wait(self, seconds: float | None) -> None:
        # No wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _write_answer(self, plc: Plc, answer: _Answer) -> None:
        settings, values = self._settings, {}
        if settings.reject is not None:
            values[settings.reject] = int(answer.decision in settings.on)
        if settings.code is not None:
            values[settings.code] = code_of(answer.decision, answer.safe)
        if settings.number is not None:  # last: when it changes, the others are this part's
            values[settings.number] = answer.count
        await plc.write(values)
        self._answers.popleft()
        _tell(answer, Told((self._clock.monotonic_ns() - answer.since_ns) / 1e6))

    async def _write_states(self, plc: Plc) -> None:
        points = {"ready": self._settings.ready, "alarm": self._settings.alarm}
        for state, value in list(self._states.items()):
            point = points[state]
            if point is not None and self._written.get(state) != value:
                await plc.write({point: value})
                self._written[state] = value

    def _give_up_old(self) -> bool:
        """An answer to a part that is gone would meet another part. Says whether others are left."""
        now = self._clock.monotonic_ns()
        while self._answers and now - self._answers[0].since_ns > self._good_for_ns:
            _tell(self._answers.popleft(), Told(None, self._trouble or "the verdict came when the part was gone"))
        return bool(self._answers)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._tell(f"output: {trouble}; it is tried again")
        self._trouble = trouble


def _tell(answer: _Answer, told: Told) -> None:
    if not answer.told.done():
        answer.told.set_result(told)
