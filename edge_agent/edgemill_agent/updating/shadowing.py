"""Whether a release that looks on agrees with what judges: counted anew from the ledger, never remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgemill_agent.line.engines import CHALLENGER
from edgemill_agent.settings import StationSettings
from edgemill_agent.updating.outcome import Outcome, is_of
from edgemill_agent.updating.states import Event
from edgemill_core.ledger import Kind, Record
from edgemill_core.statistics.sequential import START, Conclusion, Reached, SequentialTest

KINDS = (Kind.SWAP, Kind.SHADOW)
"""Of records that are looked at."""
MOST_ENDS = 3
"""A release that dies or hangs so often while it looks on is refused."""
_MOST_NAMED = 20
"""Disputed parts that a reason names."""


@dataclass(frozen=True)
class Looked:
    """What one station saw of the release.

    Attributes:
        at: where the test is.
        most: parts after which it has concluded.
        disputed: numbers of the parts that the release decided otherwise.
        ends: how often it died or hung.
        why_ended: the last time.
        refused: why it cannot be used at all.
        parts: that the release saw, those after a conclusion too.
        engine: id of the engine that looks on; another one (other settings, another runtime) is counted anew.
    """

    most: int
    at: Reached = START
    disputed: tuple[int, ...] = ()
    ends: int = 0
    why_ended: str = ""
    refused: str = ""
    parts: int = 0
    engine: str = ""

    def __str__(self) -> str:
        return f"{self.at.hits} of {self.at.seen} parts decided otherwise"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        agrees = None if self.at.conclusion is None else self.at.conclusion is Conclusion.LOW
        counts = {"seen": self.at.seen, "disputed": self.at.hits, "most": self.most, "ends": self.ends}
        return {**counts, "numbers": list(self.disputed), "agrees": agrees}


@dataclass(frozen=True)
class Shadowed:
    """How far it is.

    Attributes:
        stations: that look, by name.
        outcome: ``None``: not decided yet.
    """

    stations: Mapping[str, Looked]
    outcome: Outcome | None

    @property
    def seen(self) -> int:
        """Parts that the release saw, of all stations."""
        return sum(one.parts for one in self.stations.values())

    def __str__(self) -> str:
        return "; ".join(f"station {name}: {one}, {one.most} at most" for name, one in self.stations.items())


def shadowed(records: Iterable[Record], digest: str, folder: str, stations: Iterable[StationSettings]) -> Shadowed:
    """The first station that concludes against the release, or cannot use it, decides; all of them together for it.

    Args:
        records: from the moment on in which it was to look on, in the order of the chain.
        digest: of the content of its bundle.
        folder: where that lies: a bundle that could not be loaded is named by that.
        stations: that run the release's name; those without ``swap.shadow`` have no say.
    """
    asked = {one.name: one.swap.shadow.test for one in stations if one.swap.shadow is not None}
    looked = {name: Looked(test.most) for name, test in asked.items()}
    for record in records:
        if (outcome := _outcome(looked)) is not None:
            return Shadowed(looked, outcome)
        name = record.header.station
        if name not in asked or record.payload is None:
            continue
        told = record.payload.content()
        if record.header.kind is Kind.SHADOW:
            looked[name] = _with_part(looked[name], asked[name], told)
        elif record.header.kind is Kind.SWAP and told.get("role") == CHALLENGER and is_of(told["to"], digest, folder):
            looked[name] = _with_swap(looked[name], told)
    return Shadowed(looked, _outcome(looked))


def _outcome(looked: Mapping[str, Looked]) -> Outcome | None:
    against = next(((name, why) for name, one in looked.items() if (why := _against(one))), None)
    if against is not None:
        return Outcome(Event.DISAGREES, f"station {against[0]}: {against[1]}")
    if all(one.at.conclusion is Conclusion.LOW for one in looked.values()):
        why = "; ".join(f"station {name}: {one}" for name, one in looked.items())
        return Outcome(Event.AGREES, why or "no station wants to see it first")
    return None


def _with_part(looked: Looked, test: SequentialTest, told: Mapping[str, Any]) -> Looked:
    if told["engine"] != looked.engine:
        return looked
    looked = replace(looked, parts=looked.parts + 1)
    if looked.at.conclusion is not None:
        return looked
    disputed = (*looked.disputed, int(told["number"])) if told["disputed"] else looked.disputed
    return replace(looked, at=test.step(looked.at, told["disputed"]), disputed=disputed)


def _with_swap(looked: Looked, told: Mapping[str, Any]) -> Looked:
    if told["outcome"] == "ended":
        return replace(looked, ends=looked.ends + 1, why_ended=told.get("why", ""))
    if told["outcome"] == "refused":
        return replace(looked, refused=told.get("why", "refused"))
    if told["outcome"] == "looks on" and told["to"]["engine"] != looked.engine:
        return replace(looked, at=START, disputed=(), engine=told["to"]["engine"])
    return looked


def _against(looked: Looked) -> str | None:
    if looked.at.conclusion is Conclusion.HIGH:
        more = "" if len(looked.disputed) <= _MOST_NAMED else ", …"
        named = ", ".join(map(str, looked.disputed[:_MOST_NAMED])) + more
        return f"{looked}: too many for the share that may be (numbers {named}; {looked.most} parts at most)"
    if looked.ends >= MOST_ENDS:
        return f"it died or hung {looked.ends} times while it looked on ({looked.why_ended})"
    return looked.refused or None
