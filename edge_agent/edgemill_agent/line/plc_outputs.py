"""Writes verdicts and states to a controller's points."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgemill_agent.clock import Clock
from edgemill_agent.line.counting import code_of
from edgemill_agent.line.ejector import Ejected, Ejector, Followed
from edgemill_agent.line.handshake import Handshake, Step
from edgemill_agent.line.outputs import Answer, Outputs, Owed, Told
from edgemill_agent.line.tracking import Seen
from edgemill_agent.plc import plc_class
from edgemill_agent.plc.settings import OutputSettings

_TAKEN_LOOK_NS = 5_000_000


class PlcOutputs(Outputs):
    """The points of one controller. See ``Outputs``."""

    def __init__(
        self, settings: OutputSettings, deadline_ms: int | None, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        super().__init__(settings, deadline_ms, clock, tell)
        self._plc = plc_class(settings.kind)(settings.place, settings.timeout_ms / 1e3)
        self._ejector = Ejector(settings.eject, clock) if settings.eject else None
        self._handshake = Handshake(settings.taken_ms * 1_000_000) if settings.taken else None
        self._offered: Owed | None = None
        self._valid = 0
        self._written: dict[str, int] = {}
        self._beats = self._beat_at_ns = 0

    def expect(self, seen: Seen | None, decide: Callable[[], None]) -> Followed | None:
        """See ``Outputs``."""
        super().expect(seen, decide)
        return self._ejector.expect(seen, decide) if self._ejector else None

    def answer(self, answer: Answer, followed: Followed | None) -> asyncio.Future[Told]:
        """See ``Outputs``. With an ejector a rejected part is done with when it was thrown out."""
        told = super().answer(answer, followed)
        if self._ejector is None or followed is None:
            return told
        reject = answer.decision in self._settings.on
        self._ejector.judge(followed, reject)
        return asyncio.ensure_future(_both(told, followed.told)) if reject else told

    async def _connect(self) -> None:
        await self._plc.connect()
        await self._first_look()
        self._written.clear()
        if self._ejector:
            self._ejector.unknown()

    async def _first_look(self) -> None:
        settings = self._settings
        if not self.answered.done():
            self.answered.set_result(None if settings.number is None else await self._plc.read(settings.number))
        if settings.valid is not None and self._handshake is None:
            # It goes on from what stands there: one that was set back would look like an answer.
            self._valid = int(bool(await self._plc.read(settings.valid)))
        if self._offered is not None and not await self._is_taken():
            await self._plc.write(self._values(self._offered))

    async def _serve(self) -> None:
        while True:
            self._wake.clear()
            await self._shake_hands()
            while self._give_up_old() and self._may_answer():
                await self._write_answer(self._owed[0])
            await self._write_states()
            await self._beat()
            if self._ejector:
                await self._ejector.turn(self._plc)
            self._recover()
            await self._wait(self._due_ns())

    def _recover(self) -> None:
        if self._handshake is None or self._handshake.free or self._handshake.offered:
            self._trouble = ""

    def _due_ns(self) -> int | None:
        waits = self._handshake is not None and not self._handshake.free
        dues = (
            self._beat_at_ns if self._settings.heartbeat else None,
            self._ejector.due_ns if self._ejector else None,
            self._clock.monotonic_ns() + _TAKEN_LOOK_NS if waits else None,
        )
        return min((due for due in dues if due is not None), default=None)

    async def _beat(self) -> None:
        now = self._clock.monotonic_ns()
        if self._settings.heartbeat is not None and now >= self._beat_at_ns:
            self._beat_at_ns = now + self._settings.heartbeat_ms * 1_000_000
            self._beats = (self._beats + 1) & 0xFFFF
            await self._plc.write({self._settings.heartbeat: self._beats})

    def _may_answer(self) -> bool:
        return self._handshake is None or self._handshake.free

    async def _write_answer(self, owed: Owed) -> None:
        values = self._values(owed)
        if values:
            await self._plc.write(values)
        self._owed.popleft()
        if self._handshake is not None:
            self._handshake.offer(self._clock.monotonic_ns())
            self._offered = owed
            self._written["valid"] = 1
        elif values:
            self._valid = self._valid if owed.valid is None else owed.valid
            self._confirmed(owed)
        else:
            owed.tell(Told(None))  # a controller that is told states only

    def _values(self, owed: Owed) -> dict[str, int]:
        settings, answer, values = self._settings, owed.answer, {}
        if settings.reject is not None:
            values[settings.reject] = int(answer.decision in settings.on)
        if settings.code is not None:
            values[settings.code] = code_of(answer.decision, answer.safe)
        if settings.number is not None:
            count = answer.count if answer.count is not None else (answer.number or 0) & 0xFFFF
            values[settings.number] = count
        if settings.valid is not None:  # last: when it changes, or else the number, the others are this part's
            if owed.valid is None:
                # Written again after a broken connection, it is what it became then: no second answer.
                owed.valid = 1 if self._handshake else 1 - self._valid
            values[settings.valid] = owed.valid
        return values

    async def _is_taken(self) -> bool:
        assert self._settings.taken is not None
        return bool(await self._plc.read(self._settings.taken))

    async def _shake_hands(self) -> None:
        shake = self._handshake
        if shake is None or shake.free:
            return
        if not shake.offered:
            await self._write_valid()
        step = shake.look(await self._is_taken(), self._clock.monotonic_ns())
        if step is Step.STUCK:
            self._say(f"{self._settings.taken}: the controller does not take it back")
        elif step is not None and self._offered is not None:
            owed, self._offered = self._offered, None
            if step is Step.TAKEN:
                self._confirmed(owed)
            else:
                self._not_taken(owed)
            await self._write_valid()

    def _not_taken(self, owed: Owed) -> None:
        why = f"the controller did not take it within {self._settings.taken_ms} ms"
        self._tell(f"output: part {owed.answer.count}: {why}")
        owed.tell(Told(None, why))

    async def _write_valid(self) -> None:
        assert self._handshake is not None
        assert self._settings.valid is not None
        if self._written.get("valid") != self._handshake.valid:
            await self._plc.write({self._settings.valid: self._handshake.valid})
            self._written["valid"] = self._handshake.valid

    async def _write_states(self) -> None:
        for state, point in self._settings.states.items():
            value = int(self._states[state] > 0) if state == "busy" else self._states[state]
            if self._written.get(state) != value:
                await self._plc.write({point: value})
                self._written[state] = value

    def _give_up_old(self) -> bool:
        """See ``Outputs``. There may be no connection."""
        now = self._clock.monotonic_ns()
        if self._offered is not None and now - self._offered.answer.since_ns > self._good_for_ns + self._taken_ns:
            assert self._handshake is not None
            self._handshake.withdraw(now)
            self._offered.tell(Told(None, self._trouble or "the controller did not take it"))
            self._offered = None
        if self._ejector and self._trouble:
            self._ejector.blind()
        return super()._give_up_old()

    @property
    def _taken_ns(self) -> int:
        return self._settings.taken_ms * 1_000_000

    async def _say_good_bye(self) -> None:
        if self._offered is not None:
            self._offered.tell(Told(None, "the agent ended before the controller took it"))
        if self._ejector:
            self._ejector.let_all_go()
        # What was under way when we were told to end spoils the connection for what comes after it.
        await self._plc.connect()
        self._written.clear()
        if self._ejector:
            await self._ejector.rest(self._plc)
        if self._handshake is not None:
            self._handshake.withdraw(self._clock.monotonic_ns())
            await self._write_valid()
        await self._write_states()

    async def _close(self) -> None:
        await self._plc.close()


async def _both(told: asyncio.Future[Told], ejected: asyncio.Future[Ejected]) -> Told:
    one, other = await told, await ejected
    return Told(one.ms, other.fault or one.fault, other.went, gone=other.went is None)
