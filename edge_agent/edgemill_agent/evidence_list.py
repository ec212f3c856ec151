"""Which parts may be looked at again: frames that are kept, that could not be kept, and that had to go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from edgemill_agent.evidence import frame_file
from edgemill_agent.ledger import LedgerView
from edgemill_core.ledger import Kind, Record


@dataclass(frozen=True)
class Listed:
    """One part whose frame was to be kept.

    Attributes:
        number: of its verdict.
        decision: empty if the verdict was trimmed, or never recorded.
        reasons: of the verdict; empty if its payload was evicted.
        late: the deadline gave the verdict.
        state: ``kept``, ``evicted``, or ``not kept``.
        why: it is not there, in words.
        file: relative to the state folder; empty unless kept.
        bytes: of the file.
    """

    number: int
    station: str
    item: str
    decision: str
    reasons: tuple[str, ...]
    late: bool
    state: str
    why: str = ""
    file: str = ""
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def list_evidence(view: LedgerView, station: str = "") -> list[Listed]:
    """Every part whose frame was to be kept and that the ledger still tells of, by number; of one station if named."""
    found = {one.number: one for one in (*_evicted(view), *_recorded(view))}
    return [one for _, one in sorted(found.items()) if not station or one.station == station]


def _recorded(view: LedgerView) -> Iterator[Listed]:
    for record in view.of_kind(Kind.EVIDENCE):
        if record.payload is None:
            continue  # its eviction names it
        told = record.payload.content()
        if "not_kept" in told:
            yield _listed(view, told["number"], record.header.station, "not kept", told["not_kept"])
        else:
            yield _listed(view, told["number"], record.header.station, "kept", size=told["bytes"])


def _evicted(view: LedgerView) -> Iterator[Listed]:
    for record in view.of_kind(Kind.EVICTED):
        told = record.payload.content() if record.payload is not None else {}
        for first, last in told.get("numbers", ()):
            for number in range(first, last + 1):
                yield _listed(view, number, told.get("station", ""), "evicted", told["why"])


def _listed(view: LedgerView, number: int, station: str, state: str, why: str = "", size: int = 0) -> Listed:
    verdict = view.verdict(number)
    told = _content(verdict)
    station = station or (verdict.header.station if verdict is not None else "")
    return Listed(
        number,
        station,
        str(told.get("item", "")),
        verdict.header.decision if verdict is not None else "",
        tuple(told.get("verdict", {}).get("reasons", ())),
        bool(told.get("late", False)),
        state,
        why,
        frame_file(station, number) if state == "kept" else "",
        size,
    )


def _content(record: Record | None) -> dict[str, Any]:
    return record.payload.content() if record is not None and record.payload is not None else {}
