"""A budget of a number of the whole set, judged. A pure function of what was seen."""

from __future__ import annotations

from math import ceil, log

from edgemill_core.evidence import Side
from edgemill_core.judgement import Budget, Judgement, Outcome, by_bounds
from edgemill_core.metrics import Metric, metric_named
from edgemill_core.parts_of_one import said
from edgemill_core.set_metrics import SetDrop, compare
from edgemill_core.statistics import PairedCounts

_NOTHING = float("nan")


def judge_set(budget: Budget, before: Side, after: Side, confidence: float) -> Judgement:
    """Pass if the upper bound of the drop is at or below what is allowed, and the floor is shown to be kept.

    Fail if the lower bound is above it, or if the drop that was seen is and there were samples enough to show less;
    undecided otherwise.

    Args:
        budget: of a metric of a whole set.
        before: of the reference.
        after: of the variant.
        confidence: one-sided.

    Raises:
        DataError: the task does not give what the metric is made from.
    """
    metric = metric_named(budget.metric)
    if metric.of_set is None:
        raise ValueError(f"{metric.name} is no number of a whole set")
    reference, variant = metric.of_set(before), metric.of_set(after)
    drop = compare(reference, variant, metric.higher_is_better, confidence)
    if drop is None:
        return _says_nothing(budget, metric, reference.rarest.kind, confidence)
    return _decide(budget, drop, reference.chance, confidence)


def _says_nothing(budget: Budget, metric: Metric, kind: str, confidence: float) -> Judgement:
    needs = ceil(_enough(budget.max_drop, confidence))
    why = f"{metric.title}: the set shows nothing of it (no {kind}); needs about {needs} samples that do"
    nothing = PairedCounts(0, 0, 0)
    return Judgement(
        budget, Outcome.UNDECIDED, why, needs, nothing, _NOTHING, _NOTHING, _NOTHING, 1.0, judged_at=confidence
    )


def _decide(budget: Budget, drop: SetDrop, chance: float, confidence: float) -> Judgement:
    metric, delta = metric_named(budget.metric), budget.max_drop
    why = (
        f"{metric.title}: {drop.reference:.2%} → {drop.variant:.2%} on {drop.samples}, worse by at most "
        f"{drop.upper:.2%}; allowed {delta:.2%} at {said(confidence)}"
    )
    outcome, needs = by_bounds(delta, drop.seen, drop.lower, drop.upper, drop.allowance), None
    if metric.higher_is_better and drop.reference <= chance:
        outcome = Outcome.FAIL
        why = f"{metric.title}: the reference's {drop.reference:.2%} is no better than chance; mend labels or model"
    elif outcome is Outcome.UNDECIDED:
        needs = _needs(drop, delta, confidence)
        shown = f"{drop.rarest.count} show the rarest, {drop.rarest.kind}"
        why = f"{why}; too few to tell: needs about {needs} samples like these ({shown})"
    shown_right = drop.variant_worst if metric.higher_is_better else 1 - drop.variant_worst
    if outcome is Outcome.PASS and budget.floor is not None and shown_right < budget.floor:
        outcome = Outcome.FAIL
        why = f"{metric.title}: shown {shown_right:.2%}, floor {budget.floor:.2%} ({drop.samples})"
    counts = PairedCounts(drop.samples, drop.worse, drop.better)
    return Judgement(
        budget, outcome, why, needs, counts, drop.reference, drop.variant, drop.seen, drop.upper, confidence
    )


def _needs(drop: SetDrop, delta: float, confidence: float) -> int:
    """Samples that would decide: by what was seen, or at least so many that the rarest kind could show it."""
    enough = ceil(_enough(min(delta * drop.rarest.parts / drop.most, 1 - 1e-9), confidence))
    least = ceil(drop.samples * enough / max(drop.rarest.count, 1))
    return max(drop.samples_needed(delta) or least, least, drop.samples + 1)


def _enough(delta: float, confidence: float) -> float:
    """Samples that show a share of ``delta`` if none of them is lost."""
    return log(1 - confidence) / log(1 - delta)
