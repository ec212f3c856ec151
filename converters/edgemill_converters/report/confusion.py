"""What became of good and of bad parts, with the reference and with the variant that ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from edgemill_converters.report.boxed import SAME_FROM
from edgemill_converters.report.by_class import class_table, found, named
from edgemill_converters.report.labelled import class_names, really_there
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.tables import header_row, scrolling
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.metrics import metric_named
from edgemill_core.samples import Sample
from edgemill_core.verdict import Decision, Verdict

_REFUSED = 4
_COLUMNS = (Decision.PASS, Decision.UNCERTAIN, Decision.REJECT)


def confusion(samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Counter[tuple[bool, Decision]]:
    """Count labelled samples by (good, decision)."""
    pairs = zip(samples, verdicts, strict=True)
    return Counter((bool(sample.truth.good), verdict.decision) for sample, verdict in pairs if sample.truth is not None)


def confusion_section(result: BuildResult) -> Markup:
    """Tables for each variant that ships; where nothing does, for the first that were refused."""
    if result.choice.shipped and not result.choice.without:
        return joined(_table(result, result.variant(name)) for name in result.choice.shipped)
    note = element("p", "Nothing ships. So it would have been:")
    judged = [variant for variant in result.variants if variant.verdicts]
    return joined((note, *(_table(result, variant) for variant in judged[:_REFUSED])))


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
            scrolling(
                element(
                    "table",
                    element("caption", "Parts of the judge set: reference → variant"),
                    header_row(*titles),
                    element("tbody", joined(rows)),
                    class_="confusion",
                )
            ),
            _by_class(result, variant),
        )
    )


def _by_class(result: BuildResult, variant: VariantResult) -> Markup:
    """For tasks that name classes, or find things and have labelled boxes; else nothing."""
    sides = (result.reference, variant.verdicts)
    before, after = (named(result.samples, verdicts) for verdicts in sides)
    if before or after:
        return class_table(before, after, boxes=False)
    iou = min((iou for budget in result.recipe.budget for iou in metric_named(budget.metric).ious), default=SAME_FROM)
    truths = partial(really_there, classes=class_names(result.recipe), declared=result.recipe.input)
    before, after = (found(result.samples, verdicts, truths, iou) for verdicts in sides)
    return class_table(before, after, boxes=True) if before or after else Markup()


def _cell(good: bool, decision: Decision, before: int, after: int) -> Markup:
    right = (decision is Decision.PASS) == good
    meaning = _meaning(good, decision)
    changed = element("b", f"{before:,} → {after:,}") if before != after else element("span", f"{before:,} → {after:,}")
    return element("td", changed, element("small", meaning), class_="right" if right else "wrong")


def _meaning(good: bool, decision: Decision) -> str:
    if good:
        return "right" if decision is Decision.PASS else "overkill"
    return "escape" if decision is Decision.PASS else "right: stopped"
