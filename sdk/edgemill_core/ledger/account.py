"""The account: how many verdicts there are, and what became of every number."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgemill_core.ledger.record import Kind, Record

if TYPE_CHECKING:
    from edgemill_core.ledger.anchor import Anchor


class Ranges:
    """A set of whole numbers, small as long as they mostly follow on each other."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> bool:
        """Add ``number``; false if it was there already."""
        place = bisect_right(self._firsts, number)
        if place and number <= self._lasts[place - 1]:
            return False
        after = bool(place) and self._lasts[place - 1] == number - 1
        before = place < len(self._firsts) and self._firsts[place] == number + 1
        if after and before:
            self._lasts[place - 1] = self._lasts.pop(place)
            self._firsts.pop(place)
        elif after:
            self._lasts[place - 1] = number
        elif before:
            self._firsts[place] = number
        else:
            self._firsts.insert(place, number)
            self._lasts.insert(place, number)
        return True

    def add_range(self, first: int, last: int) -> None:
        """Add every number from ``first`` to ``last``, both included."""
        left = bisect_left(self._lasts, first - 1)
        right = bisect_right(self._firsts, last + 1)
        if left < right:
            first, last = min(first, self._firsts[left]), max(last, self._lasts[right - 1])
        self._firsts[left:right], self._lasts[left:right] = [first], [last]

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number)
        return bool(place) and number <= self._lasts[place - 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self)

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """What of ``first`` to ``last``, both included, is not in the set, as ranges."""
        gaps, expected = [], first
        for start, end in self:
            if end < expected or start > last:
                continue
            if start > expected:
                gaps.append((expected, start - 1))
            expected = max(expected, end + 1)
        if expected <= last:
            gaps.append((expected, last))
        return gaps


@dataclass
class Account:
    """What a consumer can say about one ledger.

    Attributes:
        verdicts: numbers of the verdicts that arrived.
        doubled: numbers under which a second verdict arrived; there must be none.
        lost: verdicts that the box declared lost.
        void: numbers that the box declared to stand for no verdict.
        stations: verdicts per station.
        trimmed: verdicts that only a signed anchor tells of; ``delivered`` counts them.
    """

    verdicts: Ranges = field(default_factory=Ranges)
    doubled: list[int] = field(default_factory=list)
    lost: int = 0
    void: int = 0
    stations: dict[str, int] = field(default_factory=dict)
    trimmed: int = 0

    @classmethod
    def of_anchor(cls, anchor: Anchor | None) -> Account:
        """The account of the records that ``anchor`` stands for."""
        if anchor is None:
            return cls()
        return cls(lost=anchor.lost, void=anchor.void, stations=dict(anchor.stations), trimmed=anchor.verdicts)

    def add(self, record: Record) -> None:
        """Take one record into the account."""
        header = record.header
        if header.kind is Kind.VERDICT:
            if not self.verdicts.add(header.number):
                self.doubled.append(header.number)
            self.stations[header.station] = self.stations.get(header.station, 0) + 1
        elif record.payload is not None and header.kind is Kind.LOST:
            self.lost += int(record.payload.content()["count"])
        elif record.payload is not None and header.kind is Kind.VOID:
            self.void += sum(last - first + 1 for first, last in record.payload.content()["ranges"])

    @property
    def delivered(self) -> int:
        """Distinct numbers of verdicts."""
        return len(self.verdicts) + self.trimmed

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            "delivered": self.delivered,
            "doubled": len(self.doubled),
            "declared_lost": self.lost,
            "void_numbers": self.void,
            "stations": dict(self.stations),
        }
