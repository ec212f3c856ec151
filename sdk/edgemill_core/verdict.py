"""What a station says about one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Decision(str, Enum):
    """What a line can do with a part, or that the verdict is a figure and nothing is decided."""

    PASS = "pass"
    REJECT = "reject"
    UNCERTAIN = "uncertain"
    SCORE = "score"


@dataclass(frozen=True)
class Verdict:
    """A decision with its reasons.

    Attributes:
        decision: what the line does with the part.
        reasons: why, in words, most important first; empty for a clean pass.
        confidence: the model's own confidence, 0 to 1; NaN for a score, or if the engine gave no number.
        reading: what the task read or found (for text: ``{"text": …}``), JSON-ready.
    """

    decision: Decision
    reasons: tuple[str, ...] = ()
    confidence: float = float("nan")
    reading: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def broken(self) -> bool:
        """The engine gave values that are not numbers."""
        return self.decision is not Decision.SCORE and self.confidence != self.confidence

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form; a confidence that is not a number becomes ``None``."""
        finite = self.confidence == self.confidence
        return {
            "decision": self.decision.value,
            "reasons": list(self.reasons),
            "confidence": round(self.confidence, 6) if finite else None,
            "reading": dict(self.reading),
        }
