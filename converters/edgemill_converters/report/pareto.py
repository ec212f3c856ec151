"""Metric against latency and size: what each variant gave, which of them nothing beats, and what the budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import compress

from edgemill_converters.report import pareto_drawing
from edgemill_converters.report.captioned import figure
from edgemill_converters.report.drawing import Mark
from edgemill_converters.report.markup import Markup, joined
from edgemill_converters.report.pareto_front import front, standing
from edgemill_converters.report.svg import inline_svg
from edgemill_converters.report.wording import confidence, metric_title, metric_value, metric_word
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Budget
from edgemill_core.metrics import metric_named

_AXES = (("p99", "p99, milliseconds"), ("size", "graph and weights, MB of 10⁶ bytes"))


def pareto_plots(result: BuildResult, marks: Sequence[Mark]) -> Markup:
    """For every budget a drawing against p99 and one against size."""
    each = [(budget, axis) for budget in result.recipe.budget for axis in range(len(_AXES))]
    return joined(_plot(result, marks, *one, explained=number == 0) for number, one in enumerate(each))


def _plot(result: BuildResult, marks: Sequence[Mark], budget: Budget, axis: int, explained: bool) -> Markup:
    # Against latency stand those alone whose latency is known.
    shown = [axis == 1 or v.measurement is not None for v in result.variants]
    variants, marks = list(compress(result.variants, shown)), list(compress(marks, shown))
    found = standing(budget, variants)
    if found is None:
        return Markup()
    key, label = _AXES[axis]
    costs = [v.size_bytes / 1e6 if axis or v.measurement is None else v.measurement.p99_ms for v in variants]
    metric = metric_named(budget.metric)
    whole = [(c, v) for c, v, one in zip(costs, found.values, variants, strict=True) if not one.ruling.gates]
    sign = 1 if metric.higher_is_better else -1
    points = [(cost, sign * value) for cost, value in whole if value is not None]
    best = [(cost, sign * value) for cost, value in (points[index] for index in front(points))]
    show = partial(metric_value, budget.metric)
    name = f"pareto-{budget.metric}-{key}"
    alt = f"{metric_title(budget.metric)} against {label}. Reference {show(found.reference)}, allowed down to "
    alt += f"{show(found.allowed)}. " + "; ".join(
        f"{v.name}: {cost:.2f}, {show(value)}"
        for v, cost, value in zip(variants, costs, found.values, strict=True)
        if value is not None
    )
    title, better = metric_title(budget.metric), metric.higher_is_better
    picture = pareto_drawing.Front(label, title, costs, found, best, better, show)
    svg = inline_svg(name, alt, partial(pareto_drawing.draw, marks, picture), [mark.why for mark in marks])
    return figure(
        f"{_start(metric_word(budget.metric))} against {key}",
        _caption(budget) if explained else "Reads as the first drawing does.",
        svg,
    )


def _start(words: str) -> str:
    return words[:1].upper() + words[1:]


def _caption(budget: Budget) -> str:
    return (
        "Up and left is better. Line downwards: to the upper bound of the drop at "
        f"{confidence(budget.confidence)}, which must not reach the red line. Grey steps: the front, what no other "
        "variant beats, of those that no gate refuses. "
        "● pass, ✕ fail, ▲ undecided, each with its reason when pointed at; a ring marks what ships."
    )
