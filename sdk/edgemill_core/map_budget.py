"""A budget of mean average precision, judged. A pure function of what was found."""

from __future__ import annotations

from math import ceil, log

from edgemill_core.average_precision import ComparedBoxes, Drop, compare
from edgemill_core.errors import DataError
from edgemill_core.judgement import Budget, Judgement, Outcome, by_bounds
from edgemill_core.metrics import metric_named
from edgemill_core.parts_of_one import said
from edgemill_core.statistics import PairedCounts


def judge_map(budget: Budget, boxes: ComparedBoxes | None, samples: int, confidence: float) -> Judgement:
    """Pass if the upper bound of the drop is at or below what is allowed, and the floor is shown to be kept.

    Fail if the lower bound is above it, or if the drop that was seen is and there were boxes enough to show less;
    undecided otherwise.

    Args:
        budget: of ``map@…``.
        boxes: what reference and variant found in all pictures.
        samples: how many pictures there are.
        confidence: one-sided.

    Raises:
        DataError: there are no boxes to compare, not one entry a picture, or no labelled box that counts.
    """
    metric = metric_named(budget.metric)
    if boxes is None or not len(boxes.labelled) == len(boxes.reference) == len(boxes.variant) == samples:
        raise DataError(
            f"{metric.name} needs labelled boxes and what was found, for every picture",
            expected=f"{samples} entries of each",
            got="none" if boxes is None else f"{len(boxes.labelled)} labelled, {len(boxes.variant)} found",
            fix="name a set with labelled boxes under data: judge:, e.g. `coco:`",
        )
    if all(picture.ignored.all() for picture in boxes.labelled):
        raise DataError(
            f"there is no labelled box for {metric.name}",
            expected="at least one that counts, in the region that the model looks at",
            got=f"none in {samples} pictures",
            fix="add pictures that show what is to be found",
        )
    return _decide(budget, compare(boxes, metric.ious, confidence), confidence)


def _decide(budget: Budget, drop: Drop, confidence: float) -> Judgement:
    delta = budget.max_drop
    title = metric_named(budget.metric).title
    why = (
        f"{title}: {drop.reference:.2%} → {drop.variant:.2%} on {drop.pictures} pictures, worse by at most "
        f"{drop.upper:.2%}; allowed {delta:.2%} at {said(confidence)}"
    )
    outcome, needs = by_bounds(delta, drop.seen, drop.lower, drop.upper, drop.allowance), None
    if drop.reference == 0:
        outcome = Outcome.FAIL
        why = f"{title}: the reference finds none of what is labelled; mend the labels or the model"
    elif outcome is Outcome.UNDECIDED:
        needs = _needs(drop, delta, confidence)
        kind, count = drop.rarest
        why = f"{why}; too few to tell: needs about {needs} pictures like these ({count} show the rarest, {kind})"
    if outcome is Outcome.PASS and budget.floor is not None and drop.variant_lower < budget.floor:
        outcome = Outcome.FAIL
        why = f"{title}: shown {drop.variant_lower:.2%}, floor {budget.floor:.2%} ({drop.pictures} pictures)"
    counts = PairedCounts(drop.pictures, drop.worse, drop.better)
    return Judgement(
        budget, outcome, why, needs, counts, drop.reference, drop.variant, drop.seen, drop.upper, confidence
    )


def _needs(drop: Drop, delta: float, confidence: float) -> int:
    """Pictures that would decide: by what was seen, or at least so many that the rarest class could show it."""
    enough = ceil(log(1 - confidence) / log(1 - min(delta * drop.classes, 1 - 1e-9)))
    least = ceil(drop.pictures * enough / drop.rarest[1])
    return max(drop.pictures_needed(delta) or least, least, drop.pictures + 1)
