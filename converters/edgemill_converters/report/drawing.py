"""The drawings, on Matplotlib's figures alone: no pyplot, no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgemill_core.budget import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"fp64": "#0072b2", "fp32": "#0072b2", "int8": "#c75000"}
_OTHER = "#5b4b8a"
_SHAPES = {Outcome.PASS: "o", Outcome.FAIL: "X", Outcome.UNDECIDED: "^"}


@dataclass(frozen=True)
class Mark:
    """How a variant is drawn, and what is said of it when it is pointed at."""

    name: str
    precision: str
    outcome: Outcome
    ships: bool
    why: str = ""

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


def shortened(name: str, most: int = 30) -> str:
    """The name, without its middle where it is long: both ends tell variants and layers apart."""
    if len(name) <= most:
        return name
    return f"{name[: (most - 1) // 2]}…{name[len(name) - most // 2 :]}"


def bars(marks: Sequence[Mark], columns: Sequence[tuple[str, Sequence[float | None]]]) -> Figure:
    """Horizontal bars with their values, one panel a quantity; ``None`` where it was not measured."""
    figure, panels = rows_of(marks, len(columns), width=12.2, per_row=0.4)
    for axes, (title, values) in zip(panels, columns, strict=True):
        known = [value or 0.0 for value in values]
        axes.barh(range(len(marks)), known, height=0.62, color=[mark.colour for mark in marks])
        for row, value in enumerate(values):
            axes.text(value or 0.0, row, _figure(value), va="center", fontsize=9)
        axes.set_xlim(0, 1.15 * max(known) or 1.0)
        axes.set_title(title, fontsize=10.5, loc="left")
    return figure


def _figure(value: float | None) -> str:
    if value is None:
        return " not measured here"
    return f" {value:.1f}" if value < 100 else f" {value:.0f}"


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
    first.set_yticks(range(len(marks)), [shortened(mark.label) for mark in marks])
    for axes in panels:
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=True, axis="x")
    return figure, panels
