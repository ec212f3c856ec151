"""A part on its way through a station, and what the station counts."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgemill_agent.line.ejector import Followed
from edgemill_agent.line.tracking import Seen

_LATENCIES = 10_000


@dataclass
class Part:
    """From its arrival, or its trigger, to its record.

    Attributes:
        arrived_ns: when it came, by the monotonic clock.
        count: the controller's; ``None`` where nothing counts.
        seen: where the belt was when it came.
        product: what the controller said it makes when the part came; ``None`` where it says nothing.
        number: the ledger's; ``None`` until there is one.
        here: its frame, its fields or its fault has come.
        slot: of the frame ring; -1 where it has none.
        ask: under this number its source wants to be told the verdict; 0 if it does not.
        done: it has its verdict.
        body: of its record, once that is whole.
        followed: by each output, its way to the ejector.
        by_engine: an engine decided it.
        disputed: the challenger decided otherwise.
    """

    arrived_ns: int
    count: int | None = None
    seen: Seen | None = None
    product: int | None = None
    number: int | None = None
    here: bool = False
    item: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    slot: int = -1
    shape: list[int] = field(default_factory=list)
    fields: Mapping[str, float] | None = None
    fault: str = ""
    decision: str = ""
    late: bool = False
    tries: int = 0
    ask: int = 0
    timer: asyncio.TimerHandle | None = None
    done: bool = False
    body: dict[str, Any] | None = None
    followed: list[Followed | None] = field(default_factory=list)
    by_engine: bool = False
    disputed: bool = False

    def take(self, told: Mapping[str, Any]) -> None:
        """What the source worker says of it."""
        self.here = True
        self.item, self.context, self.slot = told["item"], told["context"], told["slot"]
        self.shape, self.fields, self.fault = told.get("shape", []), told.get("fields"), told.get("fault", "")
        self.ask = told.get("ask", 0)

    def disarm(self) -> None:
        """No deadline any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass
class Overflow:
    """Parts beyond what memory holds while the disk gives no numbers; nobody judges them, and they are declared.

    Attributes:
        most: parts that may wait for a number.
        first: count of the first one that was turned away.
        last: of the last one.
        parts: how many.
    """

    most: int = 10_000
    first: int = 0
    last: int = 0
    parts: int = 0

    def turns_away(self, waiting: int, count: int | None) -> bool:
        """Whether there is no room for a part while so many wait."""
        if waiting < self.most:
            return False
        self.first = self.first if self.parts else count or 0
        self.last, self.parts = count or 0, self.parts + 1
        return True

    def taken(self) -> tuple[int, int, int]:
        """First, last and how many were turned away since this was asked."""
        found = (self.first, self.last, self.parts)
        self.first = self.last = self.parts = 0
        return found


@dataclass
class StationAccount:
    """What a station did since it was started.

    Attributes:
        decisions: verdicts by decision.
        late: verdicts that the deadline gave.
        safe: verdicts that were given because no engine answered, or there was no usable picture.
        unfit: verdicts on pictures that could not be judged: too dark, blurred, frozen, ….
        missed: parts that the controller counted and nobody could judge.
        untold: verdicts that a controller did not take in time, or parts that it did not throw out.
        captured: frames that came from a camera that runs by itself.
        dropped: those that nobody wanted: there was no trigger, or the engine had enough to do.
        reconnects: how often the camera was gone and came back.
        frames: parts that the source gave.
        unfit_in_a_row: pictures up to now that could not be judged, and what was wrong with the last one of them.
        latencies_ms: arrival to verdict, or trigger to the controller's confirmation, of the last ones.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    late: int = 0
    safe: int = 0
    unfit: int = 0
    missed: int = 0
    untold: int = 0
    captured: int = 0
    dropped: int = 0
    reconnects: int = 0
    frames: int = 0
    unfit_in_a_row: tuple[int, str] = (0, "")
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
