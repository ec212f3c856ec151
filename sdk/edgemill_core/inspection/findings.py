"""One thing that an engine found in a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Box:
    """A rectangle, in shares of the width and height of the region that the model looks at, origin at the top left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Share of the region that it covers."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: its class.
        score: how sure the model is; 0 to 1 for a detector, in the model's own unit for an anomaly map.
        area: share of the region that it covers: of its box, or of its own pixels where the model gives those.
    """

    kind: str
    score: float
    box: Box
    area: float

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form, with the box as ``[left, top, right, bottom]``."""
        box = [round(value, 5) for value in (self.box.left, self.box.top, self.box.right, self.box.bottom)]
        return {"class": self.kind, "score": round(self.score, 5), "box": box, "area": round(self.area, 7)}


MOST_LISTED = 50
"""Findings that a verdict lists; all are counted."""


def reading_of(findings: Sequence[Finding]) -> dict[str, object]:
    """A verdict's reading: how many of each class, and the surest ones, which must come first, one by one."""
    counts = Counter(finding.kind for finding in findings)
    listed = [finding.as_dict() for finding in findings[:MOST_LISTED]]
    return {"found": dict(sorted(counts.items())), "findings": listed}


def findings_in(reading: Mapping[str, Any]) -> list[Finding]:
    """The findings that a reading lists, as they were written down: the surest first."""
    return [
        Finding(told["class"], told["score"], Box(*told["box"]), told["area"]) for told in reading.get("findings", ())
    ]


def in_words(reading: Mapping[str, object]) -> dict[str, str]:
    """A verdict's reading for people, by name: findings as what was counted, everything else as it stands.

    Of a chain, what each stage saw, by the stage's name.
    """
    words = {name: str(value) for name, value in reading.items() if name not in ("found", "findings", "stages")}
    counts = reading.get("found")
    if isinstance(counts, Mapping):
        words["found"] = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"
    stages = reading.get("stages")
    for name, told in stages.items() if isinstance(stages, Mapping) else ():
        seen = (", ".join(in_words(one["reading"]).values()) for one in told["seen"] if "reading" in one)
        words[name] = "; ".join(seen) or "nothing"
    return words
