"""The drawing of a metric against what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgemill_converters.report.drawing import Mark, figure_of, shortened
from edgemill_converters.report.pareto_front import Standing
from edgemill_converters.report.risk_drawing import labels_beside
from edgemill_converters.report.svg import TITLED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BUDGET, _SOFT, _FRONT = "#b02a1c", "#56646f", "#8a949d"
_SEEN = 3.0
"""What is worse than the reference by more than so many times what is allowed is drawn at the edge."""


@dataclass(frozen=True)
class Front:
    """What is drawn.

    Attributes:
        cost: what the horizontal axis says.
        title: of the metric.
        costs: of each variant.
        standing: the metric of each, and what is allowed.
        best: cost and metric of the variants that nothing beats, by rising cost.
        higher_is_better: of the metric; better is up in any case.
        show: a value of the metric in words.
    """

    cost: str
    title: str
    costs: Sequence[float]
    standing: Standing
    best: Sequence[tuple[float, float]]
    higher_is_better: bool
    show: Callable[[float], str]


def visible(standing: Standing, higher_is_better: bool) -> tuple[float, float]:
    """The worst and the best value that are drawn: the budget and what lies near it, however far off others are."""
    sign = 1 if higher_is_better else -1
    drop = abs(standing.reference - standing.allowed)
    seen = [value for value in (*standing.values, *standing.worst) if value is not None and np.isfinite(value)]
    worse = [sign * (standing.reference - value) for value in seen]
    near = [one for one in worse if one <= _SEEN * drop]
    lowest, highest = max([1.4 * drop, *near]), -min([0.0, *near])
    room = 0.08 * (lowest + highest)
    return standing.reference - sign * (lowest + room), standing.reference + sign * (highest + room)


def draw(marks: Sequence[Mark], front: Front) -> Figure:
    """Metric against cost, better always up; names in the right margin."""
    figure = figure_of(6.4, max(3.9, 1.2 + 0.27 * len(marks)))
    axes = figure.add_subplot()
    low, high = visible(front.standing, front.higher_is_better)
    axes.set(xlim=(0, 1.12 * max(front.costs)), ylim=(low, high), xlabel=front.cost, ylabel=front.title)
    axes.yaxis.set_major_formatter(lambda value, _: front.show(value))
    axes.grid(visible=True)
    _lines(axes, front.standing, (low, high), front.show)
    _steps(axes, front.best, low)
    at = [_held(value, low, high) for value in front.standing.values]
    for index, (mark, cost) in enumerate(zip(marks, front.costs, strict=True)):
        if (y := at[index]) is not None:
            _point(axes, index, mark, (cost, y), front.standing.worst[index])
    there = [index for index, y in enumerate(at) if y is not None]
    spots = [(front.costs[index], float(at[index] or 0.0)) for index in there]
    said = [_label(marks[index], front, index, at[index]) for index in there]
    labels_beside(axes, [marks[index] for index in there], spots, said)
    return figure


def _label(mark: Mark, front: Front, index: int, at: float | None) -> str:
    """The name, and the value where it lies beyond the edge."""
    value = front.standing.values[index]
    if value is None or value == at:
        return shortened(mark.label)
    return f"{shortened(mark.label, 22)} ↓ {front.show(value)}"


def _held(value: float | None, low: float, high: float) -> float | None:
    """The value, or the edge that it lies beyond; what is no number lies at the worst."""
    if value is None:
        return None
    if not np.isfinite(value):
        return low
    return min(max(value, min(low, high)), max(low, high))


def _lines(axes: Axes, standing: Standing, limits: tuple[float, float], show: Callable[[float], str]) -> None:
    low, high = limits
    axes.axhspan(standing.allowed, low, color=_BUDGET, alpha=0.07, linewidth=0)
    axes.axhline(standing.allowed, color=_BUDGET, linewidth=1.5)
    axes.axhline(standing.reference, color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    _said(axes, standing.allowed, f"allowed {show(standing.allowed)}", _BUDGET, "top")
    _said(axes, standing.reference, f"reference {show(standing.reference)}", _SOFT, "bottom")
    if standing.floor is not None and min(low, high) < standing.floor < max(low, high):
        axes.axhline(standing.floor, color=_BUDGET, linewidth=1.2, linestyle=(0, (1, 2)))
        _said(axes, standing.floor, f"floor {show(standing.floor)}", _BUDGET, "top")


def _said(axes: Axes, y: float, words: str, colour: str, va: str) -> None:
    axes.annotate(
        words,
        (0.01, y),
        (0, 2 if va == "bottom" else -2),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=colour,
        fontsize=8.5,
        va=va,
    )


def _steps(axes: Axes, best: Sequence[tuple[float, float]], low: float) -> None:
    """From the cheapest on: what one gets for at most so much."""
    if best:
        x, y = zip(*best, strict=True)
        edge = axes.get_xlim()[1]
        axes.step([x[0], *x, edge], [low, *y, y[-1]], where="post", color=_FRONT, linewidth=1.6, zorder=1.5)


def _point(axes: Axes, index: int, mark: Mark, place: tuple[float, float], worst: float | None) -> None:
    x, y = place
    low, high = axes.get_ylim()
    end = _held(worst, low, high)
    if end is not None:
        axes.plot([x, x], [y, end], "-", color=mark.colour, linewidth=1.8, alpha=0.75)
        axes.plot([x], [end], "_", color=mark.colour, markersize=9, clip_on=False)
    if mark.ships:
        axes.plot([x], [y], "o", markersize=17, markerfacecolor="none", markeredgecolor=mark.colour, clip_on=False)
    (point,) = axes.plot(
        [x], [y], mark.shape, color=mark.colour, markersize=9, markeredgecolor="white", clip_on=False, zorder=3
    )
    point.set_gid(f"{TITLED}{index}")
