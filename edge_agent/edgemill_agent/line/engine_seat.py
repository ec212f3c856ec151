"""One engine worker of a station: what it runs, which parts it has, and how long it may take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgemill_agent.line.part import Part
from edgemill_agent.line.turns import Turns
from edgemill_agent.processes.child import Child
from edgemill_agent.settings import EngineChoice, StationSettings
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.errors import EdgemillError, EngineError, MissingPartError, NoPlanError

_IDENTITY = ("digest", "runtime", "device", "tune")


def refusal(station: str, error: Mapping[str, str | None]) -> EdgemillError:
    """What a worker said before it ended, as an error of the station; a missing part stays one."""
    kept = {one.__name__: one for one in (MissingPartError, NoPlanError)}
    kind = kept.get(str(error["error"]), EngineError)
    return kind(f"station {station}: {error['what']}", expected=error["expected"], got=error["got"], fix=error["to_do"])


class Hears(Protocol):
    """Who is told what an engine worker does."""

    def engine_ready(self, seat: EngineSeat) -> None:
        """It is loaded and warm, for the first time or again."""

    def engine_answered(self, seat: EngineSeat, part: Part, message: Mapping[str, Any]) -> None:
        """What it makes of the part that it was asked about."""

    def engine_ended(self, seat: EngineSeat, parts: Sequence[Part]) -> None:
        """It died, over these parts; it is started again."""

    def engine_refused(self, seat: EngineSeat, error: EdgemillError) -> None:
        """It cannot be started at all."""


class EngineSeat:
    """An engine worker. It answers in the order in which it was asked.

    Args:
        name: of its process.
        choice: what it runs.
        station: of which it is a part.
        ring: descriptor of the frames.
        prove: whether the golden samples must be decided as at build before it is ready.
        hears: told what happens.
        tell: told of trouble, in words.
        changed: told whenever the process was started or has ended.
        plans: folder of this box's plans of TensorRT.

    Attributes:
        products: the controller's numbers of the products that it judges; ``None`` where there are none.
        ready: it may be asked.
        worked: it was ready once.
        engine_id: short digest of what runs here with which settings; its verdicts and its start carry it.
        asked: the parts that it has.
        why_ended: why it was killed the last time; empty if it was not, or runs again.
    """

    def __init__(
        self,
        name: str,
        choice: EngineChoice,
        station: StationSettings,
        ring: int,
        prove: bool,
        hears: Hears,
        tell: Callable[[str], None],
        changed: Callable[[], None],
        plans: Path | None = None,
    ) -> None:
        self.choice = choice
        self.products: set[int | None] = {None}
        self.ready = self.worked = False
        self.facts: Mapping[str, Any] = {}
        self.engine_id = ""
        self.asked: deque[Part] = deque()
        self.why_ended = ""
        self._depth = 1
        self._turns = Turns()
        self._station, self._ring, self._prove, self._plans = station, ring, prove, plans
        self._hears, self._tell = hears, tell
        self._hang: asyncio.TimerHandle | None = None
        # Loading may hold the interpreter for long: the engine has limits of its own, start_ms and hang_ms.
        self.child = Child(name, "edgemill_agent.workers.engine_worker", self._first, [ring], None, changed)
        self._gone = False

    async def run(self) -> None:
        """Until ``stop``."""
        await self.child.keep(self._said, self._ended)

    def has_room(self, part: Part) -> bool:
        """Whether it may be asked about ``part`` now. What an engine died over before is asked alone."""
        if not self.asked:
            return self.ready
        return self.ready and len(self.asked) < self._depth and not part.tries and self.asked[-1].tries == 1

    def ask(self, part: Part) -> None:
        """Ask about a part whose frame or numbers are here."""
        self.asked.append(part)
        if len(self.asked) == 1:
            self._watch(self._station.hang_ms, "gave no answer")
        what = {"slot": part.slot, "shape": part.shape} if part.fields is None else {"fields": part.fields}
        self.child.send({"number": part.number, **what, "context": dict(part.context)})

    def stand(self, still: bool, now_s: float) -> None:
        """Let its process stand while another engine judges, so far as it does not starve; or go on."""
        stood = self._turns.standing
        if still:
            self._turns.stand(now_s)
        else:
            self._turns.go_on(now_s)
        if self._turns.standing != stood:
            self.child.stand(self._turns.standing)

    def stop(self) -> Sequence[Part]:
        """End it for good; returns the parts that it had, which it will not answer any more."""
        self._gone, self.ready = True, False
        self._unwatch()
        self.child.stop()
        return self._let_go()

    def _let_go(self) -> Sequence[Part]:
        parts = tuple(self.asked)
        self.asked.clear()
        return parts

    def _first(self) -> dict[str, Any]:
        self._turns, self.why_ended = Turns(), ""  # of the new process
        self._watch(self._station.start_ms, "was not ready")
        station, quality = self._station, self._station.quality
        return {
            **self.choice.model_dump(mode="json"),
            "mode": station.mode,
            "prove": self._prove,
            "may_differ": station.proof.may_differ,
            "plans": str(self._plans) if self._plans else None,
            "quality": quality.model_dump(mode="json") if quality else None,
            "gives": station.source.gives,
            "ring": self._ring,
            "slot_bytes": station.source.max_frame_bytes,
        }

    def _said(self, message: dict[str, Any]) -> None:
        if self._gone:
            return
        self._unwatch()
        if "ready" in message:
            self.ready = self.worked = True
            identity = sha256_bytes(canonical_json({key: message["ready"].get(key) for key in _IDENTITY}))
            self.engine_id = identity[:12]
            self.facts = {**message["ready"], "engine": self.engine_id}
            self._depth = message["depth"]
            self._hears.engine_ready(self)
        elif "refused" in message:
            self._refused(message["refused"])
        elif self.asked and message["number"] == self.asked[0].number:
            part = self.asked.popleft()
            if self.asked:
                self._watch(self._station.hang_ms, "gave no answer")
            self._hears.engine_answered(self, part, message)

    def _refused(self, error: Mapping[str, str]) -> None:
        """What worked before is tried again."""
        if self.worked:
            self._tell(f"{self.child.name}: {error['what']} ({error['got']})")
            return
        self._hears.engine_refused(self, refusal(self._station.name, error))

    def _ended(self) -> None:
        self.ready = False
        self._unwatch()
        if not self._gone:
            self._hears.engine_ended(self, self._let_go())

    def _watch(self, milliseconds: int, what: str) -> None:
        """Kill the engine unless it says something in time."""
        self._unwatch()
        self._hang = asyncio.get_running_loop().call_later(milliseconds / 1e3, self._hangs, milliseconds, what)

    def _unwatch(self) -> None:
        if self._hang is not None:
            self._hang.cancel()
            self._hang = None

    def _hangs(self, milliseconds: int, what: str) -> None:
        self.why_ended = f"it {what} for {milliseconds} ms"
        self._tell(f"{self.child.name} {what} for {milliseconds} ms; it is killed")
        self.child.kill()
