"""The drawings of risk: what is allowed, what was seen, and what it can be at worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgemill_converters.report.drawing import Mark, rows_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BUDGET = "#b02a1c"


@dataclass(frozen=True)
class Panel:
    """One metric's budget, and per variant the drop seen with its upper bound."""

    title: str
    allowed: float
    confidence: float
    intervals: tuple[tuple[float, float] | None, ...]


def labels_beside(
    axes: Axes, marks: Sequence[Mark], points: Sequence[tuple[float, float]], said: Sequence[str] | None = None
) -> None:
    """Names, or what is ``said`` instead, in the right margin: none covers another, each is tied to its point."""
    low, high = axes.get_ylim()
    wanted = [min(1.0, max(0.0, (y - low) / (high - low))) for _, y in points]
    # At one height the point farthest right gets the lowest name: so no two ties cross.
    order = sorted(range(len(points)), key=lambda index: (wanted[index], -points[index][0]))
    places = _spread([wanted[index] for index in order], gap=0.085)
    for index, place in zip(order, places, strict=True):
        axes.annotate(
            said[index] if said else shortened(marks[index].label),
            xy=points[index],
            xytext=(1.03, place),
            textcoords="axes fraction",
            va="center",
            color=marks[index].colour,
            fontsize=9.5,
            arrowprops={"arrowstyle": "-", "color": marks[index].colour, "linewidth": 0.6, "alpha": 0.6, "shrinkB": 7},
        )


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move rising places in 0 to 1 apart by ``gap``, keeping their order."""
    gap = min(gap, 1 / max(1, len(wanted) - 1))
    places: list[float] = []
    for rank, place in enumerate(wanted):
        lowest = places[-1] + gap if places else 0.0
        room_above = 1 - gap * (len(wanted) - 1 - rank)
        places.append(min(max(place, lowest), room_above))
    return places


def bounds(marks: Sequence[Mark], panels: Sequence[Panel]) -> Figure:
    """Drop seen and upper bound per variant, one panel a metric, with the budget as a line."""
    figure, columns = rows_of(marks, len(panels), width=12.2, per_row=0.5)
    for axes, panel in zip(columns, panels, strict=True):
        seen = [interval for interval in panel.intervals if interval is not None]
        left = min([0.0, *(drop for drop, _ in seen)])
        inside = [bound for _, bound in seen if bound <= 4 * panel.allowed]
        right = max([1.6 * panel.allowed, *(1.25 * bound for bound in inside)])
        axes.set_xlim(left - 0.04 * right, right)
        axes.axvline(panel.allowed, color=_BUDGET, linewidth=1.5)
        axes.axvline(0, color="#8a949d", linewidth=0.8)
        for row, (mark, interval) in enumerate(zip(marks, panel.intervals, strict=True)):
            if interval is not None:
                _interval(axes, row, mark, interval, right)
        axes.set_title(panel.title, fontsize=10.5, loc="left", pad=18)
        note = f"allowed {panel.allowed:.2%} at {100 * panel.confidence:g}%"
        axes.annotate(
            note, (panel.allowed, 1.02), xycoords=("data", "axes fraction"), color=_BUDGET, fontsize=9, ha="center"
        )
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g}%")
        axes.set_xlabel("worse by")
    return figure


def _interval(axes: Axes, row: int, mark: Mark, interval: tuple[float, float], right: float) -> None:
    drop, bound = interval
    end = min(bound, right)
    axes.plot([min(drop, end), end], [row, row], "-", color=mark.colour, linewidth=2.5)
    axes.plot([end], [row], "|" if bound <= right else ">", color=mark.colour, markersize=10, clip_on=False)
    if drop <= right:
        axes.plot([drop], [row], mark.shape, color=mark.colour, markersize=8, markeredgecolor="white")
    # In a column of their own, so that no figure covers a line.
    beside = ("axes fraction", "data")
    axes.annotate(f"≤ {bound:.2%}", (1.03, row), xycoords=beside, fontsize=9, va="center", annotation_clip=False)
