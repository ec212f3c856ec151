"""What is said of a budget, and of all budgets of a variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite

from pydantic import BaseModel, ConfigDict, field_validator

from edgemill_core.errors import DataError
from edgemill_core.metrics import plain_name
from edgemill_core.parts_of_one import Confidence, PartOfOne
from edgemill_core.statistics import PairedCounts


class Budget(BaseModel):
    """How much worse a variant may be, and how sure that must be.

    Attributes:
        metric: name of a metric of the task, in its one spelling.
        max_drop: largest tolerated worsening, in parts of 1: points of a rate or of a number of the whole set (0.01 is
            one point), or the share by which a mean loss may grow.
        confidence: one-sided, e.g. 0.95.
        floor: share of samples (in parts of 1) that must be right whatever the reference does, shown at the same
            confidence; for an error rate this is 1 minus the rate. Of a number of the whole set, its least value, or
            1 minus its largest where less is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    max_drop: PartOfOne
    confidence: Confidence = 0.95
    floor: PartOfOne | None = None

    @field_validator("metric")
    @classmethod
    def _one_spelling(cls, metric: str) -> str:
        return plain_name(metric)


class Outcome(str, Enum):
    """What the judge says. Only ``PASS`` ships."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


def by_bounds(allowed: float, seen: float, lower: float, upper: float, allowance: float) -> Outcome:
    """What is said of a drop of a number of a whole set.

    Args:
        allowed: the budget's.
        seen: the drop that was seen.
        lower: its lower confidence bound.
        upper: its upper one.
        allowance: the part of ``upper`` for what the set could not show.
    """
    if upper <= allowed:
        return Outcome.PASS
    if lower > allowed or (seen >= allowed and allowance <= allowed):
        return Outcome.FAIL
    return Outcome.UNDECIDED


@dataclass(frozen=True)
class Judgement:
    """One budget, judged.

    Attributes:
        outcome: pass, fail, or undecided for want of samples.
        why: one sentence for people.
        needs: about how many samples of the population would decide an undecided case.
        counts: the paired comparison; of a number of the whole set, of each sample's own part in it.
        reference: the metric of the reference, in parts of 1, or its mean loss.
        variant: the metric of the variant, in parts of 1, or its mean loss.
        drop: the worsening that was seen, in parts of 1.
        drop_upper_bound: upper confidence bound of the worsening, in parts of 1.
        judged_at: the confidence that was asked of this variant where it is more than the budget's, because it is one
            of several candidates.
    """

    budget: Budget
    outcome: Outcome
    why: str
    needs: int | None
    counts: PairedCounts
    reference: float
    variant: float
    drop: float
    drop_upper_bound: float
    judged_at: float | None = None

    @property
    def confidence(self) -> float:
        """At which it was judged."""
        return self.budget.confidence if self.judged_at is None else self.judged_at

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form; a figure that is no number, e.g. of a variant that overflows, becomes ``None``."""
        return {
            "metric": self.budget.metric,
            "max_drop": self.budget.max_drop,
            "confidence": self.budget.confidence,
            "judged_at": self.confidence,
            "floor": self.budget.floor,
            "outcome": self.outcome.value,
            "why": self.why,
            "needs": self.needs,
            "samples": self.counts.n,
            "worse": self.counts.worse,
            "better": self.counts.better,
            "reference": _finite(self.reference),
            "variant": _finite(self.variant),
            "drop_upper_bound": _finite(self.drop_upper_bound),
        }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


@dataclass(frozen=True)
class Ruling:
    """All budgets of one variant, judged, and the gates before them.

    Attributes:
        gates: reasons why the variant cannot ship whatever its metrics; empty when there are none.
    """

    judgements: tuple[Judgement, ...]
    gates: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Pass only if nothing fails and nothing is undecided."""
        outcomes = {judgement.outcome for judgement in self.judgements}
        if self.gates or Outcome.FAIL in outcomes or not outcomes:
            return Outcome.FAIL
        return Outcome.UNDECIDED if Outcome.UNDECIDED in outcomes else Outcome.PASS

    @property
    def why(self) -> str:
        """Reasons against shipping, joined; or the budgets that were kept."""
        against = [j.why for j in self.judgements if j.outcome is not Outcome.PASS]
        return "; ".join([*self.gates, *against] or [j.why for j in self.judgements])


def budgets_by_metric(budgets: Sequence[Budget]) -> Mapping[str, Budget]:
    """Budgets under their metric's name.

    Raises:
        DataError: a metric is budgeted twice.
    """
    table = {budget.metric: budget for budget in budgets}
    if len(table) != len(budgets):
        raise DataError(
            "a metric has two budgets",
            expected="one budget a metric",
            got=", ".join(budget.metric for budget in budgets),
            fix="remove one of them",
        )
    return table
