"""What a ledger record is, how records are chained, and how the account is made. No disk and no network here."""

from __future__ import annotations

from edgemill_core.ledger.account import Account, Ranges
from edgemill_core.ledger.anchor import Anchor
from edgemill_core.ledger.chain import GENESIS, Fault, check_chain
from edgemill_core.ledger.record import Header, Kind, Payload, Record
from edgemill_core.ledger.retention import EVICTED_FIRST, Declared, evictions
from edgemill_core.ledger.segment import NO_END, Segment

__all__ = [
    "EVICTED_FIRST",
    "GENESIS",
    "NO_END",
    "Account",
    "Anchor",
    "Declared",
    "Fault",
    "Header",
    "Kind",
    "Payload",
    "Ranges",
    "Record",
    "Segment",
    "check_chain",
    "evictions",
]
