"""What the build of a chain found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemill_converters.chaining.recipe import ChainRecipe
from edgemill_core.budget import Outcome
from edgemill_core.bundle import Bundle
from edgemill_core.rate_budget import RateJudgement
from edgemill_core.samples import Sample
from edgemill_core.verdict import Verdict


@dataclass(frozen=True)
class RuntimeResult:
    """The chain on one runtime.

    Attributes:
        variants: which one of each stage's bundle.
        verdicts: on the judge set, in its order.
        looks: per sample and in the order of the stages, how often each looked.
        milliseconds: per sample, from the decoded frame to the verdict, as it ran here beside its engines' processes.
        judgements: one a budget.
    """

    runtime: str
    variants: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    looks: tuple[tuple[int, ...], ...]
    milliseconds: tuple[float, ...]
    judgements: tuple[RateJudgement, ...]

    @property
    def holds(self) -> bool:
        """Whether every budget is kept."""
        return all(one.outcome is Outcome.PASS for one in self.judgements)

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        p50, p99 = (round(float(np.percentile(self.milliseconds, q)), 3) for q in (50, 99))
        budgets = [one.as_dict() for one in self.judgements]
        return {"variants": list(self.variants), "p50_ms": p50, "p99_ms": p99, "budget": budgets, "holds": self.holds}


@dataclass(frozen=True)
class ChainResult:
    """A finished build of a chain.

    Attributes:
        samples: the judge set.
        runtimes: best first.
        environment: the machine that it was judged on.
    """

    recipe: ChainRecipe
    samples: tuple[Sample, ...]
    runtimes: tuple[RuntimeResult, ...]
    environment: Mapping[str, object]
    bundle: Bundle | None
    report: Path

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            "name": self.recipe.name,
            "version": self.recipe.version,
            "chain": [stage.name for stage in self.recipe.chain],
            "samples": len(self.samples),
            "runtimes": {one.runtime: one.as_dict() for one in self.runtimes},
            "verdict": "pass" if all(one.holds for one in self.runtimes) else "fail",
            "content_digest": self.bundle.manifest.content_digest if self.bundle else None,
            "bundle": str(self.bundle.folder) if self.bundle else None,
            "report": str(self.report),
        }
