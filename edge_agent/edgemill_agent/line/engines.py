"""The engine workers of one station: the one that judges, one that is to follow it, the way back, and a challenger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgemill_agent.line.challenger import Challenger
from edgemill_agent.line.engine_seat import EngineSeat
from edgemill_agent.line.part import Part
from edgemill_agent.line.trial import Course, Trial
from edgemill_agent.settings import EngineChoice, StationSettings
from edgemill_core.errors import EdgemillError
from edgemill_core.ledger import Kind
from edgemill_core.processes.own_memory import resident_bytes

_AGAIN_S = 2.0
"""After which a product's engine that died while it loaded is started again."""
_LOOK_S = 0.05
"""How often the memory of an engine that loads beside another is looked at."""
_LOOK_AGAIN_S = 1.0
"""How often that of a challenger that looks on."""


ENGINE, CHALLENGER = "engine", "challenger"
"""Roles in records of swaps."""
ENDS = ("committed", "fell back", "refused")
"""What may become of an engine that was to judge; ``Engines.decided`` counts these."""
_ANOTHER = "another one was asked for"


class Owner(Protocol):
    """The station."""

    def engines_changed(self) -> None:
        """Another part may be asked about now, or none any more."""

    def judged(self, part: Part, message: Mapping[str, Any], engine_id: str) -> None:
        """What an engine makes of a part."""

    def unjudged(self, parts: Sequence[Part]) -> None:
        """The engine died over these."""

    def shadowed(self, part: Part) -> None:
        """The challenger is done with it, or gave it up."""

    def engine_refused(self, error: EdgemillError) -> None:
        """The station's first engine cannot be used at all."""


@dataclass
class _Coming:
    """A newcomer on its way.

    Attributes:
        asked_s: when it was asked for, by the loop's clock.
        peak: resident bytes of all engine workers so far.
    """

    asked_s: float
    peak: int = 0


class Engines:
    """Never does more than one engine judge at a time, and never more than two are there besides the challenger.

    Args:
        settings: of the station.
        ring: descriptor of the frames.
        owner: the station.
        record: writes into the ledger.
        tell: told of trouble, in words.
        changed: told whenever a process was started or has ended.
    """

    def __init__(
        self,
        settings: StationSettings,
        ring: int,
        owner: Owner,
        record: Callable[[Kind, Mapping[str, object]], None],
        tell: Callable[[str], None],
        changed: Callable[[], None],
        plans: Path | None = None,
    ) -> None:
        self._settings, self._ring, self._owner = settings, ring, owner
        self._record, self._tell, self._changed, self._plans = record, tell, changed, plans
        self.challenger = Challenger(owner.shadowed, record, self._note_challenger)
        self.product: int | None = None
        self.active = self._seat("engine", settings.engine, prove=False)
        self.newcomer: EngineSeat | None = None
        self.previous: EngineSeat | None = None
        self._coming = _Coming(0.0)
        self._trial: Trial | None = None
        self._running: dict[asyncio.Task[None], EngineSeat] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._restarts = self.decided = 0
        self._watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watch_challenger: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def seats(self) -> tuple[EngineSeat, ...]:
        """All that are there."""
        return tuple(
            seat for seat in (self.active, self.newcomer, self.previous, self.challenger.seat) if seat is not None
        )

    @property
    def restarts(self) -> int:
        """Engine workers that were started again."""
        return self._restarts + sum(seat.child.restarts for seat in self._running.values())

    @property
    def busy(self) -> bool:
        """Whether an engine is at a part, the challenger too."""
        return any(seat.asked for seat in self.seats)

    @property
    def ready(self) -> bool:
        """Whether parts of the product that is made now are judged."""
        return self.active.ready and self.product in self.active.products

    async def run(self) -> None:
        """Until cancelled."""
        self._start(self.active)
        self._challenge()
        try:
            await self._failed
        finally:
            self._watch.cancel()
            self._watch_challenger.cancel()
            for seat in self.seats:
                self._owner.unjudged(seat.stop())
            for task in self._running:
                task.cancel()  # one may be waiting to start its process again
            await asyncio.gather(*self._running, self._watch, self._watch_challenger, return_exceptions=True)

    @property
    def at_work(self) -> bool:
        """Whether a part is being judged; what needs no engine waits, so that verdicts keep the order of the parts."""
        return any(seat is not None and seat.asked for seat in (self.active, self.previous))

    def free_for(self, part: Part) -> EngineSeat | None:
        """The engine that can be asked about ``part`` now; none while another one is at work."""
        if self.newcomer is not None and self.newcomer.ready and self.at_work:
            return None  # the engine gives the answers that it owes, and then the other one takes over
        judging = [seat for seat in (self.active, self.previous) if seat is not None]
        able = (seat for seat in judging if seat.has_room(part) and part.product in seat.products)
        seat = next(able, None)
        return None if seat is None or any(other.asked for other in judging if other is not seat) else seat

    def will_judge(self, part: Part) -> bool:
        """Whether an engine for this part's product is there, or on its way."""
        judging = (self.active, self.newcomer, self.previous)
        return any(part.product in seat.products for seat in judging if seat is not None)

    def ask(self, seat: EngineSeat, part: Part) -> None:
        """Ask the engine that ``free_for`` gave."""
        seat.ask(part)
        self._give_way()

    def judged(self, late: bool) -> None:
        """A part got its verdict, from an engine or from the clock."""
        if self._trial is not None:
            self._go_by(self._trial.judged(late, asyncio.get_running_loop().time()))
        self._look()

    def use(self, settings: StationSettings) -> None:
        """The station's settings were read again: swap what is another one now."""
        before, self._settings = self._settings, settings
        if before.shadow != settings.shadow:
            self.challenger.end()
            self._challenge()
        if self.product is None:
            self._go_to(settings.engine)
            self._owner.engines_changed()
        else:
            self.change_product(self.product)

    def change_product(self, product: int) -> None:
        """The controller says what it makes now; parts that came before are judged as what they are."""
        self.product = product
        choice = self._settings.products.get(product)
        if choice is None:
            self._drop_newcomer(_ANOTHER)
            self._tell(f"there is no engine for product {product}: see products: in the settings")
            self._note("refused", "there is no engine for this product", {"product": product})
        else:
            self._go_to(choice)
        self._owner.engines_changed()

    def renew(self, process: str) -> bool:
        """Put another worker with the same engine in the place of this one; false if it is none of the station's."""
        seat = next((one for one in self.seats if one.child.name == process), None)
        if seat is self.active and self.newcomer is None:
            self._swap(seat.choice, set(seat.products))
        elif seat is not None and seat is self.challenger.seat:
            seat.child.kill()
        return seat is not None

    def engine_ready(self, seat: EngineSeat) -> None:
        """See ``Hears``."""
        if seat is self.newcomer:
            self._look()
        elif seat is self.active:
            self._record(Kind.START, seat.facts)
        elif seat is self.challenger.seat:
            self.challenger.ready(seat)
        self._owner.engines_changed()

    def engine_answered(self, seat: EngineSeat, part: Part, message: Mapping[str, Any]) -> None:
        """See ``Hears``."""
        if seat is self.challenger.seat:
            self.challenger.answered(seat, part, message)
            return
        self._owner.judged(part, message, seat.engine_id)
        self._look()
        self._give_way()

    def engine_ended(self, seat: EngineSeat, parts: Sequence[Part]) -> None:
        """See ``Hears``."""
        if seat is self.newcomer:
            self._drop_newcomer("it ended before it was ready", said=True)
            if self.product not in self.active.products:
                asyncio.get_running_loop().call_later(_AGAIN_S, self._try_again, seat.choice)
        elif seat is self.challenger.seat:
            self.challenger.died(seat, parts)
        elif seat is self.previous:
            self._end_previous()
        else:
            self._tell(f"{seat.child.name} ended; it is started again")
            self._owner.unjudged(parts)
            if self._trial is not None:
                self._fall_back("it ended")
            self._look()  # a newcomer that is ready need not wait for it
        self._owner.engines_changed()
        self._give_way()

    def engine_refused(self, seat: EngineSeat, error: EdgemillError) -> None:
        """See ``Hears``."""
        if seat is self.newcomer:
            self._drop_newcomer(f"{error.what} ({error.got})", said=True)
            self._owner.engines_changed()
        elif seat is self.challenger.seat:
            self._refuse_challenger(f"{error.what} ({error.got})")
        else:
            self._owner.engine_refused(error)

    def _seat(self, name: str, choice: EngineChoice, prove: bool) -> EngineSeat:
        settings = self._settings
        name = f"{settings.name}/{name}"
        return EngineSeat(name, choice, settings, self._ring, prove, self, self._tell, self._changed, self._plans)

    def _start(self, seat: EngineSeat) -> None:
        task = asyncio.create_task(seat.run())
        self._running[task] = seat
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._restarts += self._running.pop(task).child.restarts
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    def _go_to(self, choice: EngineChoice) -> None:
        """Let this engine judge what is made now: at once if it is there, else as soon as it is proved."""
        if self.newcomer is not None and choice == self.newcomer.choice:
            self.newcomer.products.add(self.product)
            return
        self._drop_newcomer(_ANOTHER)
        if choice == self.active.choice:
            self.active.products.add(self.product)
            self._note("stays", "", {"to": _told(self.active)})
        elif self.previous is not None and self.previous.ready and choice == self.previous.choice:
            self.previous.products.add(self.product)
            self._exchange({})
        else:
            self._swap(choice, {self.product})

    def _try_again(self, choice: EngineChoice) -> None:
        """A product's engine died while it loaded: until it is there nobody judges that product."""
        wanted = self._settings.products.get(self.product) if self.product is not None else None
        if wanted == choice and self.newcomer is None and self.product not in self.active.products:
            self._go_to(choice)

    def _swap(self, choice: EngineChoice, products: set[int | None]) -> None:
        """Start an engine beside the one that judges; it takes over when it is proved, between two parts."""
        if self._trial is not None:
            self._commit(_ANOTHER)
        self._end_previous()
        self.newcomer = self._seat("newcomer", choice, prove=True)
        self.newcomer.products = products
        self._coming = _Coming(asyncio.get_running_loop().time())
        self._watch.cancel()
        self._watch = asyncio.create_task(self._watch_memory(self.newcomer))
        self._start(self.newcomer)

    def _look(self) -> None:
        """Let the newcomer take over, if it is ready and no engine is at a part."""
        newcomer = self.newcomer
        if newcomer is None or not newcomer.ready or self.at_work or not self._fits():
            return
        self.previous, self.newcomer = self.newcomer, None
        took = asyncio.get_running_loop().time() - self._coming.asked_s
        self._exchange({"load_s": round(took, 3), "peak_bytes": self._coming.peak})

    def _exchange(self, more: Mapping[str, object]) -> None:
        """The two engines change places."""
        old, new = self.active, self.previous
        assert new is not None
        self.active, self.previous = new, old
        new.stand(False, asyncio.get_running_loop().time())
        same_product = bool(new.products & old.products)
        self._trial = self._new_trial() if same_product else None
        new.child.name, old.child.name = f"{self._settings.name}/engine", f"{self._settings.name}/previous"
        self._note("took over", "", {"from": _told(old), "to": _told(new), **more})
        self._record(Kind.START, new.facts)
        self._changed()
        self._owner.engines_changed()

    def _new_trial(self) -> Trial:
        loop, swap = asyncio.get_running_loop(), self._settings.swap
        if swap.trial_minutes is None:
            return Trial(swap.trial_parts, self._settings.alarm_after)
        until_s = loop.time() + 60 * swap.trial_minutes
        trial = Trial(swap.trial_parts, self._settings.alarm_after, until_s)
        loop.call_at(until_s, self._time_is_up, trial, until_s)
        return trial

    def _time_is_up(self, trial: Trial, now_s: float) -> None:
        if trial is self._trial:
            self._go_by(trial.look(now_s))

    def _go_by(self, course: Course) -> None:
        """Do what the trial has come to."""
        assert self._trial is not None
        if course is Course.KEPT:
            self._commit(self._trial.why_kept)
        elif course is Course.BACK:
            self._fall_back(f"{self._trial.late} parts in a row were late")

    def _commit(self, why: str) -> None:
        """The new engine stays: the way back is closed."""
        self._trial = None
        if self.previous is not None:
            self._note("committed", why, {"from": _told(self.previous), "to": _told(self.active)})
        self._end_previous()

    def _fall_back(self, why: str) -> None:
        """The new engine does not do: the old one is still there."""
        self._trial = None
        if self.previous is None:
            return
        broken, self.active, self.previous = self.active, self.previous, None
        parts = broken.stop()
        self.active.child.name = f"{self._settings.name}/engine"
        self._tell(f"the new engine fell back to the one before: {why}")
        self._note("fell back", why, {"from": _told(broken), "to": _told(self.active)})
        self._changed()
        self._record(Kind.START, self.active.facts)
        self._owner.unjudged(parts)
        self._owner.engines_changed()
        self._give_way()

    def _drop_newcomer(self, why: str, said: bool = False) -> None:
        """The newcomer is not wanted, or does not do: the engine that judges goes on."""
        newcomer, self.newcomer = self.newcomer, None
        if newcomer is not None:
            newcomer.stop()
            if said:
                self._tell(f"the new engine is not used: {why}")
            told = {"from": _told(self.active), "to": _told(newcomer), "peak_bytes": self._coming.peak}
            self._note("refused", why, told)

    def _end_previous(self) -> None:
        if self.previous is not None:
            parts = self.previous.stop()
            self.previous, self._trial = None, None
            self._owner.unjudged(parts)

    def _challenge(self) -> None:
        if self._settings.shadow is not None:
            self.challenger.seat = self._seat("challenger", self._settings.shadow, prove=True)
            self._start(self.challenger.seat)
            self._watch_challenger.cancel()
            self._watch_challenger = asyncio.create_task(self._watch_memory_beside(self.challenger.seat))

    def _refuse_challenger(self, why: str) -> None:
        self._tell(f"the challenger cannot be used: {why}")
        self.challenger.refused(why)

    def _give_way(self) -> None:
        """Where parts have a deadline, engines that nobody waits for stand while one is judged."""
        if self._settings.deadline_ms is None:
            return
        others = [seat for seat in (self.newcomer, self.challenger.seat) if seat is not None]
        now_s = asyncio.get_running_loop().time()
        for seat in others:
            seat.stand(self.at_work, now_s)

    async def _watch_memory(self, newcomer: EngineSeat) -> None:
        while self.newcomer is newcomer:
            self._fits()
            await asyncio.sleep(_LOOK_S)

    async def _watch_memory_beside(self, challenger: EngineSeat) -> None:
        """End the challenger if it takes the station's engines over the budget, while it loads or later."""
        while self.challenger.seat is challenger:
            most = self._settings.swap.max_memory
            # A newcomer is the one that goes first: it ends by itself what it takes too much.
            if most is not None and self.newcomer is None and (held := self._held()) > most:
                self._refuse_challenger(f"the station's engines take {held} bytes with it, more than {most}")
                return
            await asyncio.sleep(_LOOK_S if not challenger.ready else _LOOK_AGAIN_S)

    def _held(self) -> int:
        """Resident bytes of all engine workers."""
        held = 0
        for seat in self.seats:
            with suppress(OSError):  # it is just ending
                held += resident_bytes(seat.child.pid) if seat.child.pid else 0
        return held

    def _fits(self) -> bool:
        """Whether the newcomer is inside the budget; one that is not is ended, before it takes the rest of the box."""
        most = self._settings.swap.max_memory
        if self.newcomer is None:
            return False
        held = self._held()
        self._coming.peak = max(self._coming.peak, held)
        if most is not None and held > most:
            self._drop_newcomer(f"the station's engines would take {held} bytes, more than {most}", said=True)
            asyncio.get_running_loop().call_soon(self._owner.engines_changed)
            return False
        return True

    def _note(self, outcome: str, why: str, told: Mapping[str, object], role: str = ENGINE) -> None:
        self.decided += outcome in ENDS
        product = {} if self.product is None else {"product": self.product}
        self._record(Kind.SWAP, {"outcome": outcome, "role": role, **({"why": why} if why else {}), **product, **told})

    def _note_challenger(self, outcome: str, why: str, seat: EngineSeat) -> None:
        self._note(outcome, why, {"to": _told(seat)}, CHALLENGER)


def _told(seat: EngineSeat) -> dict[str, object]:
    known = {key: seat.facts[key] for key in ("bundle", "version", "digest", "runtime", "engine") if key in seat.facts}
    return known or {"folder": str(seat.choice.bundle), "runtime": seat.choice.runtime}
