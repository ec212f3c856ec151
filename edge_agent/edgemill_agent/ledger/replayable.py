"""Which bundles the ledger's records were judged by, as long as they can be judged again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgemill_agent.ledger.view import LedgerView
from edgemill_core.ledger import Kind


@dataclass(frozen=True)
class JudgedBy:
    """Bundles by the digest of their content.

    Attributes:
        last: what each station was started with last.
        replay: what parts were judged by of which frame or numbers are kept, as far as it was asked.
    """

    last: frozenset[str]
    replay: frozenset[str]


def judged_by(view: LedgerView, asked: Callable[[str], bool]) -> JudgedBy:
    """As the records say.

    An engine's id stands for one bundle with one set of settings, so it does not matter when it was started.

    Args:
        asked: whether it is of interest what parts a bundle judged: looking for them may take a while.
    """
    last: dict[str, str] = {}
    first: dict[tuple[str, str | None, str], int] = {}
    for record in view.of_kind(Kind.START):
        told = record.payload.content() if record.payload is not None else {}
        station, digest = record.header.station, told.get("digest")
        if isinstance(digest, str):
            last[station] = digest
            first.setdefault((station, told.get("engine"), digest), record.header.position)
    replay: set[str] = set()
    for (station, engine, digest), position in first.items():
        if digest not in replay and asked(digest) and _can(view, station, engine, position):
            replay.add(digest)
    return JudgedBy(frozenset(last.values()), frozenset(replay))


def _can(view: LedgerView, station: str, engine: str | None, position: int) -> bool:
    return any(view.replayable(station, one, position) for one in dict.fromkeys((engine, None)))
