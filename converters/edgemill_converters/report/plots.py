"""What the plots show and how they are captioned; the drawing is in the modules ``…drawing``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from edgemill_converters.measuring import Measurement
from edgemill_converters.report import drawing, latency_drawing, risk_drawing
from edgemill_converters.report.captioned import figure
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.pareto import pareto_plots
from edgemill_converters.report.svg import inline_svg
from edgemill_converters.report.wording import (
    NOT_MEASURED,
    megabytes,
    memory,
    metric_title,
    metric_word,
    milliseconds,
    percent,
    reason,
    ships,
)
from edgemill_converters.result import BuildResult, VariantResult


def plots_section(result: BuildResult) -> Markup:
    """All plots of a build."""
    marks = [_mark(result, variant) for variant in result.variants]
    plots = (pareto_plots, _latency, _spread, _budget, _sizes)
    return element("div", joined(plot(result, marks) for plot in plots), class_="plots")


def _mark(result: BuildResult, variant: VariantResult) -> drawing.Mark:
    does, why = ships(result, variant), _why(result, variant)
    return drawing.Mark(variant.name, variant.precision, variant.ruling.outcome, does, why)


def _why(result: BuildResult, variant: VariantResult) -> str:
    tail = milliseconds(variant, tail=True)
    figures = f"p99 {tail}{' ms' if variant.measurement else ''}, {megabytes(variant.size_bytes)} MB"
    return f"{variant.name}, {variant.ruling.outcome.value}: {figures}. {reason(result, variant)}"


def _in_words(result: BuildResult, say: dict[str, str]) -> str:
    return "; ".join(f"{variant.name}: {say[variant.name]}" for variant in result.variants if variant.name in say)


def _measured(result: BuildResult, marks: list[drawing.Mark]) -> tuple[list[drawing.Mark], dict[str, Measurement]]:
    """Of the variants that were, in their order; the others have no place where latency or memory is drawn."""
    found = {v.name: v.measurement for v in result.variants if v.measurement is not None}
    return [mark for mark in marks if mark.name in found], found


def _latency(result: BuildResult, marks: list[drawing.Mark]) -> Markup:
    drawn, measured = _measured(result, marks)
    if not measured:
        return element("p", f"Latency is {NOT_MEASURED}: nothing of the targets runs on this machine.")
    say = {name: f"p50 {one.p50_ms:.2f} ms, p99 {one.p99_ms:.2f} ms" for name, one in measured.items()}
    latencies = [one.latencies_ms for one in measured.values()]
    turns = [one.turns for one in measured.values()]
    draw = partial(latency_drawing.strips, drawn, latencies, turns)
    svg = inline_svg("latency", f"Latency. {_in_words(result, say)}", draw)
    caption = (
        "Each tick is a timed inference; the rows of ticks are the turns, the first on top, so that a machine that "
        "grew slower shows. ● p50, ▲ p99. Runs far beyond every p99 are counted at the edge."
    )
    return figure("Latency, turn by turn", caption, svg)


def _spread(result: BuildResult, marks: list[drawing.Mark]) -> Markup:
    drawn, measured = _measured(result, marks)
    if not measured:
        return Markup()
    latencies = [one.latencies_ms for one in measured.values()]
    beyond = {name: f"half within {one.p50_ms:.2f} ms" for name, one in measured.items()}
    svg = inline_svg(
        "distribution",
        f"Share of inferences within a time. {_in_words(result, beyond)}",
        partial(latency_drawing.distributions, drawn, latencies),
    )
    caption = "Share of the timed inferences that took at most so long. ● p50, ▲ p99. Further left is better."
    return figure("Latency, as a distribution", caption, svg)


def _budget(result: BuildResult, marks: list[drawing.Mark]) -> Markup:
    panels = [
        risk_drawing.Panel(metric_title(b.metric), b.max_drop, b.confidence, _intervals(result.variants, b.metric))
        for b in result.recipe.budget
    ]
    say = {v.name: _bounds(v) for v in result.variants}
    svg = inline_svg(
        "budget", f"Bounds against the budget. {_in_words(result, say)}", partial(risk_drawing.bounds, marks, panels)
    )
    caption = (
        "Mark: the drop that was seen; its shape is the ruling on the whole variant. Line: up to the upper confidence "
        "bound, which must not cross the red line."
    )
    return figure("How much worse it can be", caption, svg, wide=True)


def _intervals(variants: tuple[VariantResult, ...], metric: str) -> tuple[tuple[float, float] | None, ...]:
    """Per variant the drop that was seen and its upper bound."""
    found = ([j for j in v.ruling.judgements if j.budget.metric == metric] for v in variants)
    return tuple((js[0].drop, js[0].drop_upper_bound) if js else None for js in found)


def _bounds(variant: VariantResult) -> str:
    return ", ".join(
        f"{metric_word(j.budget.metric)} worse by at most {percent(j.drop_upper_bound)} of {percent(j.budget.max_drop)}"
        for j in variant.ruling.judgements
    )


def _sizes(result: BuildResult, marks: list[drawing.Mark]) -> Markup:
    memories = [v.measurement.peak_memory_mb if v.measurement else None for v in result.variants]
    say = {v.name: f"{megabytes(v.size_bytes)} MB on disk, {_in_memory(v)}" for v in result.variants}
    columns: list[tuple[str, Sequence[float | None]]] = [
        ("Graph and weights on disk, MB", [v.size_bytes / 1e6 for v in result.variants]),
        ("Peak memory of the process, MB", memories),
    ]
    svg = inline_svg("sizes", f"Sizes. {_in_words(result, say)}", partial(drawing.bars, marks, columns))
    caption = "Blue is FP32, orange INT8. Memory is the largest resident set of a process that does nothing else."
    return figure("Size and memory", caption, svg, wide=True)


def _in_memory(variant: VariantResult) -> str:
    return f"memory {NOT_MEASURED}" if variant.measurement is None else f"{memory(variant)} MB in memory"
