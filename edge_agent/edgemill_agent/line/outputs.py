"""What all outputs have in common: verdicts in their order, each part's once, and not when its part is long gone."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from edgemill_agent.back_off import BackOff
from edgemill_agent.clock import Clock
from edgemill_agent.line.ejector import Followed
from edgemill_agent.line.tracking import Seen
from edgemill_agent.plc import PlcError
from edgemill_agent.plc.settings import OutputSettings


@dataclass(frozen=True)
class Told:
    """What became of an answer.

    Attributes:
        ms: from the trigger until the controller confirmed it; ``None`` if it did not, or was not to be told.
        fault: what went wrong.
        went: counts that the belt had carried the part when it was thrown out.
        gone: it ought to have been thrown out, and was not.
    """

    ms: float | None
    fault: str = ""
    went: int | None = None
    gone: bool = False


@dataclass(frozen=True)
class Answer:
    """A part's verdict, as it is to be told.

    Attributes:
        count: the controller's; ``None`` where nothing counts.
        number: the ledger's; ``None`` if there is none yet.
        decision: of the verdict.
        safe: it is none of an engine's, but of the clock or a fault.
        reasons: of the verdict.
        since_ns: when the part's trigger came, by the monotonic clock.
    """

    count: int | None
    number: int | None
    decision: str
    safe: bool
    reasons: Sequence[str]
    since_ns: int


@dataclass(eq=False)
class Owed:
    """An answer that was not told yet.

    Attributes:
        answer: that is to be told.
        told: what became of it.
        valid: what the toggling bit became with the first try to write it.
    """

    answer: Answer
    told: asyncio.Future[Told] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    valid: int | None = None

    def tell(self, told: Told) -> None:
        """Once."""
        if not self.told.done():
            self.told.set_result(told)


class Outputs(ABC):
    """One controller that is told verdicts.

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
        self._owed: deque[Owed] = deque()
        self._wake = asyncio.Event()
        self._states = {"ready": 0, "alarm": 0, "busy": 0, "product": 0}
        self._trouble = ""
        self.answered: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """What stood at ``number`` before this run wrote there; ``None`` where there is no such point."""

    @property
    def counts(self) -> bool:
        """Whether the controller is told which part a verdict is of, and can say so after a start."""
        return self._settings.number is not None

    @property
    def trouble(self) -> str:
        """Why the controller takes nothing now, in words; empty if it does."""
        return self._trouble

    def expect(self, seen: Seen | None, decide: Callable[[], None]) -> Followed | None:  # noqa: ARG002
        """A part is under way.

        Args:
            seen: where the belt was.
            decide: gives the part the safe verdict, if it is at the ejector before it has one.
        """
        self.show("busy", self._states["busy"] + 1)
        return None

    def answer(self, answer: Answer, followed: Followed | None) -> asyncio.Future[Told]:  # noqa: ARG002
        """Tell a part's verdict soon; ``followed`` is what ``expect`` gave."""
        owed = Owed(answer)
        owed.told.add_done_callback(lambda _: self.show("busy", max(0, self._states["busy"] - 1)))
        self._owed.append(owed)
        self._wake.set()
        return owed.told

    def show(self, state: str, value: int) -> None:
        """Tell ``ready``, ``alarm`` (0 or 1), ``busy`` (parts under way) or ``product`` (its code) soon."""
        if self._states[state] != int(value):
            self._states[state] = int(value)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled; what is left then is told as not written, and the controller that nobody is ready.

        Raises:
            MissingPartError: the controller's package is not installed.
        """
        wait = BackOff()
        try:
            while True:
                try:
                    await self._connect()
                    wait.reset()
                    await self._serve()
                except PlcError as error:
                    self._say(str(error))
                    self._give_up_old()
                    await asyncio.sleep(wait.wait_s())
                    self._give_up_old()
        finally:
            self._states.update(ready=0, busy=0)
            with suppress(PlcError):
                await self._say_good_bye()
            for owed in self._owed:
                owed.tell(Told(None, "the agent ended before the controller took it"))
            self._owed.clear()
            await self._close()

    @abstractmethod
    async def _connect(self) -> None:
        """Raises ``PlcError``."""

    @abstractmethod
    async def _serve(self) -> None:
        """Until the connection breaks; raises ``PlcError``."""

    @abstractmethod
    async def _say_good_bye(self) -> None:
        """Tell states for the last time; raises ``PlcError``."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connection."""

    async def _wait(self, until_ns: int | None) -> None:
        """Until something is to be told, or the monotonic clock is there."""
        if self._wake.is_set():
            return
        # No wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        timer = None
        if until_ns is not None:
            left = max(0, until_ns - self._clock.monotonic_ns()) / 1e9
            timer = asyncio.get_running_loop().call_later(left, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _confirmed(self, owed: Owed) -> None:
        owed.tell(Told((self._clock.monotonic_ns() - owed.answer.since_ns) / 1e6))

    def _give_up_old(self) -> bool:
        """An answer to a part that is gone would meet another part. Says whether others are left."""
        now = self._clock.monotonic_ns()
        while self._owed and now - self._owed[0].answer.since_ns > self._good_for_ns:
            self._owed.popleft().tell(Told(None, self._trouble or "the verdict came when the part was gone"))
        return bool(self._owed)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._tell(f"output: {trouble}; it is tried again")
        self._trouble = trouble
