"""Fail if a benchmark's row misses its bar; reads the benchmark's JSON from stdin."""

from __future__ import annotations

import json
import sys

rows = json.load(sys.stdin)["rows"]
missed = [
    f"{row['case']}: {row['figure']} {row['ours']} {row['unit']}, bar {row['bar']}"
    for row in rows
    if row["holds"] is False
]
sys.exit("\n".join(missed) if missed else 0)
