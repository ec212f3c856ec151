"""An engine that sees the parts which another one decided, and answers to nobody but the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgemill_agent.line.engine_seat import EngineSeat
from edgemill_agent.line.part import Part
from edgemill_core.ledger import Kind

_MOST_NOTED = 10
"""Of ends of one challenger: one that never does must not fill the ledger."""


@dataclass
class Shadowing:
    """What the challenger did since the start.

    Attributes:
        seen: parts that it judged, or could not judge though the other one did.
        disputed: of these, those that it decided otherwise.
        skipped: parts that it did not judge: it was at another one, or died.
    """

    seen: int = 0
    disputed: int = 0
    skipped: int = 0


class Challenger:
    """One part at a time; those that come meanwhile are skipped, so that it holds up nobody.

    Args:
        done: told each part that it is done with, or gave up: its frame may go.
        record: writes into the ledger.
        note: writes into the ledger what became of it.
    """

    def __init__(
        self,
        done: Callable[[Part], None],
        record: Callable[[Kind, Mapping[str, object]], None],
        note: Callable[[str, str, EngineSeat], None],
    ) -> None:
        self._done, self._record, self._note = done, record, note
        self.account = Shadowing()
        self.seat: EngineSeat | None = None
        self._told_of: EngineSeat | None = None

    def end(self) -> None:
        """There is none any more."""
        seat, self.seat = self.seat, None
        if seat is not None:
            self.ended(seat.stop())

    def shadow(self, part: Part) -> bool:
        """Let it see a part that was decided; false if it does not, and the frame may go."""
        if self.seat is None:
            return False
        if not self.seat.ready or self.seat.asked:
            self.account.skipped += 1
            return False
        self.seat.ask(part)
        return True

    def ready(self, seat: EngineSeat) -> None:
        """It is proved and looks on; one that was started again says nothing new."""
        if seat is not self._told_of:
            self._note("looks on", "", seat)
            self._told_of = seat

    def refused(self, why: str) -> None:
        """It cannot be used, or takes more memory than there is for it."""
        seat = self.seat
        self.end()
        if seat is not None:
            self._note("refused", why, seat)

    def died(self, seat: EngineSeat, parts: Sequence[Part]) -> None:
        """It ended by itself, or was killed; it is started again."""
        if seat.child.restarts < _MOST_NOTED:
            self._note("ended", seat.why_ended or "it died", seat)
        self.ended(parts)

    def ended(self, parts: Sequence[Part]) -> None:
        """It will not answer about these."""
        for part in parts:
            self.account.skipped += 1
            self._done(part)

    def answered(self, seat: EngineSeat, part: Part, message: Mapping[str, Any]) -> None:
        """What it makes of a part; where it has no verdict, it disputes the one that there is."""
        self.account.seen += 1
        part.disputed = "fault" in message or message["verdict"]["decision"] != part.decision
        self.account.disputed += part.disputed
        self._record(
            Kind.SHADOW,
            {
                "number": part.number,
                "item": part.item,
                "decided": part.decision,
                "disputed": part.disputed,
                **({"fault": message["fault"]} if "fault" in message else {"verdict": message["verdict"]}),
                **({"engine_ms": message["ms"]} if "ms" in message else {}),
                "engine": seat.engine_id,
            },
        )
        self._done(part)
