"""Is a chain whole? A pure function, for the box, the consumer and the auditor alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemill_core.ledger.record import Record

GENESIS = "0" * 64
"""The link before the first record."""


@dataclass(frozen=True)
class Fault:
    """The first thing that is not right.

    Attributes:
        position: of the record that shows it.
        what: in words.
    """

    position: int
    what: str


def check_chain(records: Iterable[Record], position: int = 0, link: str = GENESIS) -> Fault | None:
    """The first fault in ``records``, which must follow on ``position`` and its ``link``; ``None`` if there is none."""
    for record in records:
        header = record.header
        if header.position != position + 1:
            return Fault(header.position, f"follows on {position}: records are missing or doubled")
        if header.link(link) != record.link:
            return Fault(header.position, "the header does not match its link: it, or one before it, was altered")
        if record.payload is not None and record.payload.digest != header.digest:
            return Fault(header.position, "the payload does not match its digest: it was altered")
        position, link = header.position, record.link
    return None
