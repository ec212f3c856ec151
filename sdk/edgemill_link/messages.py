"""What travels: batches of records one way, acknowledgements the other. Plain JSON, so any backend can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from edgemill_core.ledger import Anchor, Record

BATCH_BYTES = 100_000
"""Aim for the size of a message; the smallest limit among the large brokers is 128 KiB (AWS IoT)."""


class MessageError(ValueError):
    """What came is not what this topic carries; it is counted and left aside."""


@contextmanager
def _reading(noun: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MessageError(f"not {noun}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Batch:
    """Records that follow on each other in one ledger.

    Attributes:
        ledger: id of the ledger.
        after: position of the record before the first one.
        previous: link of that record.
        records: at least one.
        anchor: says what was before, where the box trimmed everything up to ``after``.
    """

    ledger: str
    after: int
    previous: str
    records: tuple[Record, ...]
    anchor: Anchor | None = None

    def encode(self) -> bytes:
        """JSON; each record as ``Record.as_dict`` gives it."""
        told = {
            "ledger": self.ledger,
            "after": self.after,
            "previous": self.previous,
            "records": [record.as_dict() for record in self.records],
        }
        if self.anchor is not None:
            told["anchor"] = self.anchor.as_dict()
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, message: bytes) -> Batch:
        """The batch that ``encode`` gave.

        Raises:
            MessageError: it is none.
        """
        with _reading("a batch of records"):
            told = json.loads(message)
            records = tuple(Record.from_dict(one) for one in told["records"])
            anchor = Anchor.from_dict(told["anchor"]) if "anchor" in told else None
            batch = cls(str(told["ledger"]), int(told["after"]), str(told["previous"]), records, anchor)
        if not records:
            raise MessageError("a batch without records")
        return batch


@dataclass(frozen=True)
class Acknowledgement:
    """What the consumer has of one ledger, durably.

    Attributes:
        ledger: id of the ledger.
        position: of the last record it has; it has all before it.
        link: of that record; the box compares it with its own.
        again: records did not follow on ``position``, so please send again from there.
    """

    ledger: str
    position: int
    link: str
    again: bool = False

    def encode(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> Acknowledgement:
        """The acknowledgement that ``encode`` gave.

        Raises:
            MessageError: it is none.
        """
        with _reading("an acknowledgement"):
            told = json.loads(message)
            return cls(str(told["ledger"]), int(told["position"]), str(told["link"]), bool(told.get("again", False)))


@dataclass(frozen=True)
class Presence:
    """Whether a box is there, and what it believes the consumer has.

    Attributes:
        online: false in the last will.
        ledger: id of the box's ledger.
        acknowledged: position up to which the box believes its records delivered.
    """

    online: bool
    ledger: str
    acknowledged: int = 0

    def encode(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> Presence:
        """The presence that ``encode`` gave.

        Raises:
            MessageError: it is none.
        """
        with _reading("a presence"):
            told = json.loads(message)
            return cls(bool(told["online"]), str(told["ledger"]), int(told["acknowledged"]))


def first_batch(ledger: str, after: int, previous: str, records: Sequence[Record]) -> Batch:
    """As many of ``records`` as fit into one message, and at least one."""
    size, taken = 0, 0
    for record in records:
        size += 600 + (2 * len(record.payload.body) if record.payload else 0)
        if taken and size > BATCH_BYTES:
            break
        taken += 1
    return Batch(ledger, after, previous, tuple(records[:taken]))
