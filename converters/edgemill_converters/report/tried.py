"""Everything that was tried, and what became of it: measured variants, refused ones, and mixes of precisions."""

from __future__ import annotations

from collections.abc import Iterator

from edgemill_converters.quantization.fallback_found import FallbackFound, TriedMix
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_converters.report.wording import NOT_AVAILABLE, budget_used, chip, megabytes, milliseconds, reason, ships
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import Outcome

_FIGURES = ("p99 ms", "Size MB", "Of the budget")
_TITLES = ("Tried", *_FIGURES, "Came to", "Why")
MIXES = 12
"""Mixes listed per search: the last ones; the search's own section has more."""


def tried_section(result: BuildResult) -> Markup:
    """One row a try: what ships, what does not, what was never measured, and what the search for a mix went through."""
    caption = element(
        "caption",
        "Of the budget: the worst upper bound over what is allowed; above 1 it cannot ship. A mix was judged on the "
        "search set, its latency is estimated.",
    )
    rows = joined((*_measured(result), *_never_measured(result), *_mixes(result)))
    head = header_row(*_TITLES, numbers=frozenset(_FIGURES))
    return scrolling(element("table", caption, head, element("tbody", rows), class_="lines tried"))


def _measured(result: BuildResult) -> Iterator[Markup]:
    for variant in result.variants:
        figures = (milliseconds(variant, tail=True), megabytes(variant.size_bytes), _used(variant))
        yield _row(variant.name, figures, _came_to(result, variant), reason(result, variant))


def _used(variant: VariantResult) -> str:
    used = budget_used(variant)
    return f"{used:.2f}×" if used < float("inf") else NOT_AVAILABLE


def _came_to(result: BuildResult, variant: VariantResult) -> Markup:
    if ships(result, variant):
        return element("span", "★ ships", class_="yes")
    return chip(variant.ruling.outcome)


def _never_measured(result: BuildResult) -> Iterator[Markup]:
    names = {variant.name for variant in result.variants}
    for refusal in result.choice.refused:
        if refusal.variant not in names:
            yield _row(refusal.variant, ("", "", ""), chip(Outcome.FAIL), f"never measured: {refusal.why}")


def _mixes(result: BuildResult) -> Iterator[Markup]:
    for found in result.fallbacks:
        for mix in found.tried[-MIXES:]:
            estimated = f"≈ {mix.estimated_ms:.2f}" if mix.estimated_ms is not None else ""
            yield _row(f"{found.target}: {mix.label}", (estimated, "", ""), *_said(found, mix))


def _said(found: FallbackFound, mix: TriedMix) -> tuple[Markup, str]:
    taken = found.plan is not None and mix.inside and set(mix.kept_float) == set(found.kept_float)
    return chip(mix.outcome), f"{'the mix that was taken: ' if taken else ''}{mix.why}"


def _row(name: str, figures: tuple[str, str, str], came_to: Markup, why: str) -> Markup:
    first = element("th", name, scope="row")
    return element("tr", first, joined(map(number, figures)), element("td", came_to), element("td", why))
