"""The page of a comparison: where two engines part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from pathlib import Path

from edgemill_converters.comparing.compare import Comparison
from edgemill_converters.comparing.differences import Difference
from edgemill_converters.comparing.layers import LayerDifference, steepest
from edgemill_converters.report.captioned import figure
from edgemill_converters.report.document import document
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.part_drawing import along_layers, by_sample
from edgemill_converters.report.pictures import flip_cards
from edgemill_converters.report.svg import inline_svg
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_core.durable import write_bytes

_SHOWN = 20
NOTABLE = 0.001
"""Watching that changes an output by more than this, relative, is worth a word."""


def write_comparison(found: Comparison, path: Path) -> None:
    """Write the page; an old file is replaced in one step."""
    write_bytes(path, comparison_page(found).encode())


def comparison_page(found: Comparison) -> str:
    """The whole page as text."""
    sections = [element("section", element("h2", "Outputs"), _outputs(found))]
    if found.layers is not None:
        sections.append(element("section", element("h2", "Layers"), _layers(found, found.layers)))
    if found.flips is not None:
        sections.append(element("section", element("h2", "Where verdicts flip"), _flips(found)))
    header = element(
        "header",
        element("p", "Comparison", class_="eyebrow"),
        element("h1", "A ", element("small", found.a.name), " against B ", element("small", found.b.name)),
        element("div", element("p", sentence(found)), class_=f"verdict {'bad' if found.flips else 'plain'}"),
    )
    body = element("body", header, element("main", joined(sections)), element("footer", "Edgemill comparison."))
    return document(f"{found.a.name} against {found.b.name}", body)


def sentence(found: Comparison) -> str:
    """What it came to, in a sentence."""
    worst = max(found.outputs, key=lambda one: one.relative)
    apart = f"outputs differ by at most {figure_of(worst.most)} ({share(worst.relative)} of their size)"
    if found.flips is None:
        return f"Over {found.over}, {apart}."
    count = sum(flip.before.decision is not flip.after.decision for flip in found.flips)
    read = len(found.flips) - count
    more = f", {read} more read otherwise" if read else ""
    return f"{count} of {len(found.samples):,} decisions flip{more}, over {found.over}; {apart}."


def figure_of(value: float) -> str:
    """A difference in a few digits."""
    return f"{value:.3g}" if isfinite(value) else "no number"


def share(value: float) -> str:
    """A relative difference in percent."""
    return f"{value:.3%}" if isfinite(value) else "no number"


def part(found: Sequence[LayerDifference]) -> str:
    """Where the two part, in a sentence."""
    first = steepest(found, 1)[0]
    if first.rise <= 0:
        return f"No layer of {len(found):,} differs."
    return (
        f"Of {len(found):,} layers {first.layer} ({first.kind}) adds most: its result is "
        f"{share(first.difference.relative)} off, what flows into it {share(first.arrived)}."
    )


def watching_note(found: Comparison) -> str:
    """A word where the watched graphs do not compute as the bare ones do; else empty."""
    notable = [
        f"{name} by {share(changed)}"
        for name, changed in zip("AB", found.watching or (), strict=False)
        if changed > NOTABLE
    ]
    if not notable:
        return ""
    return (
        f"Watching its layers changed the outputs of {' and of '.join(notable)}: a layer that is watched is not fused, "
        "and what only its fused kernel does is not in these figures."
    )


def _outputs(found: Comparison) -> Markup:
    flipped = {id(flip.sample) for flip in found.flips or ()}
    most = [max(values) for values in zip(*(one.by_sample for one in found.outputs), strict=True)]
    marks = [id(sample) in flipped for sample in found.samples]
    alt = f"Largest difference by sample, at most {figure_of(max(most))}; {sum(marks)} verdicts flip"
    svg = inline_svg("samples", alt, partial(by_sample, most, marks))
    crosses = " ✕ marks a sample whose verdict flips." if found.flips else ""
    plot = figure("Sample by sample", f"Largest absolute difference of any output.{crosses}", svg)
    only = element("p", f"Only one of the two has: {', '.join(found.only)}.") if found.only else ""
    return joined((_table(found.outputs), only, element("div", plot, class_="plots")))


def _table(outputs: Sequence[Difference]) -> Markup:
    titles = ("Output", "Largest difference", "Mean difference", "Relative")
    caption = element("caption", "Relative: root mean square of the difference over that of A's values.")
    rows = (
        element("tr", element("th", one.tensor, scope="row"), *_figures(one, figure_of(one.mean)))
        for one in sorted(outputs, key=lambda one: -one.relative)
    )
    head = header_row(*titles, numbers=frozenset(titles[1:]))
    return scrolling(element("table", caption, head, element("tbody", joined(rows)), class_="lines"))


def _figures(one: Difference, second: str) -> tuple[Markup, Markup, Markup]:
    return number(figure_of(one.most)), number(second), number(share(one.relative))


def _layers(found: Comparison, layers: Sequence[LayerDifference]) -> Markup:
    relative = [one.difference.relative for one in layers]
    draw = partial(along_layers, relative, [one.rise for one in layers], [one.layer for one in layers])
    caption = "Relative difference of each layer's result along the graph. Named: the layers that add most."
    plot = figure("Layer by layer", caption, inline_svg("layers", part(layers), draw), wide=True)
    note = watching_note(found)
    titles = ("Layer", "Operator", "Largest difference", "Arrived", "Relative")
    rows = (
        element(
            "tr",
            element("th", one.layer, scope="row"),
            element("td", one.kind),
            *_figures(one.difference, share(one.arrived)),
        )
        for one in steepest(layers, _SHOWN)
    )
    head = header_row(*titles, numbers=frozenset(titles[2:]))
    said = element("caption", f"The {min(_SHOWN, len(layers))} layers that add most, first.")
    table = scrolling(element("table", said, head, element("tbody", joined(rows)), class_="lines"))
    lead = element("p", part(layers))
    return joined((lead, element("p", note) if note else "", element("div", plot, class_="plots"), table))


def _flips(found: Comparison) -> Markup:
    if not found.flips:
        return element("p", f"No flips: all {len(found.samples):,} verdicts are the same.")
    return flip_cards(found.flips, len(found.samples), found.region, ("A", "B"))
