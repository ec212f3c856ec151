"""What became of a trial: read from the ledger, which was there, rather than remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_agent.ledger import LedgerView
from edgemill_agent.line.engines import ENGINE
from edgemill_agent.updating.states import Event
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Kind, Record


@dataclass(frozen=True)
class Outcome:
    """What decided a trial.

    Attributes:
        why: in words, with the station.
    """

    event: Event
    why: str


def outcome_of(records: Iterable[Record], digest: str, folder: str, stations: frozenset[str]) -> Outcome | None:
    """The first station that would not have it decides against it, all of them together for it; ``None``: not yet.

    Args:
        records: from the moment on in which it was put on trial.
        digest: of the content of the bundle on trial.
        folder: where it lies: a bundle that could not be loaded is named by that.
        stations: that are to run it.
    """
    kept: set[str] = set()
    for record in records:
        if record.header.kind is not Kind.SWAP or record.payload is None or record.header.station not in stations:
            continue
        told = record.payload.content()
        if told.get("role") != ENGINE:
            continue
        if told["outcome"] == "committed" and is_of(told.get("to"), digest, folder):
            kept.add(record.header.station)
        lost = told["outcome"] == "refused" and is_of(told.get("to"), digest, folder)
        if lost or (told["outcome"] == "fell back" and is_of(told.get("from"), digest, folder)):
            return Outcome(Event.FELL_BACK, f"station {record.header.station}: {told.get('why', told['outcome'])}")
    if stations and kept == stations:
        return Outcome(Event.KEPT, "")
    return None


def last_told(state: Path) -> int:
    """Number of the event that the ledger in the agent's state folder recorded last; 0 if it heard of none."""
    try:
        view = LedgerView.open(state)
    except LedgerError:
        return 0  # the agent was never started
    try:
        return int(view.cursors().get("", "0"))
    finally:
        view.close()


def is_of(engine: Mapping[str, Any] | None, digest: str, folder: str) -> bool:
    """Whether a record of a swap is about the engine of this bundle."""
    return engine is not None and (engine.get("digest") == digest or engine.get("folder") == folder)
