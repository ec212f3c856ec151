"""The drawings of latency: every run turn by turn, and their distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgemill_converters.report.drawing import Mark, figure_of, rows_of
from edgemill_converters.report.risk_drawing import labels_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SOFT = "#56646f"
_TICKS = 400
"""Most ticks per variant; of more runs the quantiles of each turn are drawn."""
_STEPS = 120
"""Most steps per distribution."""
_WIDE = 12
"""From so many times the fastest p50 on the distributions' axis is logarithmic."""
_BEYOND = 1.25
"""The axis ends at so many times the slowest p99: a single stall would squeeze everything else."""


def strips(marks: Sequence[Mark], latencies: Sequence[Sequence[float]], turns: Sequence[int]) -> Figure:
    """One strip of ticks per variant, a row of ticks a turn, with p50 and p99."""
    figure, (axes,) = rows_of(marks, 1, width=6.4, per_row=0.62)
    quantiles = [_quantiles(runs) for runs in latencies]
    edge = _BEYOND * max(p99 for _, p99 in quantiles)
    for row, (mark, runs, (p50, p99)) in enumerate(zip(marks, latencies, quantiles, strict=True)):
        _ticks(axes, row, mark.colour, np.array_split(np.asarray(runs, float), max(1, turns[row])), edge)
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


def _ticks(axes: Axes, row: int, colour: str, turns: Sequence[np.ndarray], edge: float) -> None:
    most, height = max(1, _TICKS // len(turns)), 0.48 / len(turns)
    for number, runs in enumerate(turns):
        values = np.sort(runs[runs <= edge])
        if len(values) > most:
            values = np.quantile(values, np.linspace(0, 1, most))
        top = row - 0.24 + number * height
        # Gaps of NaN make all ticks one path: a tenth of the bytes.
        x, y = np.repeat(values, 3), np.tile([top, top + 0.86 * height, np.nan], len(values))
        axes.plot(x, y, "-", color=colour, alpha=0.45, linewidth=1)


def distributions(marks: Sequence[Mark], latencies: Sequence[Sequence[float]]) -> Figure:
    """The share of runs within a time, a curve per variant; names in the right margin, tied to the p50."""
    figure = figure_of(6.4, max(3.9, 1.2 + 0.27 * len(marks)))
    axes = figure.add_subplot()
    quantiles = [_quantiles(runs) for runs in latencies]
    edge = _BEYOND * max(p99 for _, p99 in quantiles)
    left, wide = 0.0, edge > _WIDE * min(p50 for p50, _ in quantiles)
    if wide:
        left = 0.8 * min(map(min, latencies))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")
    axes.set(
        xlim=(left, edge),
        ylim=(0, 1.02),
        xlabel="milliseconds per inference",
        ylabel="share of inferences",
    )
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g}%")
    axes.grid(visible=True)
    for mark, runs, (p50, p99) in zip(marks, latencies, quantiles, strict=True):
        shares = np.linspace(0, 1, min(len(runs), _STEPS))
        style = "-" if mark.ships else "--"
        axes.plot(np.quantile(runs, shares), shares, style, color=mark.colour, linewidth=1.6 if mark.ships else 1.2)
        axes.plot([p50], [0.5], "o", color=mark.colour, markersize=6, markeredgecolor="white")
        axes.plot([p99], [0.99], "^", color=mark.colour, markersize=7, markeredgecolor="white")
    labels_beside(axes, marks, _places(quantiles))
    return figure


def _places(quantiles: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each name is tied to its curve: the fastest on top, as one reads."""
    return [(p50, 0.5) for p50, _ in quantiles]


def _quantiles(runs: Sequence[float]) -> tuple[float, float]:
    p50, p99 = np.percentile(runs, (50, 99))
    return float(p50), float(p99)
