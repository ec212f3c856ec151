"""Which bundles the ledger's records were judged by, as long as they can be judged again."""

from __future__ import annotations

from dataclasses import dataclass

from edgemill_agent.ledger.view import LedgerView
from edgemill_core.ledger import Kind


@dataclass(frozen=True)
class JudgedBy:
    """Bundles by the digest of their content.

    Attributes:
        last: what each station was started with last.
        replay: what parts were judged by of which frame or numbers are kept.
    """

    last: frozenset[str]
    replay: frozenset[str]


def judged_by(view: LedgerView) -> JudgedBy:
    """As the records say.

    An engine's id stands for one bundle with one set of settings, so it does not matter when it was started.
    """
    engines, last, replay = view.replayable_engines(), {}, set()
    for record in view.of_kind(Kind.START):
        told = record.payload.content() if record.payload is not None else {}
        station, digest = record.header.station, told.get("digest")
        if not isinstance(digest, str):
            continue
        last[station] = digest
        if (station, told.get("engine")) in engines or (station, None) in engines:
            replay.add(digest)
    return JudgedBy(frozenset(last.values()), frozenset(replay))
