"""The drawing of what each layer loses in INT8 and costs in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemill_converters.quantization.fallback_found import LayerEffect
from edgemill_converters.report.drawing import figure_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS, _COST, _SOFT = "#c75000", "#0072b2", "#56646f"
_NAMED, _LEAST = 5, 0.02
"""So many layers are named, of those that lose a noticeable share of what the worst one does."""


def draw(layers: Sequence[LayerEffect]) -> Figure:
    """Loss upwards, cost downwards, layer by layer; the most sensitive are named."""
    figure = figure_of(12.2, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    places = range(len(layers))
    for axes, colour, values in (
        (above, _LOSS, [effect.loss for effect in layers]),
        (below, _COST, [effect.cost_ms for effect in layers]),
    ):
        bars = axes.bar(places, values, width=0.8, color=colour)
        for bar, effect in zip(bars, layers, strict=True):
            if effect.kept_float:
                bar.set(hatch="////", edgecolor="white", linewidth=0)
            elif not effect.measured:
                bar.set_alpha(0.45)
        axes.grid(visible=True, axis="y")
        axes.axhline(0, color=_SOFT, linewidth=0.8)
    most = max([1e-12, *(effect.loss for effect in layers)])
    above.set(ylabel="loss in INT8", ylim=(0, 1.75 * most))
    above.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.3g}%")
    kept = [place for place, effect in enumerate(layers) if effect.kept_float]
    above.plot(kept, [layers[place].loss + 0.04 * most for place in kept], "v", color=_SOFT, markersize=5)
    _names(above, layers)
    below.invert_yaxis()
    below.set(ylabel="ms of float", xlabel="layers, in the order of the graph", xlim=(-0.8, len(layers) - 0.2))
    below.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _names(axes: Axes, layers: Sequence[LayerEffect]) -> None:
    """In the upper part, one below the other from the left to the right, so that none covers another."""
    ranked = sorted(range(len(layers)), key=lambda index: -layers[index].loss)[:_NAMED]
    worst = sorted(index for index in ranked if layers[index].loss > _LEAST * layers[ranked[0]].loss)
    for rank, index in enumerate(worst):
        right = index > 0.5 * len(layers)
        axes.annotate(
            shortened(layers[index].layer, 48),
            xy=(index, layers[index].loss),
            xytext=(index, 0.95 - 0.075 * (rank if right else len(worst) - 1 - rank)),
            textcoords=axes.get_xaxis_transform(),
            fontsize=8.5,
            va="center",
            ha="right" if right else "left",
            arrowprops={
                "arrowstyle": "-",
                "color": _SOFT,
                "linewidth": 0.6,
                "shrinkB": 0,
                "relpos": (float(right), 0.2),
            },
        )
