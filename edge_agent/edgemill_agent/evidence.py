"""What is left of one part on the box: what came, what was said of it, and by which engine with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_agent.ledger import LedgerView
from edgemill_agent.ledger.room import EVIDENCE
from edgemill_core.durable import sha256_file
from edgemill_core.errors import InputError, LedgerError
from edgemill_core.ledger import Record


@dataclass(frozen=True)
class Evidence:
    """One part that was judged.

    Attributes:
        number: the ledger's.
        verdict: as recorded.
        by_engine: false for the safe verdict of a part that was late or could not be judged, and where the picture
            itself was found unfit.
        context: what the line knew of the part.
        frame: the kept picture, checked against its recorded digest; ``None`` for a request of numbers.
        fields: the numbers of a request; ``None`` for a picture.
        engine: bundle, version, digest, runtime and the box's own settings, as recorded when the engine was started;
            empty if that record was trimmed.
    """

    number: int
    station: str
    item: str
    verdict: Mapping[str, Any]
    by_engine: bool
    context: Mapping[str, str]
    frame: Path | None
    fields: Mapping[str, float] | None
    engine: Mapping[str, Any]


def find_evidence(view: LedgerView, number: int) -> Evidence:
    """All that is left of the part with this number.

    Raises:
        InputError: there is no such verdict, or its payload or frame was not kept or has been evicted.
        LedgerError: the frame was altered.
    """
    record = view.verdict(number)
    if record is None:
        raise _gone(number, "a number that has a verdict in this ledger", "none of that number, or it was trimmed")
    if record.payload is None:
        raise _gone(number, "a verdict whose payload is kept", "its payload was evicted")
    told, station = record.payload.content(), record.header.station
    fields = told.get("fields")
    start = view.start_before(record.header.position, station, told.get("engine"))
    return Evidence(
        number=number,
        station=station,
        item=told["item"],
        verdict=told["verdict"],
        by_engine="engine_ms" in told and "unfit" not in told,
        context=told["context"],
        frame=_frame(view, record) if fields is None else None,
        fields=fields,
        engine=start.payload.content() if start is not None and start.payload is not None else {},
    )


def _frame(view: LedgerView, verdict: Record) -> Path:
    number, file = verdict.header.number, frame_file(verdict.header.station, verdict.header.number)
    record = view.kept_frame(file)
    if record is None or record.payload is None:
        raise _gone(number, "a part whose frame was kept, see `evidence:` in agent.yaml", "no frame of it is there")
    path = view.folder / file
    found = sha256_file(path) if path.is_file() else "no such file"
    if found != record.payload.content()["sha256"]:
        raise LedgerError(
            f"the kept frame {path} is not the one that was recorded",
            expected=f"SHA-256 {record.payload.content()['sha256']}",
            got=found,
            fix="it shows nothing any more; run `edgemill ledger verify` on the state folder",
        )
    return path


def frame_file(station: str, number: int) -> str:
    """Where a kept frame lies, relative to the state folder."""
    return f"{EVIDENCE}/{station}/{number:012d}.png"


def _gone(number: int, expected: str, got: str) -> InputError:
    return InputError(
        f"part {number} cannot be looked at again",
        expected=expected,
        got=got,
        fix="name another number; `edgemill ledger export` lists what is there",
    )
