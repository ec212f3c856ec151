"""What is said of a part that has its verdict: to the controllers, into the ledger, and to a sender that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.outputs import Answer, Outputs, Told
from edgemill_agent.line.part import Part, StationAccount
from edgemill_agent.settings import StationSettings
from edgemill_core.ledger import Kind


class Answers:
    """Each part is told once, and recorded when what the controllers made of it is known.

    Args:
        settings: of the station.
        outputs: controllers that are told.
        account: what the station counts.
        journal: into which parts are recorded.
        clock: the box's.
        say: told of trouble, in words.
        reply: sends to the source worker, for a sender that waits.
        was_told: told whenever a part is told and recorded.
    """

    def __init__(
        self,
        settings: StationSettings,
        outputs: Sequence[Outputs],
        account: StationAccount,
        journal: Journal,
        clock: Clock,
        say: Callable[[str], None],
        reply: Callable[[Mapping[str, Any]], None],
        was_told: Callable[[], None],
    ) -> None:
        self._settings, self._outputs, self._account = settings, outputs, account
        self._journal, self._clock, self._say = journal, clock, say
        self._reply, self._was_told = reply, was_told
        self._slipped = False
        self._farthest = 0
        self.untold = 0
        """Parts that a controller is being told of."""
        self.late_in_a_row = 0
        """Late parts, up to now."""

    def give(self, part: Part, verdict: Mapping[str, Any], more: Mapping[str, object]) -> None:
        """The part has its verdict.

        Args:
            part: with its decision.
            verdict: JSON-ready.
            more: what the record says besides; ``late`` and ``safe`` where no engine decided.
        """
        milliseconds = (self._clock.monotonic_ns() - part.arrived_ns) / 1e6
        self._account.decisions[part.decision] += 1
        self._count_late(part)
        body: dict[str, Any] = {
            "item": part.item,
            "context": dict(part.context),
            **({} if part.fields is None else {"fields": part.fields}),
            "verdict": verdict,
            "ms": round(milliseconds, 3),
            **more,
            **({} if part.count is None else {"count": part.count}),
        }
        if self._outputs:
            self._tell(part, body, "late" in more or "safe" in more)
        else:
            self._finish(part, body, milliseconds)

    def record(self, part: Part) -> None:
        """Record the part, as soon as it has both its number and all that is to be said of it."""
        if part.number is not None and part.body is not None:
            name, ahead = self._settings.name, part.number > self._farthest
            self._farthest = max(self._farthest, part.number)
            # A part that waited for the ejector is recorded behind later ones: a start goes on behind the last of all.
            item, counted = (part.item, part.count) if ahead else ("", None)
            entry = Entry(Kind.VERDICT, part.body, part.number, name, part.decision, item, counted=counted)
            self._journal.put(entry, partial(self._tell_sender, part, part.body) if part.ask else None)

    def _tell(self, part: Part, body: dict[str, Any], safe: bool) -> None:
        self.untold += 1
        reasons = body["verdict"].get("reasons", ())
        answer = Answer(part.count, part.number, part.decision, safe, reasons, part.arrived_ns)
        told = [one.answer(answer, way) for one, way in zip(self._outputs, part.followed, strict=True)]
        asyncio.gather(*told).add_done_callback(partial(self._told, part, body))

    def _told(self, part: Part, body: dict[str, Any], done: asyncio.Future[list[Told]]) -> None:
        self.untold -= 1
        if done.cancelled():
            return
        faults = [told.fault for told in done.result() if told.fault]
        slowest = max((told.ms for told in done.result() if told.ms is not None), default=None)
        self._account.untold += bool(faults)
        if faults:
            body["output_fault"] = faults[0]
        if slowest is not None:
            body["output_ms"] = round(slowest, 3)
            if self._is_late(slowest):  # decided in time, and written too late all the same
                self._declare_late(part, body)
        for told in done.result():
            if told.went is not None:
                body["ejected"] = told.went
            if told.gone:
                self._declare_late(part, body)
            if told.gone or told.went is not None:
                self._slipped = told.gone
                self._show_alarm()
        self._finish(part, body, body["ms"] if slowest is None else slowest)
        self._was_told()

    def _declare_late(self, part: Part, body: dict[str, Any]) -> None:
        if not part.late:
            self._account.late += 1
            part.late = body["late"] = True

    def _is_late(self, milliseconds: float) -> bool:
        return self._settings.deadline_ms is not None and milliseconds > self._settings.deadline_ms

    def _finish(self, part: Part, body: dict[str, Any], milliseconds: float) -> None:
        self._account.latencies_ms.append(milliseconds)
        part.body = body
        self.record(part)

    def _tell_sender(self, part: Part, body: Mapping[str, Any], recorded: bool) -> None:
        """Tell the source what became of a part whose sender waits: only once that is on the disk."""
        told: dict[str, Any] = {"answer": part.ask, "number": part.number, "item": part.item}
        told |= body["verdict"] if recorded else {"fault": "the verdict was lost: the disk takes no more records"}
        told |= {name: True for name in ("late", "safe") if name in body}
        self._reply({**told, "ms": body["ms"]})

    def _count_late(self, part: Part) -> None:
        """After so many late parts in a row the line is told."""
        self.late_in_a_row = self.late_in_a_row + 1 if part.late else 0
        if self.late_in_a_row == self._settings.alarm_after:
            self._say(f"{self._settings.alarm_after} parts in a row were late")
        self._show_alarm()

    def _show_alarm(self) -> None:
        for one in self._outputs:
            one.show("alarm", self._slipped or self.late_in_a_row >= self._settings.alarm_after)
