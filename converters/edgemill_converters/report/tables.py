"""The tables of variants and of budgets."""

from __future__ import annotations

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.wording import (
    NOT_AVAILABLE,
    chip,
    confidence,
    fp32_of,
    megabytes,
    memory,
    metric_title,
    metric_value,
    milliseconds,
    percent,
    reason,
    ships,
)
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Judgement
from edgemill_core.bundle import through


def header_row(*titles: str, numbers: frozenset[str] = frozenset()) -> Markup:
    """A table's head; titles in ``numbers`` stand right, above their figures."""
    cells = (
        element("th", title, scope="col", **({"class_": "number"} if title in numbers else {})) for title in titles
    )
    return element("thead", element("tr", joined(cells)))


def number(text: str) -> Markup:
    """A cell with a figure."""
    return element("td", text, class_="number")


def scrolling(table: Markup) -> Markup:
    """A table that scrolls where the page is narrower."""
    return element("div", table, class_="scroll", tabindex=0)


_VARIANT_FIGURES = ("p50 ms", "p99 ms", "Speed-up", "Size MB", "Peak memory MB")


def variants_table(result: BuildResult) -> Markup:
    """Every variant with what was measured of it, the ruling, and why it ships or not."""
    titles = ("Variant", "Precision", *_VARIANT_FIGURES, "Layers", "Ruling", "Ships")
    caption = element(
        "caption",
        "Batch 1, inference alone. Speed-up: p50 of FP32 on the same runtime over p50 of the variant. "
        "Size: graph and weights on disk. "
        "Layers: as the runtime compiled them. MB are 10⁶ bytes.",
    )
    bodies = (_variant_body(result, variant, len(titles)) for variant in result.variants)
    head = header_row(*titles, numbers=frozenset(_VARIANT_FIGURES))
    return scrolling(element("table", caption, head, joined(bodies)))


def _variant_body(result: BuildResult, variant: VariantResult, columns: int) -> Markup:
    does = ships(result, variant)
    row = element(
        "tr",
        element("th", variant.name, scope="row"),
        element("td", variant.precision.upper()),
        number(milliseconds(variant, tail=False)),
        number(milliseconds(variant, tail=True)),
        number(_speed_up(result, variant)),
        number(megabytes(variant.size_bytes)),
        number(memory(variant)),
        element("td", _layers(variant)),
        element("td", chip(variant.ruling.outcome)),
        element("td", element("span", "★ yes" if does else "no", class_="yes" if does else "no")),
    )
    why = element("tr", element("td", reason(result, variant), colspan=columns), class_="why")
    return element("tbody", row, why, **({"class_": "ships"} if does else {}))


def _speed_up(result: BuildResult, variant: VariantResult) -> str:
    fp32 = fp32_of(result, variant)
    if fp32 is None or fp32.measurement is None or variant.measurement is None:
        return NOT_AVAILABLE
    return "1 (base)" if fp32 is variant else f"{fp32.measurement.p50_ms / variant.measurement.p50_ms:.2f}×"


def _layers(variant: VariantResult) -> str:
    found = variant.measurement.layers if variant.measurement is not None else {}
    layers = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} {precision}" for precision, count in layers) or NOT_AVAILABLE


NO_GATES = "gates about speed and fused layers do not apply, because nothing of this target runs here"
_BUDGET_FIGURES = ("Reference → variant", "Worse", "Better", "Samples", "Worse by at most", "Allowed")


def budget_table(result: BuildResult) -> Markup:
    """Every variant and metric: what was seen, what it can be at worst, and what is allowed."""
    floors = any(budget.floor is not None for budget in result.recipe.budget)
    titles = ("Metric", *_BUDGET_FIGURES, *(("Floor",) if floors else ()), "Outcome")
    caption = element(
        "caption",
        "Worse and better: samples that went wrong with the variant only, and with the reference only; of numbers "
        "of the whole set, samples whose own part in it is worse or better. "
        "The bar is the upper bound, its mark what is allowed.",
    )
    bodies = (_budget_body(variant, len(titles), floors) for variant in result.variants)
    head = header_row(*titles, numbers=frozenset(_BUDGET_FIGURES))
    return scrolling(element("table", caption, head, joined(bodies), class_="budget"))


def _budget_body(variant: VariantResult, columns: int, floors: bool) -> Markup:
    ruling = variant.ruling
    name = element("th", variant.name, " ", chip(ruling.outcome), scope="rowgroup", colspan=columns)
    rows = [joined(_judgement_cells(judgement, floors)) for judgement in ruling.judgements]
    if variant.stand_in:
        rows.append(element("td", f"{through(variant.stand_in)}; {NO_GATES}", colspan=columns))
    rows += [element("td", f"whatever its metrics: {gate}", colspan=columns) for gate in ruling.gates]
    return element("tbody", element("tr", name), joined(element("tr", row) for row in rows))


def _judgement_cells(judgement: Judgement, floors: bool) -> list[Markup]:
    budget, counts = judgement.budget, judgement.counts
    needs = f" needs about {judgement.needs:,} samples" if judgement.needs is not None else ""
    return [
        element("td", metric_title(budget.metric)),
        number(" → ".join(metric_value(budget.metric, value) for value in (judgement.reference, judgement.variant))),
        number(f"{counts.worse:,}"),
        number(f"{counts.better:,}"),
        number(f"{counts.n:,}"),
        element("td", percent(judgement.drop_upper_bound), _meter(judgement), class_="number"),
        number(f"{percent(budget.max_drop)} at {confidence(judgement.confidence)}"),
        *([element("td", percent(budget.floor) if budget.floor is not None else "none")] if floors else []),
        element("td", chip(judgement.outcome), needs),
    ]


def _meter(judgement: Judgement) -> Markup:
    used = judgement.drop_upper_bound / judgement.budget.max_drop
    # The scale ends at twice what is allowed: what lies far outside needs no exact length.
    bar = element("i", style=f"width:{min(used / 2, 1.0):.1%}")
    mark = element("b", style="left:50%")
    return element("span", bar, mark, class_="meter" if used <= 1 else "meter over", aria_hidden="true")
