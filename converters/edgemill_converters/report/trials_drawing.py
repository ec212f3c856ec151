"""The drawing of a search's trials, in two of its objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgemill_converters.report.drawing import figure_of
from edgemill_converters.report.svg import TITLED
from edgemill_converters.searching.found import SearchFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOUR, _FRONT = "#c75000", "#1b2733"


@dataclass(frozen=True)
class Point:
    """A trial to draw.

    Attributes:
        place: from the left, and upwards; less is better in both.
        best: no other trial beats it.
        shape: diamond for plain INT8, star for what goes on to the judge, else a dot.
        inside: the budget, on the search set.
    """

    number: int
    words: str
    place: tuple[float, float]
    best: bool
    shape: str
    inside: bool


def points_of(found: SearchFound) -> list[Point]:
    """Its trials that could be run, in the first two objectives; the second is drawn from the left."""
    proposed = {one.number for one in found.proposals}
    points = []
    for trial in found.trials:
        if trial.seen is not None:
            values = found.values(trial) or ()
            y, x = values[:2] if len(values) > 1 else (values[0], trial.seen.p99_ms / trial.seen.fp32_p99_ms)
            shape = "*" if trial.number in proposed else "D" if trial.number == 0 else "o"
            best = trial.number in found.front
            points.append(Point(trial.number, trial.choice.words, (x, y), best, shape, trial.seen.inside))
    return points


def draw(points: Sequence[Point], labels: tuple[str, str]) -> Figure:
    """The trials; numbers stand at those that nothing beats."""
    figure = figure_of(12.2, 4.8)
    axes = figure.add_subplot()
    for index, one in enumerate(points):
        size = 13 if one.shape == "*" else 8
        edge, width = (_FRONT, 1.6) if one.best else ("white", 0.8)
        (dot,) = axes.plot(
            *([value] for value in one.place),
            one.shape,
            color=_COLOUR,
            alpha=1.0 if one.inside else 0.35,
            markersize=size,
            markeredgecolor=edge,
            markeredgewidth=width,
            zorder=3 if one.best else 2,
        )
        dot.set_gid(f"{TITLED}{index}")
        if one.best:
            axes.annotate(str(one.number), one.place, (6, 5), textcoords="offset points", fontsize=8.5)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if all(one.place[1] > 0 for one in points) and points:
        axes.set_yscale("log")
    axes.grid(visible=True)
    return figure
