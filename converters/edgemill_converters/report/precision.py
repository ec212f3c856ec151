"""What each variant's layers compute in, in the order in which they run, by their share of the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_runtimes.engines import Layer

LISTED = 60
"""Layers listed per variant: those with most work, and the unfused."""
_WIDTH, _HEIGHT = 1000.0, 40.0
_NARROW = 4.0
"""Neighbours alike that are narrower than this, of the whole width of 1000, are drawn as one."""
_TALL = {"int4": 0.3, "int8": 0.45, "fp16": 0.7, "bf16": 0.7, "fp32": 1.0, "fp64": 1.0}
"""Heights tell precisions apart without colour."""


@dataclass(frozen=True)
class Cell:
    """Neighbouring layers that compute in the same.

    Attributes:
        layers: at least one.
        share: of the work, 0 to 1.
    """

    layers: tuple[Layer, ...]
    share: float

    @property
    def alike(self) -> tuple[str, bool]:
        """What is told apart."""
        return self.layers[0].precision, self.layers[0].unfused


def shares_of(layers: Sequence[Layer]) -> list[float]:
    """Each layer's share of all multiply-accumulates; equal shares where a layer's are not known."""
    total = sum(layer.macs or 0 for layer in layers)
    if not total or any(layer.macs is None for layer in layers):
        return [1 / len(layers)] * len(layers)
    return [(layer.macs or 0) / total for layer in layers]


def cells(layers: Sequence[Layer]) -> list[Cell]:
    """The layers in their order, narrow neighbours that are alike joined."""
    found: list[Cell] = []
    for layer, share in zip(layers, shares_of(layers), strict=True):
        cell = Cell((layer,), share)
        last = found[-1] if found else None
        if last is not None and last.alike == cell.alike and max(last.share, share) * _WIDTH < _NARROW:
            found[-1] = Cell((*last.layers, layer), last.share + share)
        else:
            found.append(cell)
    return found


def precision_section(result: BuildResult) -> Markup:
    """A strip and a table per variant; one word where a runtime tells nothing."""
    return joined(_of_variant(variant) for variant in result.variants)


def _of_variant(variant: VariantResult) -> Markup:
    title = element("h3", variant.name)
    if variant.measurement is None:
        return joined((title, element("p", "What its runtime makes of the graph is not known here.")))
    layers = variant.measurement.by_layer
    if not layers:
        return joined((title, element("p", "The runtime tells nothing of its layers.")))
    said = _in_words(layers)
    return joined((title, element("p", said), _strip(layers, f"{variant.name}: {said}"), _table(layers)))


def _in_words(layers: Sequence[Layer]) -> str:
    known = all(layer.macs is not None for layer in layers)
    counts, shares = Counter(layer.precision for layer in layers), shares_of(layers)
    work = {name: sum(s for s, layer in zip(shares, layers, strict=True) if layer.precision == name) for name in counts}
    each = (
        f"{share:.1%} in {name} ({counts[name]} {'layer' if counts[name] == 1 else 'layers'})"
        for name, share in sorted(work.items(), key=lambda item: -item[1])
    )
    unfused = sum(layer.unfused for layer in layers)
    of = "Of the multiply-accumulates" if known else "Of the layers, whose work the runtime does not tell"
    more = f" {unfused} unfused: quantized, but computing in float." if unfused else ""
    return f"{of} {', '.join(each)}.{more}"


def _strip(layers: Sequence[Layer], alt: str) -> Markup:
    parts, x = [], 0.0
    for cell in cells(layers):
        width = cell.share * _WIDTH
        parts.append(_rectangle(cell, x, width))
        x += width
    frame = f"0 0 {_WIDTH:g} {_HEIGHT + 10:g}"
    return element(
        "svg", joined(parts), viewBox=frame, preserveAspectRatio="none", role="img", aria_label=alt, class_="layers"
    )


def _rectangle(cell: Cell, x: float, width: float) -> Markup:
    precision, unfused = cell.alike
    tall = _TALL.get(precision, 1.0) * _HEIGHT
    names = cell.layers[0].name if len(cell.layers) == 1 else f"{len(cell.layers)} layers"
    said = f"{names}: {precision}, {cell.share:.2%} of the work{', unfused' if unfused else ''}"
    gap = min(0.8, width / 4)
    kind = f"p-{precision}" if precision in _TALL else "p-other"
    drawn = element(
        "rect",
        element("title", said),
        x=f"{x:.2f}",
        y=f"{_HEIGHT - tall:g}",
        width=f"{max(0.0, width - gap):.2f}",
        height=f"{tall:g}",
        class_=f"{kind} unfused" if unfused else kind,
    )
    if not unfused:
        return drawn
    mark = element("rect", x=f"{x:.2f}", y=f"{_HEIGHT + 3:g}", width=f"{max(3.0, width):.2f}", height=6, class_="u")
    return joined((drawn, mark))


def _table(layers: Sequence[Layer]) -> Markup:
    shares = shares_of(layers)
    ranked = sorted(range(len(layers)), key=lambda index: (not layers[index].unfused, -shares[index]))
    shown = sorted(ranked[:LISTED])
    rows = joined(_row(index, layers[index], shares[index]) for index in shown)
    left = sum(shares[index] for index in ranked[LISTED:])
    note = f" The other {len(layers) - LISTED} have {left:.1%} of the work." if len(layers) > LISTED else ""
    caption = element("caption", f"In the order in which they run, as the runtime names them.{note}")
    head = header_row("", "Layer", "Computes in", "Share of the work", numbers=frozenset({"", "Share of the work"}))
    table = scrolling(element("table", caption, head, element("tbody", rows), class_="lines compact"))
    return element(
        "details",
        element("summary", "The layer by itself" if len(layers) == 1 else f"{len(layers)} layers one by one"),
        table,
    )


def _row(index: int, layer: Layer, share: float) -> Markup:
    said = element("span", f"{layer.precision}, unfused", class_="unfused") if layer.unfused else layer.precision
    name = element("td", element("code", layer.name))
    return element("tr", number(str(index + 1)), name, element("td", said), number(f"{share:.2%}"))
