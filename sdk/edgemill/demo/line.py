"""Parts of a line and what became of each, seen by somebody who knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from edgemill_core.samples import Sample
from edgemill_core.verdict import Decision, Verdict


class Fate(str, Enum):
    """What became of a part, seen by somebody who knows the truth."""

    ESCAPE = "escape"
    OVERKILL = "overkill"
    RIGHTLY_REJECTED = "rightly rejected"
    RIGHTLY_PASSED = "rightly passed"


@dataclass(frozen=True)
class Part:
    """One part, its verdict, and how long that took, arrival to verdict, in milliseconds."""

    sample: Sample
    verdict: Verdict
    milliseconds: float

    @property
    def fate(self) -> Fate:
        """Truth against verdict."""
        passed = self.verdict.decision is Decision.PASS
        if self.sample.truth is not None and self.sample.truth.good:
            return Fate.RIGHTLY_PASSED if passed else Fate.OVERKILL
        return Fate.ESCAPE if passed else Fate.RIGHTLY_REJECTED


def count(parts: Sequence[Part], fate: Fate) -> int:
    """How many parts met ``fate``."""
    return sum(part.fate is fate for part in parts)


def line_summary(parts: Sequence[Part]) -> dict[str, Any]:
    """JSON-ready account of the line: counts of parts, and milliseconds from a part's arrival to its verdict."""
    latencies = [part.milliseconds for part in parts]
    return {
        "parts": len(parts),
        "readable": sum(bool(part.sample.truth and part.sample.truth.good) for part in parts),
        "escapes": count(parts, Fate.ESCAPE),
        "overkill": count(parts, Fate.OVERKILL),
        "verdict_ms": {
            "p50": round(float(np.percentile(latencies, 50)), 3),
            "p99": round(float(np.percentile(latencies, 99)), 3),
        },
    }
