"""What the variants show of a budget's metric, and which of them no other beats. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_converters.result import VariantResult
from edgemill_core.budget import Budget, Judgement
from edgemill_core.metrics import Metric, metric_named


@dataclass(frozen=True)
class Standing:
    """One budget's metric, as the variants show it.

    Attributes:
        reference: of the reference.
        allowed: the value that the bound may not pass.
        floor: the value that must be kept whatever the reference does, if any.
        values: of each variant; ``None`` where it was not judged on this metric.
        worst: the value at each variant's upper bound of the drop.
    """

    reference: float
    allowed: float
    floor: float | None
    values: tuple[float | None, ...]
    worst: tuple[float | None, ...]


def standing(budget: Budget, variants: Sequence[VariantResult]) -> Standing | None:
    """What the judgements say of one budget; ``None`` where no variant was judged on it."""
    metric = metric_named(budget.metric)
    found = [next((j for j in v.ruling.judgements if j.budget.metric == budget.metric), None) for v in variants]
    first = next((judgement for judgement in found if judgement is not None), None)
    if first is None:
        return None
    floor = budget.floor if budget.floor is None or metric.higher_is_better else 1 - budget.floor
    return Standing(
        first.reference,
        worse_by(metric, first.reference, budget.max_drop),
        floor,
        tuple(None if judgement is None else judgement.variant for judgement in found),
        tuple(None if judgement is None else _worst(metric, judgement) for judgement in found),
    )


def _worst(metric: Metric, judgement: Judgement) -> float:
    return worse_by(metric, judgement.reference, judgement.drop_upper_bound)


def worse_by(metric: Metric, value: float, drop: float) -> float:
    """The metric after a drop: points of a rate, or a share of a loss, as budgets have it."""
    if metric.is_loss:
        return value * (1 + drop)
    return value - drop if metric.higher_is_better else value + drop


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one beats, by rising cost.

    Args:
        points: cost and goodness; less cost is better, more goodness is better. One beats another if it is as good in
            both and better in one. Of equal points all stay.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    kept: list[int] = []
    for index in order:
        if not kept or points[index][1] > points[kept[-1]][1] or points[index] == points[kept[-1]]:
            kept.append(index)
    return kept
