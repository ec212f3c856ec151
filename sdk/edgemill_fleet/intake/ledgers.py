"""The tables as a store of the reference consumer, for one transaction over many batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import insert, select, tuple_
from sqlalchemy.orm import Session

from edgemill_core.ledger import Anchor, Record
from edgemill_fleet.store import tables
from edgemill_fleet.store.rows import pieces, put_rows
from edgemill_link.consumer_store import Progress


@dataclass(frozen=True)
class _Place:
    progress: Progress = Progress()  # noqa: RUF009 (frozen)
    anchor: str = ""


class LedgerTables:
    """``consumer.Ledgers`` over one session. What is added is written by ``write``, all at once.

    Args:
        wanted: device and ledger of every batch that will be taken. Their rows are held until the transaction ends,
            so that of two intakes with the same box one waits.
    """

    def __init__(self, session: Session, wanted: Iterable[tuple[str, str]]) -> None:
        self._session = session
        self._places: dict[tuple[str, str], _Place] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._rows: list[dict[str, object]] = []
        keys = sorted(set(wanted))
        for some in pieces(keys):
            self._read(some)
        self._known = frozenset(self._places)

    @property
    def begun(self) -> set[str]:
        """Devices of which a ledger was taken that was never seen before."""
        return {device for device, ledger in self._changed if (device, ledger) not in self._known}

    def progress(self, device: str, ledger: str) -> Progress:
        """How far this ledger was taken."""
        return self._place(device, ledger).progress

    def anchor(self, device: str, ledger: str) -> Anchor | None:
        """The anchor that this ledger was last begun at, if it was."""
        told = self._place(device, ledger).anchor
        return Anchor.from_dict(json.loads(told)) if told else None

    def begin_at(self, device: str, anchor: Anchor) -> None:
        """The box has nothing before ``anchor`` any more: go on behind it."""
        told = json.dumps(anchor.as_dict())
        self._put(device, anchor.ledger, _Place(Progress(anchor.position, anchor.link), told))

    def add(self, device: str, ledger: str, records: Sequence[Record], progress: Progress) -> None:
        """Add ``records`` and move on to ``progress``."""
        self._rows += [_row(device, ledger, record) for record in records]
        self._put(device, ledger, replace(self._place(device, ledger), progress=progress))

    def write(self) -> None:
        """Hand everything to the database.

        Raises:
            sqlalchemy.exc.IntegrityError: another intake was quicker with a ledger that nobody had seen before.
        """
        if self._rows:
            self._session.execute(insert(tables.RecordRow.__table__), self._rows)  # type: ignore[arg-type]
        changed = [(key, self._places[key]) for key in sorted(self._changed)]
        put_rows(
            self._session,
            tables.Progress,
            [
                {
                    "device": device,
                    "ledger": ledger,
                    "position": place.progress.position,
                    "link": place.progress.link,
                    "anchor": place.anchor,
                }
                for (device, ledger), place in changed
            ],
        )

    def _read(self, keys: Sequence[tuple[str, str]]) -> None:
        one = tables.Progress
        columns = select(one.device, one.ledger, one.position, one.link, one.anchor)
        rows = columns.where(tuple_(one.device, one.ledger).in_(keys)).order_by(one.device, one.ledger)
        for device, ledger, position, link, anchor in self._session.execute(rows.with_for_update()):
            self._places[device, ledger] = _Place(Progress(position, link), anchor)

    def _place(self, device: str, ledger: str) -> _Place:
        return self._places.get((device, ledger), _Place())

    def _put(self, device: str, ledger: str, place: _Place) -> None:
        self._places[device, ledger] = place
        self._changed[device, ledger] = None


def all_progress(session: Session) -> list[tuple[str, str, Progress]]:
    """Device, ledger and how far it was taken, for each ledger."""
    rows = select(tables.Progress.device, tables.Progress.ledger, tables.Progress.position, tables.Progress.link)
    return [(device, ledger, Progress(position, link)) for device, ledger, position, link in session.execute(rows)]


def _row(device: str, ledger: str, record: Record) -> dict[str, object]:
    header, payload = record.header, record.payload
    return {
        "device": device,
        "ledger": ledger,
        "position": header.position,
        "number": header.number,
        "kind": header.kind.value,
        "station": header.station,
        "decision": header.decision,
        "utc_ns": header.utc_ns,
        "boot": header.boot,
        "monotonic_ns": header.monotonic_ns,
        "digest": header.digest,
        "link": record.link,
        "salt": payload.salt if payload else None,
        "body": payload.body if payload else None,
    }
