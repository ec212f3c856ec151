"""What becomes of each class, before and after: classes that were named, and boxes that were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgemill_converters.report.boxed import compared
from edgemill_converters.report.markup import Markup, element, joined
from edgemill_converters.report.tables import header_row, number, scrolling
from edgemill_core.inspection import Finding, findings_in
from edgemill_core.samples import Sample
from edgemill_core.verdict import Verdict

LISTED = 24
"""Classes listed: those of which most changed, then the largest."""


@dataclass(frozen=True)
class OfClass:
    """What one side made of a class.

    Attributes:
        total: samples, or labelled boxes, of the class.
        right: of these, named or found.
        wrong: others that were called by its name, or boxes that stand for nothing.
        taken_for: what the missed ones were taken for, most often first.
    """

    total: int
    right: int
    wrong: int
    taken_for: tuple[tuple[str, int], ...] = ()


Counts = dict[str, OfClass]


def named(samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Counts:
    """Classification: per class of the truth, how often it was named; empty where no class is known."""
    pairs: Counter[tuple[str, str]] = Counter()
    for sample, verdict in zip(samples, verdicts, strict=True):
        if sample.truth is not None and sample.truth.class_name is not None and "class" in verdict.reading:
            pairs[sample.truth.class_name, str(verdict.reading["class"])] += 1
    classes = sorted({name for pair in pairs for name in pair})
    return {name: _of_name(name, pairs) for name in classes}


def _of_name(name: str, pairs: Counter[tuple[str, str]]) -> OfClass:
    taken = Counter({said: count for (true, said), count in pairs.items() if true == name and said != name})
    wrong = sum(count for (true, said), count in pairs.items() if said == name and true != name)
    right = pairs[name, name]
    return OfClass(right + taken.total(), right, wrong, tuple(taken.most_common(2)))


def found(
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    truths: Callable[[Sample], Sequence[Finding] | None],
    iou: float,
) -> Counts:
    """Detection: per class, how many labelled boxes were found, and how many boxes stand for none.

    Args:
        truths: what is really there; ``None`` where nobody labelled boxes.
        iou: least intersection over union at which a box stands for a labelled one; the surest chooses first.
    """
    total, right, wrong = Counter[str](), Counter[str](), Counter[str]()
    for sample, verdict in zip(samples, verdicts, strict=True):
        there = truths(sample)
        if there is not None:
            reading: Any = verdict.reading
            matched = compared(findings_in(reading), there, iou)
            total.update(one.kind for one in there)
            right.update(one.kind for one, _ in matched.both)
            wrong.update(one.kind for one in matched.lost)
    return {name: OfClass(total[name], right[name], wrong[name]) for name in sorted({*total, *wrong})}


def class_table(before: Counts, after: Counts, boxes: bool) -> Markup:
    """Reference and variant side by side.

    Args:
        boxes: the counts are of boxes, else of samples.
    """
    nothing = OfClass(0, 0, 0)
    names = sorted({*before, *after}, key=lambda name: _rank(before.get(name, nothing), after.get(name, nothing), name))
    things, figures = ("boxes", ("Labelled", "Found", "Missed", "False")) if boxes else ("samples", _NAMED)
    more = f" {len(names) - LISTED:,} classes of which less changed are not listed." if len(names) > LISTED else ""
    caption = element("caption", f"By class, {things} of the judge set: reference → variant.{more}")
    rows = joined(_row(name, before.get(name, nothing), after.get(name, nothing), boxes) for name in names[:LISTED])
    titles = ("Class", *figures) if boxes else ("Class", *figures, "Taken for, by the variant")
    head = header_row(*titles, numbers=frozenset(figures))
    return scrolling(element("table", caption, head, element("tbody", rows), class_="lines compact"))


_NAMED = ("Samples", "Named rightly", "Missed", "Others called so")


def _rank(before: OfClass, after: OfClass, name: str) -> tuple[int, int, str]:
    changed = abs(before.right - after.right) + abs(before.wrong - after.wrong)
    return -changed, -max(before.total, after.total), name


def _row(name: str, before: OfClass, after: OfClass, boxes: bool) -> Markup:
    taken = "; ".join(f"{said} {count}" for said, count in after.taken_for)
    cells = [
        element("th", name, scope="row"),
        number(f"{max(before.total, after.total):,}"),
        _change(before.right, after.right),
        _change(before.total - before.right, after.total - after.right),
        _change(before.wrong, after.wrong),
    ]
    return element("tr", joined(cells), *(() if boxes else (element("td", taken),)))


def _change(before: int, after: int) -> Markup:
    said = f"{before:,} → {after:,}"
    return element("td", element("b", said) if before != after else said, class_="number")
