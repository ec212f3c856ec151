"""What became of a variant that was to have a plan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgemill_core.errors import EdgemillError
from edgemill_runtimes.nvidia.plan_facts import PlanFacts
from edgemill_runtimes.proof import Proof

Outcome = Literal["there", "compiled", "ahead", "refused", "left out", "failed"]
"""A plan that fits was there; it was compiled; it was compiled for other boxes, and not proved; it did not decide as at
build, and is not kept; nothing was done; it could not be compiled, or not be proved."""


@dataclass(frozen=True)
class Planned:
    """What became of one variant.

    Attributes:
        variant: its name; of a chain ``STAGE/VARIANT``.
        plan: where it lies; ``None`` where there is none.
        facts: of the plan.
        proof: what this box found; ``None`` where it was not asked.
        seconds: that it took.
        why: it was left out, or failed.
        error: that it failed with.
    """

    variant: str
    outcome: Outcome
    plan: Path | None = None
    facts: PlanFacts | None = None
    proof: Proof | None = None
    seconds: float = 0.0
    why: str = ""
    error: EdgemillError | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "variant": self.variant,
            "outcome": self.outcome,
            "plan": str(self.plan) if self.plan else None,
            "facts": self.facts.model_dump(mode="json") if self.facts else None,
            "proof": self.proof.as_dict() if self.proof else None,
            "seconds": round(self.seconds, 3),
            "why": self.why,
            "error": self.error.as_dict() if self.error else None,
        }
