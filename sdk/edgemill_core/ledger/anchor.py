"""Where a trimmed ledger begins: what was before, counted, and signed with the box's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgemill_core.durable import canonical_json
from edgemill_core.ledger.account import Account


@dataclass(frozen=True)
class Anchor:
    """The statement that replaces trimmed headers.

    Attributes:
        ledger: id of the ledger.
        position: of the last record that was trimmed.
        link: of that record; the next one is chained to it.
        utc_ns: the box's wall clock when it was trimmed.
        verdicts: how many verdicts were trimmed so far.
        lost: verdicts that the trimmed records declared lost.
        void: numbers that they declared void.
        stations: trimmed verdicts per station.
        key: the box's public key, Ed25519, hex.
        signature: over ``statement()``, Ed25519, hex.
    """

    ledger: str
    position: int
    link: str
    utc_ns: int
    verdicts: int = 0
    lost: int = 0
    void: int = 0
    stations: Mapping[str, int] = field(default_factory=dict)
    key: str = ""
    signature: str = ""

    def statement(self) -> bytes:
        """The bytes that are signed: everything but the signature."""
        told = self.as_dict()
        del told["signature"]
        return canonical_json(told)

    def signed(self, signature: str) -> Anchor:
        """This anchor with its signature."""
        return replace(self, signature=signature)

    def with_trimmed(self, trimmed: Account, position: int, link: str, utc_ns: int) -> Anchor:
        """The next anchor, unsigned: ``trimmed`` counts the records after this one up to ``position``."""
        names = dict.fromkeys([*self.stations, *trimmed.stations])
        stations = {name: self.stations.get(name, 0) + trimmed.stations.get(name, 0) for name in names}
        return replace(
            self,
            position=position,
            link=link,
            utc_ns=utc_ns,
            verdicts=self.verdicts + trimmed.delivered,
            lost=self.lost + trimmed.lost,
            void=self.void + trimmed.void,
            stations=stations,
            signature="",
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "stations": dict(self.stations)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Anchor:
        """The anchor that ``as_dict`` gave.

        Raises:
            KeyError, ValueError, TypeError, AttributeError: it is none.
        """
        return cls(
            str(found["ledger"]),
            int(found["position"]),
            str(found["link"]),
            int(found["utc_ns"]),
            int(found["verdicts"]),
            int(found["lost"]),
            int(found["void"]),
            {str(name): int(count) for name, count in found["stations"].items()},
            str(found["key"]),
            str(found["signature"]),
        )
