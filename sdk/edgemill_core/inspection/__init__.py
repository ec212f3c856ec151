"""What the inspection tasks share: findings, rules over them, and how findings come out of an engine's numbers."""

from __future__ import annotations

from edgemill_core.inspection.findings import Box, Finding, findings_in, in_words, reading_of
from edgemill_core.inspection.rules import Band, Rule, Ruling, Zone, check_rules, decide

__all__ = [
    "Band",
    "Box",
    "Finding",
    "Rule",
    "Ruling",
    "Zone",
    "check_rules",
    "decide",
    "findings_in",
    "in_words",
    "reading_of",
]
