"""The table of an export of evidence: what a box knows of a part, and room for what somebody makes of it."""

from __future__ import annotations

TABLE = "evidence.csv"
LABELS = ("good", "class", "printed")
"""Columns that are empty when they are exported: good as 1 or 0, a class, what is printed."""
COLUMNS = ("file", "ledger", "number", "station", "item", "decision", "late", "reasons", "expected", *LABELS)
