"""One station: parts in, each with a number; exactly one verdict out per number, in time, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgemill_agent.clock import Clock
from edgemill_agent.frame_ring import create_ring
from edgemill_agent.health.facts import StationFacts
from edgemill_agent.ledger import Entry
from edgemill_agent.line.answers import Answers
from edgemill_agent.line.controllers import outputs_for, trigger_for
from edgemill_agent.line.counting import REGISTER_BITS, further
from edgemill_agent.line.engine_seat import refusal
from edgemill_agent.line.engines import Engines
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.keeper import Keeper, Kept
from edgemill_agent.line.part import Overflow, Part, StationAccount
from edgemill_agent.line.tracking import Seen
from edgemill_agent.line.trigger import Handlers, Trigger
from edgemill_agent.line.wants import Wants
from edgemill_agent.processes.child import Child
from edgemill_agent.settings import StationSettings
from edgemill_core.errors import EdgemillError
from edgemill_core.ledger import Kind

_TRIES = 2
_ANSWERED_S = 2.0
"""A trigger begins without knowing what was answered before if the controller does not say so in this time."""


class Station:
    """Trigger or source worker → number → engine worker → verdict → controller → journal.

    The line knows what is under way, so workers may be killed at any moment: frames stay in the ring, a part whose
    engine died is given to the next one, and after ``_TRIES`` it gets the safe verdict.
    """

    def __init__(
        self,
        settings: StationSettings,
        after: str,
        state: Path,
        journal: Journal,
        clock: Clock,
        tell: Callable[[str], None],
        silent_s: float,
        changed: Callable[[], None],
        counted: int | None = None,
        plans: Path | None = None,
    ) -> None:
        self.settings = settings
        self.account = StationAccount()
        self.refused: EdgemillError | None = None
        self._state = state
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._after, self._recorded_before = after, bool(after)
        self._counted = counted
        self._ended = asyncio.Event()
        self._source_over = self._no_more = False
        self._frames: deque[Mapping[str, Any]] = deque()
        self._unnumbered: deque[Part] = deque()
        self._overflow = Overflow()
        self._numbering = asyncio.Event()
        self._waiting: deque[Part] = deque()
        self._owed = 0
        self._source_worked = self._open = False
        self._able = asyncio.Event()
        source = settings.source
        self._free = set(range(source.slots))
        self._ring = create_ring(source.slots, source.max_frame_bytes)
        workers, name = "edgemill_agent.workers", settings.name
        self.source = Child(
            f"{name}/source", f"{workers}.source_worker", self._first_for_source, [self._ring], silent_s, changed
        )
        self._wanted = Wants(settings.trigger is not None, self.source.send) if source.live else None
        self.engines = Engines(settings, self._ring, self, self._note, tell, changed, plans)
        most = settings.evidence.max_bytes if settings.evidence else None
        self._keeper = Keeper(settings.name, journal, self.source, self._free_slot, most)
        say = self._say
        self._outputs = [outputs_for(one, settings.deadline_ms, clock, say) for one in settings.outputs]
        over = self._look_whether_over
        self._answers = Answers(settings, self._outputs, self.account, journal, clock, say, self.source.send, over)
        handlers = Handlers(self._fired, self._missed, self._show_ready, say)
        if settings.products:
            handlers = handlers._replace(product=lambda code, _: self.engines.change_product(code))
        self._trigger = trigger_for(settings.trigger, clock, handlers) if settings.trigger else None

    async def run(self) -> None:
        """Until ``stop``, or until the source has ended and every part has its verdict.

        Raises:
            EngineError: the bundle cannot be used at all.
        """
        tasks = [
            asyncio.create_task(self.engines.run()),
            asyncio.create_task(self._keep_source()),
            asyncio.create_task(self._number()),
            asyncio.create_task(self._keeper.run()),
            *(asyncio.create_task(one.run()) for one in self._outputs),
            *([asyncio.create_task(self._listen(self._trigger))] if self._trigger else []),
        ]
        for task in tasks:
            task.add_done_callback(self._end_if_failed)
        try:
            await self._ended.wait()
        finally:
            self.source.stop()
            for part in self._waiting:
                part.disarm()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for part in self._waiting:
                part.disarm()
            self._keeper.give_up()
            os.close(self._ring)
        for error in (self.refused, *results):
            if isinstance(error, Exception):
                raise error

    def begin_anew(self) -> None:
        """The source is another one than that of the last recorded part: do not go on behind it."""
        self._after = ""

    @property
    def children(self) -> tuple[Child, ...]:
        """Its processes."""
        return (self.source, *(seat.child for seat in self.engines.seats))

    def use(self, settings: StationSettings) -> None:
        """The settings were read again; only what can change while the station runs differs."""
        self.settings = settings
        self.engines.use(settings)

    def stop_source(self) -> None:
        """Take no more parts; ``run`` ends when those that are here have their verdicts, and their frames are kept."""
        self._source_over = True
        self._show_ready()
        for part in self._waiting:
            if not part.here and not part.done:  # in its turn, behind those that are being judged
                part.here, part.fault = True, "there is no picture: the source has ended"
                if self._wanted:
                    self._wanted.forget(part)
        self._feed()
        self._look_whether_over()

    def facts(self) -> StationFacts:
        """How it is now, for the checks of the box's health."""
        account, (unfit_in_a_row, unfit) = self.account, self.account.unfit_in_a_row
        return StationFacts(
            name=self.settings.name,
            source_kind=self.settings.source.kind,
            source_open=self._open,
            engine_ready=self.engines.active.ready,
            over=self._source_over,
            frames=account.frames if self._wanted is None else account.captured,
            verdicts=sum(account.decisions.values()),
            unfit_in_a_row=unfit_in_a_row,
            unfit=unfit,
            late=account.late,
            late_in_a_row=self._answers.late_in_a_row,
            alarm_after=self.settings.alarm_after,
            untold=account.untold,
            source_restarts=self.source.restarts,
            engine_restarts=self.engines.restarts,
            trigger_connected=self._trigger.connected if self._trigger else None,
            output_troubles=tuple(one.trouble for one in self._outputs if one.trouble),
        )

    def restart(self, process: str) -> bool:
        """Start one of its processes anew, the engine without a gap; false if it is none of them."""
        if process == self.source.name:
            self.source.kill()
            return True
        return self.engines.renew(process)

    def stop(self) -> None:
        """End now; parts without a verdict stay without one, and the journal declares their numbers."""
        self._ended.set()

    async def _keep_source(self) -> None:
        # Nothing is taken before it can be judged: loading an engine takes longer than any deadline.
        await self._able.wait()
        await self.source.keep(self._source_said, self._source_ended)

    def _end_if_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._ended.set()

    def _first_for_source(self) -> dict[str, Any]:
        settings = self.settings.source
        return {
            "kind": settings.kind,
            "settings": settings.model_dump(mode="json"),
            "after": self._after,
            "ring": self._ring,
            "slot_bytes": settings.max_frame_bytes,
            "free": sorted(self._free),
            "state": str(self._state),
            "keep": self._keeper.asked,
            "wants": self._wanted.open if self._wanted else [],
        }

    def _source_said(self, message: dict[str, Any]) -> None:
        self.account.captured += message.get("captured", 0)
        self.account.dropped += message.get("dropped", 0)
        if "refused" in message:
            self._source_refused(message["refused"])
        elif "open" in message:
            self._open = True
            self._show_ready()
        elif "kept" in message:
            self._keeper.said(message)
        elif "camera" in message:
            self._camera_said(message)
        elif "end" in message:
            self._no_more = True
            self._pair()
        elif "item" in message and not self._source_over:
            self._source_worked = True
            self._after = message["item"]
            self._free.discard(message["slot"])
            if self._wanted and self._goes_to_its_part(self._wanted, message):
                return
            self._frames.append(message)
            self.account.frames += 1
            if self._trigger is None:
                self._expect(Part(message.get("captured_ns") or self._clock.monotonic_ns()))
            self._pair()

    def _goes_to_its_part(self, wants: Wants, message: Mapping[str, Any]) -> bool:
        """A camera's frame: whether it was for a part that is here, or nobody wants it any more."""
        wanted, part = wants.answered(message["want"])
        if part is not None:
            part.take(message)
            self._feed()
        elif not wanted:
            self._free_slot(message["slot"])
        return part is not None or not wanted

    def _camera_said(self, message: Mapping[str, Any]) -> None:
        self._open = message["camera"] == "back"
        self._show_ready()
        if self._open:
            self.account.reconnects += 1
            self._say(f"the camera is back after {message['after_s']:.1f} s")
        else:
            self._say(f"the camera is gone: {message['why']}; it is tried again")

    def _source_ended(self) -> None:
        self._open = False
        self._show_ready()
        if not self._source_over and not self._ended.is_set():
            self._tell(f"{self.source.name} ended or hung; it is started again")

    async def _listen(self, trigger: Trigger) -> None:
        await self._able.wait()
        answered = self._counted
        if self._recorded_before:
            known = [asyncio.shield(one.answered) for one in self._outputs if one.counts]
            done, _ = await asyncio.wait(known, timeout=_ANSWERED_S) if known else ((), ())
            # What a controller did not take was recorded all the same.
            told = next((one.result() for one in done), None)
            answered = further(told, answered, REGISTER_BITS)
        await trigger.run(answered)

    def _fired(self, count: int | None, since_ns: int, seen: Seen | None) -> None:
        if self._source_over:
            return
        if self._overflow.turns_away(len(self._unnumbered), count):
            self._show_ready()
            return
        part = Part(since_ns, count, seen)
        if self._wanted:
            self._wanted.of(part, self._clock.monotonic_ns())
        self._expect(part)
        self._pair()

    def _declare_overflow(self) -> None:
        if self._overflow.parts:
            first, last, parts = self._overflow.taken()
            self._owed += parts if self._wanted is None else 0  # their pictures are nobody's
            self._missed(first, last, parts, "the disk gave no numbers and memory for parts ran out")
            self._show_ready()

    def _missed(self, first: int, last: int, parts: int, why: str) -> None:
        self.account.missed += parts
        self._say(f"{parts} parts were not judged: {why}")
        told = {"first": first, "last": last, "parts": parts, "why": why}
        self._journal.put(Entry(Kind.MISSED, told, station=self.settings.name, counted=last))

    def _show_ready(self) -> None:
        listening = self._trigger is None or self._trigger.connected
        ready = self.engines.ready and self._open and listening and not self._source_over and not self._overflow.parts
        for one in self._outputs:
            one.show("ready", ready)
            if self.engines.ready and self.engines.product is not None:
                one.show("product", self.engines.product)

    def _say(self, what: str) -> None:
        self._tell(f"{self.settings.name}: {what}")

    def _note(self, kind: Kind, told: Mapping[str, object]) -> None:
        self._journal.put(Entry(kind, told, station=self.settings.name))

    def _expect(self, part: Part) -> None:
        """A part came: it needs a number, and its deadline runs."""
        part.product = self.engines.product
        if self.settings.deadline_ms is not None:
            gone_s = (self._clock.monotonic_ns() - part.arrived_ns) / 1e9
            left = max(0.0, self.settings.deadline_ms / 1e3 - gone_s)
            part.timer = asyncio.get_running_loop().call_later(left, self._late, part)
        part.followed = [one.expect(part.seen, lambda: self._is_at_ejector(part)) for one in self._outputs]
        self._waiting.append(part)
        part.number = self._journal.number_now() if not self._unnumbered else None
        if part.number is None:
            self._unnumbered.append(part)
            self._numbering.set()

    def _pair(self) -> None:
        """Frames go to parts in the order in which both came; those of parts that waited in vain go to nobody."""
        while self._owed and self._frames:
            self._owed -= 1
            self._free_slot(self._frames.popleft()["slot"])
        for part in self._waiting:
            if not self._frames:
                break
            if not part.here:
                part.take(self._frames.popleft())
        self._feed()
        if self._no_more and not self._frames:
            self.stop_source()

    async def _number(self) -> None:
        while True:
            await self._numbering.wait()
            self._numbering.clear()
            while self._unnumbered:
                number = await self._journal.number()
                self._declare_overflow()
                part = self._unnumbered.popleft()
                part.number = number
                self._answers.record(part)
                self._feed()
            self._look_whether_over()

    def _feed(self) -> None:
        """Give the engine its next parts, and verdicts to those at the head that need no engine."""
        while self._waiting:
            part = self._waiting[0]
            if part.number is None or not (part.here or part.done):
                return
            if part.done:
                self._owed += not part.here and self._wanted is None
                self._waiting.popleft()
                self._give_back(part)
            elif why := self._why_no_engine(part):
                if self.engines.at_work:
                    return  # what came before it has its verdict first
                self._waiting.popleft()
                self._safe(part, why)
                self._give_back(part)
            elif engine := self.engines.free_for(part):
                self._waiting.popleft()
                part.tries += 1
                self.engines.ask(engine, part)
            else:
                return

    def _why_no_engine(self, part: Part) -> str:
        """Why no engine is asked about it; empty if one is."""
        if part.fault:
            return part.fault
        if part.tries >= _TRIES:
            return f"the engine worker died {part.tries} times over this part"
        return "" if self.engines.will_judge(part) else f"there is no engine for product {part.product}"

    def engines_changed(self) -> None:
        """An engine is ready, or none is any more."""
        if self._ended.is_set():
            return
        if self.engines.active.ready:
            self._able.set()
        self._show_ready()
        self._feed()
        self._look_whether_over()

    def judged(self, part: Part, message: Mapping[str, Any], engine_id: str) -> None:
        """An engine answered."""
        if not part.done:
            self._decide(part, message, engine_id)
        self._give_back(part)
        self._feed()
        self._look_whether_over()

    def unjudged(self, parts: Sequence[Part]) -> None:
        """The engine died over these: the next one gets them."""
        self._waiting.extendleft(reversed(parts))

    def shadowed(self, part: Part) -> None:
        """The challenger is done with it."""
        self._keep_or_free(part)
        self._look_whether_over()

    def engine_refused(self, error: EdgemillError) -> None:
        """What cannot start at all ends the agent."""
        self.refused = error
        self._ended.set()

    def _source_refused(self, error: Mapping[str, str | None]) -> None:
        """What cannot start at all ends the agent; what worked before is tried again."""
        if self._source_worked:
            self._tell(f"{self.source.name}: {error['what']} ({error['got']})")
            return
        self.engine_refused(refusal(self.settings.name, error))

    def _decide(self, part: Part, message: Mapping[str, Any], engine_id: str) -> None:
        if "fault" in message:
            self._safe(part, message["fault"])
        else:
            unfit = {"unfit": message["unfit"]} if "unfit" in message else {}
            self.account.unfit += bool(unfit)
            self.account.unfit_in_a_row = (self.account.unfit_in_a_row[0] + 1, message["unfit"]) if unfit else (0, "")
            part.by_engine = not unfit
            self._record(part, message["verdict"], {"engine_ms": message["ms"], "engine": engine_id, **unfit})

    def _is_at_ejector(self, part: Part) -> None:
        self._late(part, "it was at the ejector before there was a verdict")

    def _late(self, part: Part, why: str = "") -> None:
        if not part.done:
            self.account.late += 1
            part.late = True
            why = why or f"no verdict within {self.settings.deadline_ms} ms"
            self._record(part, self._without_engine(why), {"late": True})
            self._feed()
            self._look_whether_over()

    def _safe(self, part: Part, why: str) -> None:
        self.account.safe += 1
        self._record(part, self._without_engine(why), {"safe": True})

    def _without_engine(self, why: str) -> dict[str, object]:
        return {"decision": self.settings.late, "reasons": [why], "confidence": None, "reading": {}}

    def _record(self, part: Part, verdict: Mapping[str, Any], more: Mapping[str, object]) -> None:
        part.disarm()
        part.done, part.decision = True, str(verdict["decision"])
        if self._wanted and not part.here:
            self._wanted.forget(part)
        self._answers.give(part, verdict, more)
        self.engines.judged(part.late)  # last: another engine may be asked now, and must not overtake this answer

    def _give_back(self, part: Part) -> None:
        if self._wanted:
            self._wanted.again()
        if not (part.by_engine and self.engines.challenger.shadow(part)):
            self._keep_or_free(part)

    def _keep_or_free(self, part: Part) -> None:
        if part.shape and part.number and self._wants(part, part.number):
            self._keeper.keep(Kept(part.number, part.item, part.slot, tuple(part.shape)))
        elif part.slot >= 0:
            self._free_slot(part.slot)

    def _wants(self, part: Part, number: int) -> bool:
        return self.settings.keeps(number, part.decision, part.late, part.disputed)

    def _free_slot(self, slot: int) -> None:
        self._free.add(slot)
        self.source.send({"free": slot})
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        frames = self._frames and self._trigger is None
        under_way = frames or self._waiting or self.engines.busy or self._answers.untold or self._keeper.busy
        if self._source_over and not under_way:
            self._ended.set()
