"""What the search for a mixed precision found: which layers hurt, what they cost, and what was tried."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from edgemill_converters.quantization.fallback_found import FallbackFound, LayerEffect, TriedMix
from edgemill_converters.report import sensitivity_drawing
from edgemill_converters.report.captioned import figure
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.svg import inline_svg
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_converters.report.wording import chip, metric_value, metric_word
from edgemill_converters.result import BuildResult

LISTED = 40
"""Layers in the table: those left in float, and the most sensitive ones."""
MIXES = 40
"""Mixes in the table: the last ones."""


def sensitivity_section(result: BuildResult) -> Markup:
    """Every search by itself."""
    return joined(_of_target(found) for found in result.fallbacks)


def _of_target(found: FallbackFound) -> Markup:
    parts = [element("h3", found.target), element("p", _account(found))]
    if found.reasons:
        parts.append(element("ul", joined(element("li", reason) for reason in found.reasons)))
    if found.layers:
        parts += [_picture(found), _layers(found.layers)]
    if found.tried:
        parts.append(_mixes(found.tried))
    return joined(parts)


def _account(found: FallbackFound) -> str:
    kept = f"{len(found.kept_float):,} of {len(found.layers):,} layers stay float. " if found.layers else ""
    resumed = (
        f" {found.resumed:,} of the graphs had been run by an earlier, broken-off search." if found.resumed else ""
    )
    return (
        f"{kept}{len(found.tried):,} mixes were judged on the search set; all in all {found.graphs:,} graphs were run, "
        f"{found.inferences:,} inferences in {found.seconds:.1f} s.{resumed}"
    )


def _picture(found: FallbackFound) -> Markup:
    worst = sorted(found.layers, key=lambda effect: -effect.loss)[:5]
    said = "; ".join(f"{e.layer}: loss {e.loss:.2%}, {e.cost_ms:+.3f} ms" for e in worst)
    alt = f"Sensitivity of {len(found.layers)} layers on {found.target}. The most sensitive: {said}"
    svg = inline_svg(f"sensitivity-{found.target}", alt, partial(sensitivity_drawing.draw, found.layers))
    caption = (
        "Upwards: what quantizing the layer adds to the squared error at the output. Downwards: milliseconds that "
        "leaving it in float costs. Hatched and marked ▼: left in float. Pale: a share of its group's, not measured "
        "alone."
    )
    return figure("Layers in the order of the graph", caption, svg, wide=True)


def _layers(layers: Sequence[LayerEffect]) -> Markup:
    ranked = sorted(layers, key=lambda effect: (not effect.kept_float, -effect.loss))
    most_loss = max([1e-12, *(effect.loss for effect in layers)])
    most_cost = max([1e-12, *(effect.cost_ms for effect in layers)])
    figures = ("Loss", "Cost in ms", "Loss per ms")
    more = f" {len(layers) - LISTED:,} less sensitive ones are not listed." if len(layers) > LISTED else ""
    caption = element("caption", f"Left in float first, then by loss. Loss: share of the squared output.{more}")
    rows = joined(_layer(effect, most_loss, most_cost) for effect in ranked[:LISTED])
    head = header_row("Layer", "Operator", *figures, "Stays", numbers=frozenset(figures))
    table = element("table", caption, head, element("tbody", rows), class_="lines compact")
    return element("details", element("summary", "Layers one by one"), scrolling(table))


def _layer(effect: LayerEffect, most_loss: float, most_cost: float) -> Markup:
    stays = element("b", "float") if effect.kept_float else "INT8"
    per_ms = f"{100 * effect.loss / effect.cost_ms:.3g} %/ms" if effect.cost_ms > 0 else "costs nothing"
    guessed = "" if effect.measured else "≈ "
    return element(
        "tr",
        element("td", element("code", effect.layer)),
        element("td", effect.op),
        element("td", f"{guessed}{effect.loss:.3%}", _bar(effect.loss / most_loss), class_="number"),
        element("td", f"{effect.cost_ms:+.3f}", _bar(effect.cost_ms / most_cost), class_="number"),
        number(per_ms),
        element("td", stays),
    )


def _bar(share: float) -> Markup:
    filled = element("i", style=f"width:{min(max(share, 0.0), 1.0):.1%}")
    return element("span", filled, class_="meter plain", aria_hidden="true")


def _mixes(tried: Sequence[TriedMix]) -> Markup:
    metrics = list(dict.fromkeys(name for mix in tried for name in mix.metrics))
    figures = ("Float layers", *(metric_word(name) for name in metrics), "Estimated ms")
    earlier = f" The first {len(tried) - MIXES:,} are not listed." if len(tried) > MIXES else ""
    caption = element("caption", f"Mixes in the order in which they were tried, judged on the search set.{earlier}")
    bodies = joined(_mix(mix, metrics, len(figures) + 3) for mix in tried[-MIXES:])
    head = header_row("Mix", *figures, "Judge", "Taken as inside", numbers=frozenset(figures))
    return scrolling(element("table", caption, head, bodies))


def _mix(mix: TriedMix, metrics: Sequence[str], columns: int) -> Markup:
    row = element(
        "tr",
        element("th", mix.label, scope="row"),
        number(f"{len(mix.kept_float):,}"),
        joined(number(metric_value(name, mix.metrics[name]) if name in mix.metrics else "") for name in metrics),
        number(f"{mix.estimated_ms:.2f}" if mix.estimated_ms is not None else ""),
        element("td", chip(mix.outcome)),
        element("td", "yes" if mix.inside else "no"),
    )
    return element("tbody", row, element("tr", element("td", mix.why, colspan=columns), class_="why"))
