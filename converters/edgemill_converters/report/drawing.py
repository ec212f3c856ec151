"""The drawings, on Matplotlib's figures alone: no pyplot, no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgemill_core.budget import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"fp64": "#0072b2", "fp32": "#0072b2", "int8": "#c75000"}
_OTHER, _SOFT = "#5b4b8a", "#56646f"
_SHAPES = {Outcome.PASS: "o", Outcome.FAIL: "X", Outcome.UNDECIDED: "^"}
_TICKS = 400
"""Most ticks per strip; of more runs their quantiles are drawn."""


@dataclass(frozen=True)
class Mark:
    """How a variant is drawn."""

    name: str
    precision: str
    outcome: Outcome
    ships: bool

    @property
    def colour(self) -> str:
        """By precision."""
        return _COLOURS.get(self.precision, _OTHER)

    @property
    def shape(self) -> str:
        """By ruling: dot, cross or triangle."""
        return _SHAPES[self.outcome]

    @property
    def label(self) -> str:
        """The name, with a star if it ships."""
        return f"★ {self.name}" if self.ships else self.name


def latency_strips(marks: Sequence[Mark], latencies: Sequence[Sequence[float]]) -> Figure:
    """One strip of ticks per variant, with p50 and p99."""
    figure, (axes,) = rows_of(marks, 1, width=6.4, per_row=0.62)
    quantiles = [tuple(float(q) for q in np.percentile(runs, (50, 99))) for runs in latencies]
    edge = 1.25 * max(p99 for _, p99 in quantiles)
    for row, (mark, runs, (p50, p99)) in enumerate(zip(marks, latencies, quantiles, strict=True)):
        _ticks(axes, row, [run for run in runs if run <= edge], mark.colour)
        axes.plot([p50], [row], "o", color=mark.colour, markersize=7, markeredgecolor="white")
        axes.plot([p99], [row], "^", color=mark.colour, markersize=7, markeredgecolor="white")
        axes.text(p50, row - 0.3, f"{p50:.2f}", ha="center", va="bottom", fontsize=8.5)
        beyond = sum(run > edge for run in runs)
        if beyond:
            text = f"{beyond} up to {max(runs):.0f} ms →"
            axes.text(edge, row + 0.44, text, ha="right", va="center", fontsize=8, color=_SOFT)
    axes.set_xlim(0, edge)
    axes.set_xlabel("milliseconds per inference")
    return figure


def _ticks(axes: Axes, row: int, runs: Sequence[float], colour: str) -> None:
    values = np.sort(np.asarray(runs, float))
    if len(values) > _TICKS:
        values = np.quantile(values, np.linspace(0, 1, _TICKS))
    # Gaps of NaN make all ticks one path: a tenth of the bytes.
    x = np.repeat(values, 3)
    y = np.tile([row - 0.24, row + 0.24, np.nan], len(values))
    axes.plot(x, y, "-", color=colour, alpha=0.35, linewidth=1)


def bars(marks: Sequence[Mark], columns: Sequence[tuple[str, Sequence[float]]]) -> Figure:
    """Horizontal bars with their values, one panel a quantity."""
    figure, panels = rows_of(marks, len(columns), width=12.2, per_row=0.4)
    for axes, (title, values) in zip(panels, columns, strict=True):
        axes.barh(range(len(marks)), values, height=0.62, color=[mark.colour for mark in marks])
        for row, value in enumerate(values):
            axes.text(value, row, f" {value:.1f}" if value < 100 else f" {value:.0f}", va="center", fontsize=9)
        axes.set_xlim(0, 1.15 * max(values))
        axes.set_title(title, fontsize=10.5, loc="left")
    return figure


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def rows_of(marks: Sequence[Mark], columns: int, width: float, per_row: float) -> tuple[Figure, list[Axes]]:
    """A figure with one row per variant, first on top, and panels side by side."""
    figure = figure_of(width, 1.0 + per_row * len(marks))
    panels = list(figure.subplots(1, columns, sharey=True, squeeze=False)[0])
    first = panels[0]
    first.set_ylim(len(marks) - 0.4, -0.6)
    first.set_yticks(range(len(marks)), [mark.label for mark in marks])
    for axes in panels:
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=True, axis="x")
    return figure, panels
