"""The durable, numbered record of verdicts on the box."""

from __future__ import annotations

from edgemill_agent.ledger.store import COUNTED, Ages, Entry, Ledger, Opened, open_ledger
from edgemill_agent.ledger.view import LedgerView

__all__ = ["COUNTED", "Ages", "Entry", "Ledger", "LedgerView", "Opened", "open_ledger"]
