"""What became of good and of bad parts, with the reference and with the variant that ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.tables import header_row
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.samples import Sample
from edgemill_core.verdict import Decision, Verdict

_COLUMNS = (Decision.PASS, Decision.UNCERTAIN, Decision.REJECT)


def confusion(samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Counter[tuple[bool, Decision]]:
    """Count labelled samples by (good, decision)."""
    pairs = zip(samples, verdicts, strict=True)
    return Counter((sample.truth.good, verdict.decision) for sample, verdict in pairs if sample.truth is not None)


def confusion_section(result: BuildResult) -> Markup:
    """One table for each variant that ships."""
    if not result.choice.shipped or result.choice.without:
        return element("p", "Nothing ships, so there is nothing to compare here.")
    shipped = [result.variant(name) for name in result.choice.shipped]
    return joined(_table(result, variant) for variant in shipped)


def _table(result: BuildResult, variant: VariantResult) -> Markup:
    before = confusion(result.samples, result.reference)
    after = confusion(result.samples, variant.verdicts)
    titles = ("The part is", *(f"says {decision.value}" for decision in _COLUMNS))
    rows = (
        element(
            "tr",
            element("th", "good" if good else "bad", scope="row"),
            joined(_cell(good, column, before[good, column], after[good, column]) for column in _COLUMNS),
        )
        for good in (True, False)
    )
    return joined(
        (
            element("h3", variant.name),
            element(
                "table",
                element("caption", "Parts of the judge set: reference → variant"),
                header_row(*titles),
                element("tbody", joined(rows)),
                class_="confusion",
            ),
        )
    )


def _cell(good: bool, decision: Decision, before: int, after: int) -> Markup:
    right = (decision is Decision.PASS) == good
    meaning = _meaning(good, decision)
    changed = element("b", f"{before:,} → {after:,}") if before != after else element("span", f"{before:,} → {after:,}")
    return element("td", changed, element("small", meaning), class_="right" if right else "wrong")


def _meaning(good: bool, decision: Decision) -> str:
    if good:
        return "right" if decision is Decision.PASS else "overkill"
    return "escape" if decision is Decision.PASS else "right: stopped"
