"""Where a variant decides otherwise than the reference, the most dangerous first. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from edgemill_core.inspection import in_words
from edgemill_core.metrics import Metric, metric_named
from edgemill_core.samples import Sample, Truth
from edgemill_core.verdict import Decision, Verdict


class Kind(str, Enum):
    """What a flip means to the budget."""

    WORSE = "worse"
    BETTER = "better"
    NEUTRAL = "neutral"
    READING = "reading"


@dataclass(frozen=True)
class Flip:
    """One sample on which variant and reference differ.

    Attributes:
        metrics: the budgeted metrics that it moves.
    """

    sample: Sample
    before: Verdict
    after: Verdict
    kind: Kind
    metrics: tuple[str, ...] = ()

    @property
    def escapes(self) -> bool:
        """A bad part that only the variant passes."""
        bad = self.sample.truth is not None and not self.sample.truth.good
        return bad and self.after.decision is Decision.PASS and self.before.decision is not Decision.PASS


def flips(
    samples: Sequence[Sample], reference: Sequence[Verdict], variant: Sequence[Verdict], metrics: Sequence[str]
) -> list[Flip]:
    """All flips: worse before better before neutral before mere readings, and new escapes before all.

    Args:
        metrics: names of the budgeted metrics.
    """
    judged = [metric_named(name) for name in metrics]
    triples = zip(samples, reference, variant, strict=True)
    found = [_flip(*triple, judged) for triple in triples if _differ(triple[1], triple[2])]
    order = list(Kind)
    return sorted(found, key=lambda flip: (order.index(flip.kind), not flip.escapes))


def _differ(before: Verdict, after: Verdict) -> bool:
    return before.decision is not after.decision or in_words(before.reading) != in_words(after.reading)


def _flip(sample: Sample, before: Verdict, after: Verdict, metrics: Sequence[Metric]) -> Flip:
    truth = sample.truth
    changes = [(m.name, _change(m, truth, before, after)) for m in metrics] if truth is not None else []
    for kind, direction in ((Kind.WORSE, 1), (Kind.BETTER, -1)):
        moved = tuple(name for name, change in changes if change == direction)
        if moved:
            return Flip(sample, before, after, kind, moved)
    return Flip(sample, before, after, Kind.READING if before.decision is after.decision else Kind.NEUTRAL)


def _change(metric: Metric, truth: Truth, before: Verdict, after: Verdict) -> int:
    """1 where only the variant is wrong, -1 where only the reference is, else 0."""
    was = metric.wrong(truth, before)
    if was is None:
        return 0
    # As the judge has it: a verdict without a number is never right.
    return int(bool(metric.wrong(truth, after)) or after.broken) - int(was)
