"""The budget and its judge: may this variant ship? A pure function of what was seen.

The judge fails closed. A variant passes only if, for every budget, the upper confidence bound of its drop is at or
below the bound asked for, its floor (if any) is shown to be kept, every output was a number, and it does not
answer every part alike where the reference tells parts apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgemill_core.errors import DataError
from edgemill_core.metrics import Metric, metric_named
from edgemill_core.samples import Truth
from edgemill_core.statistics import (
    PairedCounts,
    drop_lower_bound,
    drop_upper_bound,
    lower_bound,
    non_inferiority_p_value,
    relative_increase,
    relative_increase_upper_bound,
    samples_needed,
)
from edgemill_core.verdict import Verdict


class Budget(BaseModel):
    """How much worse a variant may be, and how sure that must be.

    Attributes:
        metric: name of a metric of the task.
        max_drop: largest tolerated worsening, in parts of 1: points of a rate (0.01 is one point), or the share by
            which a mean loss may grow.
        confidence: one-sided, e.g. 0.95.
        floor: share of samples (in parts of 1) that must be right whatever the reference does, shown at the same
            confidence; for an error rate this is 1 minus the rate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    max_drop: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    floor: Annotated[float, Field(gt=0, lt=1)] | None = None


class Outcome(str, Enum):
    """What the judge says. Only ``PASS`` ships."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Judgement:
    """One budget, judged.

    Attributes:
        outcome: pass, fail, or undecided for want of samples.
        why: one sentence for people.
        needs: about how many samples of the population would decide an undecided case.
        counts: the paired comparison.
        reference: the metric of the reference, in parts of 1, or its mean loss.
        variant: the metric of the variant, in parts of 1, or its mean loss.
        drop: the worsening that was seen, in parts of 1.
        drop_upper_bound: upper confidence bound of the worsening, in parts of 1.
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

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            "metric": self.budget.metric,
            "max_drop": self.budget.max_drop,
            "confidence": self.budget.confidence,
            "floor": self.budget.floor,
            "outcome": self.outcome.value,
            "why": self.why,
            "needs": self.needs,
            "samples": self.counts.n,
            "worse": self.counts.worse,
            "better": self.counts.better,
            "reference": self.reference,
            "variant": self.variant,
            "drop_upper_bound": self.drop_upper_bound,
        }


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


def judge(
    budgets: Sequence[Budget], truths: Sequence[Truth], reference: Sequence[Verdict], variant: Sequence[Verdict]
) -> Ruling:
    """Compare ``variant`` with ``reference`` sample by sample.

    Raises:
        DataError: the three sequences differ in length, or there is nothing to judge.
    """
    if not truths or not len(truths) == len(reference) == len(variant):
        raise DataError(
            "the judge needs one verdict of reference and variant per sample",
            expected="equal numbers, at least 1",
            got=f"{len(truths)} truths, {len(reference)} of the reference, {len(variant)} of the variant",
            fix="judge both on the same set",
        )
    judgements = tuple(_judge_metric(budget, truths, reference, variant) for budget in budgets)
    return Ruling(judgements, tuple(_gates(reference, variant)))


def _gates(reference: Sequence[Verdict], variant: Sequence[Verdict]) -> list[str]:
    gates = []
    broken = sum(v.broken for v in variant)
    if broken:
        gates.append(f"{broken} of {len(variant)} outputs hold values that are not numbers")
    told_apart = {(r.decision, str(r.reading)) for r in reference}
    answers = {(v.decision, str(v.reading)) for v in variant}
    if len(told_apart) > 1 and len(answers) == 1:
        gates.append(f"answers all {len(variant)} parts alike, where the reference gives {len(told_apart)} answers")
    return gates


def _judge_metric(
    budget: Budget, truths: Sequence[Truth], reference: Sequence[Verdict], variant: Sequence[Verdict]
) -> Judgement:
    metric = metric_named(budget.metric)
    if metric.is_loss:
        return _judge_loss(budget, metric, truths, reference, variant)
    pairs = [
        (bool(metric.wrong(truth, before)), _wrong(metric, truth, after))
        for truth, before, after in zip(truths, reference, variant, strict=True)
        if metric.wrong(truth, before) is not None
    ]
    counts = PairedCounts(
        len(pairs),
        worse=sum(after and not before for before, after in pairs),
        better=sum(before and not after for before, after in pairs),
    )
    errors = (sum(before for before, _ in pairs), sum(after for _, after in pairs))
    return _decide(budget, metric, counts, errors)


def _wrong(metric: Metric, truth: Truth, verdict: Verdict) -> bool:
    # A verdict without a number is never right, even where "reject" happens to be the right word.
    return verdict.broken or bool(metric.wrong(truth, verdict))


def _decide(budget: Budget, metric: Metric, counts: PairedCounts, errors: tuple[int, int]) -> Judgement:
    n, delta, alpha = counts.n, budget.max_drop, 1 - budget.confidence
    bound = drop_upper_bound(counts, budget.confidence, delta)
    rates = [(n - e if metric.higher_is_better else e) / n if n else float("nan") for e in errors]
    smallest = ceil(log(alpha) / log(1 - delta))
    needs: int | None = None
    seen = f"{metric.title}: {rates[0]:.2%} → {rates[1]:.2%} on {n}, worse by at most {bound:.2%}"
    allowed = f"allowed {delta:.2%} at {budget.confidence:.0%}"
    if non_inferiority_p_value(counts, delta) <= alpha:
        outcome, why = Outcome.PASS, f"{seen}; {allowed}"
    elif drop_lower_bound(counts, budget.confidence) > delta or (n >= smallest and counts.drop >= delta):
        outcome, why = Outcome.FAIL, f"{seen}; {allowed}"
    else:
        outcome, needs = Outcome.UNDECIDED, samples_needed(counts, delta, budget.confidence) or smallest
        why = f"{seen}; {allowed}; too few samples to tell: needs about {needs}"
    if outcome is Outcome.PASS and budget.floor is not None:
        shown = lower_bound(n - errors[1], n, budget.confidence)
        if shown < budget.floor:
            outcome, why = Outcome.FAIL, f"{metric.title}: shown right {shown:.2%}, floor {budget.floor:.2%} ({n})"
    return Judgement(budget, outcome, why, needs, counts, rates[0], rates[1], counts.drop if n else 0.0, bound)


def _judge_loss(
    budget: Budget, metric: Metric, truths: Sequence[Truth], reference: Sequence[Verdict], variant: Sequence[Verdict]
) -> Judgement:
    pairs = [
        (lost, loses)
        for truth, was, now in zip(truths, reference, variant, strict=True)
        if (lost := metric.score(truth, was)) is not None and (loses := metric.score(truth, now)) is not None
    ]
    before, after = np.array(pairs, np.float64).reshape(-1, 2).T
    counts = PairedCounts(len(pairs), worse=int((after > before).sum()), better=int((after < before).sum()))
    means = (float(before.mean()), float(after.mean())) if pairs else (float("nan"), float("nan"))
    drop = relative_increase(before, after) if pairs else float("nan")
    bound = relative_increase_upper_bound(before, after, budget.confidence)
    why = (
        f"{metric.title}: {means[0]:.6g} → {means[1]:.6g} on {len(pairs)}, worse by at most {bound:.2%}; "
        f"allowed {budget.max_drop:.2%} at {budget.confidence:.0%}"
    )
    needs = None
    if bound <= budget.max_drop:
        outcome = Outcome.PASS
    elif drop < budget.max_drop:
        # The width of the bound shrinks with the root of the number of samples.
        room = (bound - drop) / (budget.max_drop - drop)
        outcome, needs = Outcome.UNDECIDED, ceil(max(2, len(pairs)) * room**2) if room < 1e3 else 10**6
        why = f"{why}; too few samples to tell: needs about {needs}"
    else:
        outcome = Outcome.FAIL
    return Judgement(budget, outcome, why, needs, counts, means[0], means[1], drop, bound)


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
