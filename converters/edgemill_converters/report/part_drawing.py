"""The drawings of a comparison: sample by sample, and along the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgemill_converters.report.drawing import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _FLIP, _SOFT = "#0072b2", "#b02a1c", "#56646f"
_NAMED = 5


def by_sample(most: Sequence[float], flipped: Sequence[bool]) -> Figure:
    """Largest difference of each sample, the largest first; those whose verdict flips marked."""
    figure = figure_of(6.4, 3.4)
    axes = figure.subplots()
    order = np.argsort([-value for value in most], kind="stable")
    heights = _shown([most[index] for index in order])
    axes.plot(range(len(order)), heights, ".-", color=_LINE, linewidth=1, markersize=4)
    flips = [(place, heights[place]) for place, index in enumerate(order) if flipped[index]]
    if flips:
        x, y = zip(*flips, strict=True)
        axes.plot(x, y, "X", color=_FLIP, markersize=8, markeredgecolor="white", linestyle="none")
    axes.set_xlabel("samples, the most different first")
    axes.set_ylabel("largest difference of an output")
    axes.grid(visible=True, axis="y")
    return figure


def along_layers(relative: Sequence[float], rise: Sequence[float], names: Sequence[str]) -> Figure:
    """Relative difference along the graph; the layers that add most are named."""
    figure = figure_of(12.2, 4.2)
    axes = figure.subplots()
    heights = _shown(relative)
    axes.fill_between(range(len(heights)), heights, color=_LINE, alpha=0.12, linewidth=0)
    axes.plot(range(len(heights)), heights, "-", color=_LINE, linewidth=1.4)
    worst = [index for index in sorted(range(len(rise)), key=lambda i: -rise[i])[:_NAMED] if rise[index] > 0]
    axes.set_xlim(0, max(1, len(heights) - 1))
    for rank, index in enumerate(sorted(worst)):
        _name(axes, index, heights[index], names[index], 0.70 + 0.065 * (len(worst) - rank - 1))
    axes.set_ylim(0, 1.5 * max([*heights, 1e-12]))  # the upper third is for names
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.3g}%")
    axes.set_xlabel("layers, in the order of the graph")
    axes.set_ylabel("relative difference")
    axes.grid(visible=True, axis="y")
    return figure


def _name(axes: Axes, x: float, y: float, name: str, place: float) -> None:
    axes.annotate(
        name if len(name) <= 48 else f"…{name[-47:]}",
        xy=(x, y),
        xytext=(x, place),
        textcoords=axes.get_xaxis_transform(),
        fontsize=9,
        color=_FLIP,
        ha="right" if x > 0.5 * axes.get_xlim()[1] else "left",
        arrowprops={"arrowstyle": "-", "color": _SOFT, "linewidth": 0.7},
    )


def _shown(values: Sequence[float]) -> list[float]:
    """What is infinite stands a little above the largest number."""
    top = max((value for value in values if np.isfinite(value)), default=1.0)
    return [value if np.isfinite(value) else 1.1 * top for value in values]
