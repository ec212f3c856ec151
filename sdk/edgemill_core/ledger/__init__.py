"""What a ledger record is, how records are chained, and how the account is made. No disk and no network here."""

from __future__ import annotations

from edgemill_core.ledger.account import Account, Ranges
from edgemill_core.ledger.chain import GENESIS, Fault, check_chain
from edgemill_core.ledger.record import Header, Kind, Payload, Record

__all__ = ["GENESIS", "Account", "Fault", "Header", "Kind", "Payload", "Ranges", "Record", "check_chain"]
