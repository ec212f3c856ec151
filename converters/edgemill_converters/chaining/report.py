"""The report of a chain: what was judged, how often it was wrong, and on which parts. One file that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgemill_converters.chaining.result import ChainResult, RuntimeResult
from edgemill_converters.report.document import document
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_core.durable import write_bytes
from edgemill_core.samples import Sample
from edgemill_core.verdict import Decision, Verdict

_LISTED = 40


def write_report(result: ChainResult, path: Path) -> None:
    """Write the page; an old one is replaced in one step."""
    write_bytes(path, page(result).encode())


def page(result: ChainResult) -> str:
    """The whole page as text."""
    recipe = result.recipe
    holds = all(one.holds for one in result.runtimes)
    said = "The chain is inside its budget." if holds else "Nothing ships: the chain is not inside its budget."
    header = element(
        "header",
        element("p", "Build report · chain", class_="eyebrow"),
        element("h1", recipe.name, " ", element("small", recipe.version)),
        element("div", element("p", said), class_=f"verdict {'good' if holds else 'bad'}"),
    )
    main = element(
        "main",
        element("section", element("h2", "Stages"), _stages(result)),
        element("section", element("h2", "Budget"), _budget(result)),
        element("section", element("h2", "Wrong verdicts"), joined(_wrong(result, one) for one in result.runtimes)),
    )
    return document(f"{recipe.name} {recipe.version}: build report", element("body", header, main))


def _table(titles: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Markup:
    head = element("thead", element("tr", joined(element("th", title, scope="col") for title in titles)))
    body = element("tbody", joined(element("tr", joined(element("td", cell) for cell in row)) for row in rows))
    return element("div", element("table", head, body, class_="lines"), class_="scroll", tabindex=0)


def _stages(result: ChainResult) -> Markup:
    names = tuple(one.runtime for one in result.runtimes)
    rows = (
        (stage.name, stage.bundle, stage.crops_of or "the picture", *(one.variants[index] for one in result.runtimes))
        for index, stage in enumerate(result.recipe.chain)
    )
    return _table(("Stage", "Bundle", "Looks at", *names), rows)


def _budget(result: ChainResult) -> Markup:
    rows = (
        (one.runtime, element("span", judged.outcome.value, class_=f"chip {judged.outcome.value}"), judged.why)
        for one in result.runtimes
        for judged in one.judgements
    )
    return _table(("Runtime", "Outcome", "Why"), rows)


def _wrong(result: ChainResult, one: RuntimeResult) -> Markup:
    wrong = [
        (sample, verdict)
        for sample, verdict in zip(result.samples, one.verdicts, strict=True)
        if sample.truth is not None and sample.truth.good != (verdict.decision is Decision.PASS)
    ]
    title = element("h3", f"{one.runtime}: {len(wrong)} of {len(result.samples)}")
    if not wrong:
        return title
    more = f"and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
    table = _table(("Part", "Label", "Verdict", "Reasons"), (_row(*pair) for pair in wrong[:_LISTED]))
    return joined((title, table, element("p", more)))


def _row(sample: Sample, verdict: Verdict) -> tuple[str, ...]:
    label = "good" if sample.truth is not None and sample.truth.good else "bad"
    return sample.id, label, verdict.decision.value, "; ".join(verdict.reasons)
