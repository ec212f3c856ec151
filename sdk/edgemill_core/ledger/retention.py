"""What goes first when room runs out: the policy, without a disk.

Metrics go before what challengers said, that before evidence, evidence before verdict payloads; headers stay for as
long as their retention says. What declares something (starts, swaps, losses, void numbers, clock jumps, evictions)
stays with its header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgemill_core.ledger.account import Ranges
from edgemill_core.ledger.record import Kind, Record

EVICTED_FIRST = (Kind.METRICS, Kind.SHADOW, Kind.EVIDENCE, Kind.VERDICT)
"""Kinds whose payloads may be evicted, in the order in which they go."""


def evictions(held: Mapping[Kind, int], need: int) -> dict[Kind, int]:
    """How much of each kind goes so that ``need`` bytes come free.

    Args:
        held: bytes that each kind holds now.
        need: bytes to free.

    Returns:
        Bytes per kind, in the order in which they go. Their sum is less than ``need`` if there is not so much.
    """
    plan = {}
    for kind in EVICTED_FIRST:
        share = min(need, held.get(kind, 0))
        if share > 0:
            plan[kind] = share
            need -= share
    return plan


class Declared:
    """Which payloads may be missing because an eviction was declared."""

    def __init__(self, declarations: Iterable[Record] = ()) -> None:
        self._ranges: dict[Kind, Ranges] = {kind: Ranges() for kind in EVICTED_FIRST}
        for record in declarations:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take in a declaration; other records are left aside."""
        if record.header.kind is Kind.EVICTED and record.payload is not None:
            told = record.payload.content()
            self._ranges[Kind(told["what"])].add_range(int(told["first"]), int(told["last"]))

    def covers(self, record: Record) -> bool:
        """Whether ``record`` may be without its payload."""
        kind = record.header.kind
        return kind in self._ranges and record.header.position in self._ranges[kind]
