"""The judge: may this variant ship? A pure function of what was seen.

The judge fails closed. A variant passes only if, for every budget, the upper confidence bound of its drop is at or
below the bound asked for, its floor (if any) is shown to be kept, every output was a number, and it does not
answer every part alike where the reference tells parts apart.

Of several candidates for one place the fastest that passes ships, and each is one more chance to be wrong. So the
error that the budget allows, 1 - confidence, is divided by their number (Bonferroni): then the chance that any of them
passes whose true drop is over the budget is at most what the budget allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log

import numpy as np

from edgemill_core.average_precision import ComparedBoxes
from edgemill_core.errors import DataError
from edgemill_core.evidence import Evidence, Side
from edgemill_core.judgement import Budget, Judgement, Outcome, Ruling, budgets_by_metric
from edgemill_core.map_budget import judge_map
from edgemill_core.metrics import Metric, metric_named
from edgemill_core.parts_of_one import said
from edgemill_core.samples import Truth
from edgemill_core.set_budget import judge_set
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

__all__ = ["Budget", "Judgement", "Outcome", "Ruling", "budgets_by_metric", "judge"]


def judge(
    budgets: Sequence[Budget],
    truths: Sequence[Truth],
    reference: Sequence[Verdict],
    variant: Sequence[Verdict],
    *,
    candidates: int = 1,
    boxes: ComparedBoxes | None = None,
    evidence: tuple[Evidence, Evidence] | None = None,
) -> Ruling:
    """Compare ``variant`` with ``reference`` sample by sample.

    Args:
        budgets: each is judged, all must be kept.
        truths: one a sample.
        reference: its verdict on each.
        variant: its verdict on each.
        candidates: how many variants compete for the place that this one may take, itself included.
        boxes: what both found, one entry a sample; mean average precision is judged from it.
        evidence: of reference and variant, where the task gives more than verdicts.

    Raises:
        DataError: the sequences differ in length, there is nothing to judge, or a metric lacks its boxes or evidence.
    """
    if not truths or not len(truths) == len(reference) == len(variant):
        raise DataError(
            "the judge needs one verdict of reference and variant per sample",
            expected="equal numbers, at least 1",
            got=f"{len(truths)} truths, {len(reference)} of the reference, {len(variant)} of the variant",
            fix="judge both on the same set",
        )
    if candidates < 1:
        raise ValueError(f"a variant is at least one candidate, not {candidates}")
    first, second = evidence if evidence is not None else (None, None)
    before, after = Side(truths, reference, first, first), Side(truths, variant, second, first)
    judgements = []
    for budget in budgets:
        confidence = 1 - (1 - budget.confidence) / candidates
        metric = metric_named(budget.metric)
        if metric.ious:
            judgements.append(judge_map(budget, boxes, len(truths), confidence))
        elif metric.of_set is not None:
            judgements.append(judge_set(budget, before, after, confidence))
        else:
            judgements.append(_judge_metric(budget, confidence, truths, reference, variant))
    return Ruling(tuple(judgements), tuple(_gates(reference, variant)))


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
    budget: Budget,
    confidence: float,
    truths: Sequence[Truth],
    reference: Sequence[Verdict],
    variant: Sequence[Verdict],
) -> Judgement:
    metric = metric_named(budget.metric)
    if metric.is_loss:
        return _judge_loss(budget, confidence, truths, reference, variant)
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
    return _decide(budget, confidence, counts, errors)


def _wrong(metric: Metric, truth: Truth, verdict: Verdict) -> bool:
    # A verdict without a number is never right, even where "reject" happens to be the right word.
    return verdict.broken or bool(metric.wrong(truth, verdict))


def _decide(budget: Budget, confidence: float, counts: PairedCounts, errors: tuple[int, int]) -> Judgement:
    metric, n, delta, alpha = metric_named(budget.metric), counts.n, budget.max_drop, 1 - confidence
    bound = drop_upper_bound(counts, confidence, delta)
    rates = [(n - e if metric.higher_is_better else e) / n if n else float("nan") for e in errors]
    smallest = ceil(log(alpha) / log(1 - delta))
    needs: int | None = None
    seen = f"{metric.title}: {rates[0]:.2%} → {rates[1]:.2%} on {n}, worse by at most {bound:.2%}"
    allowed = f"allowed {delta:.2%} at {said(confidence)}"
    if non_inferiority_p_value(counts, delta) <= alpha:
        outcome, why = Outcome.PASS, f"{seen}; {allowed}"
    elif drop_lower_bound(counts, confidence) > delta or (n >= smallest and counts.drop >= delta):
        outcome, why = Outcome.FAIL, f"{seen}; {allowed}"
    else:
        outcome, needs = Outcome.UNDECIDED, samples_needed(counts, delta, confidence) or smallest
        why = f"{seen}; {allowed}; too few samples to tell: needs about {needs}"
    if outcome is Outcome.PASS and budget.floor is not None:
        shown = lower_bound(n - errors[1], n, confidence)
        if shown < budget.floor:
            outcome, why = Outcome.FAIL, f"{metric.title}: shown right {shown:.2%}, floor {budget.floor:.2%} ({n})"
    drop = counts.drop if n else 0.0
    return Judgement(budget, outcome, why, needs, counts, rates[0], rates[1], drop, bound, confidence)


def _judge_loss(
    budget: Budget,
    confidence: float,
    truths: Sequence[Truth],
    reference: Sequence[Verdict],
    variant: Sequence[Verdict],
) -> Judgement:
    metric = metric_named(budget.metric)
    pairs = [
        (lost, loses)
        for truth, was, now in zip(truths, reference, variant, strict=True)
        if (lost := metric.score(truth, was)) is not None and (loses := metric.score(truth, now)) is not None
    ]
    before, after = np.array(pairs, np.float64).reshape(-1, 2).T
    counts = PairedCounts(len(pairs), worse=int((after > before).sum()), better=int((after < before).sum()))
    means = (float(before.mean()), float(after.mean())) if pairs else (float("nan"), float("nan"))
    drop = relative_increase(before, after) if pairs else float("nan")
    bound = relative_increase_upper_bound(before, after, confidence)
    why = (
        f"{metric.title}: {means[0]:.6g} → {means[1]:.6g} on {len(pairs)}, worse by at most {bound:.2%}; "
        f"allowed {budget.max_drop:.2%} at {said(confidence)}"
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
    return Judgement(budget, outcome, why, needs, counts, means[0], means[1], drop, bound, confidence)
