"""How much worse a number of a whole set may have become, from the same samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemill_core.set_metrics.base import Rarest, Statistic
from edgemill_core.statistics.bootstrap import beyond, draws, expanded, finite, samples_to_narrow, unseen

_SAME = 1e-6
"""Own parts of samples that differ by less are the same."""


@dataclass(frozen=True)
class SetDrop:
    """The comparison of two variants, all in parts of 1; a drop is a worsening, whichever way is better.

    Attributes:
        samples: in the population.
        worse, better: samples whose own part is worse, or better, with the variant.
        reference, variant: the number itself of each.
        seen: the drop.
        upper, lower: one-sided confidence bounds of the drop.
        variant_worst: one-sided confidence bound of the variant's own number, on its bad side.
        allowance: the part of the bounds that stands for losses too rare to have been seen.
        rarest: what the allowance hangs on.
        most: what is lost for each share of its samples, at most.
    """

    samples: int
    worse: int
    better: int
    reference: float
    variant: float
    seen: float
    upper: float
    lower: float
    variant_worst: float
    allowance: float
    rarest: Rarest
    most: float = 1.0

    def samples_needed(self, allowed: float) -> int | None:
        """About how many samples like these would show a drop of at most ``allowed``, if it stays as it was seen."""
        return samples_to_narrow(self.samples, self.seen, self.upper, self.allowance, allowed)


def compare(before: Statistic, after: Statistic, higher_is_better: bool, confidence: float) -> SetDrop | None:
    """Bound the drop by a paired bootstrap over samples, and an allowance for what no sample showed.

    As mean average precision is bounded (``edgemill_core.average_precision.drop``): samples are drawn with
    replacement, the same for both; the bound is an expanded percentile or the basic one, whichever is further out; and
    to it comes what can be lost of the rarest kind without one loss being seen.

    Args:
        before, after: of reference and variant, on the same samples.
        confidence: one-sided, e.g. 0.95.

    Returns:
        ``None`` where the set says nothing of the number.
    """
    sign = 1 if higher_is_better else -1
    there = np.isfinite(before.each) & np.isfinite(after.each)
    once = np.ones((len(there), 1), np.float32)
    reference, variant = (float(side.at(once)[0]) for side in (before, after))
    if not there.any() or not np.isfinite([reference, variant]).all():
        return None
    weights = draws(len(there), confidence)
    drawn = [side.at(weights) for side in (before, after)]
    drops, own = finite(sign * (drawn[0] - drawn[1])), finite(-sign * drawn[1])
    level = expanded(confidence, int(there.sum()))
    # What precision can lose unseen hangs on how often that side names the class.
    rarest = min(before.rarest, after.rarest, key=lambda one: one.count)
    most = max(before.most, after.most)
    allowance = unseen(confidence, rarest.count) * most / rarest.parts
    gained, seen = after.each[there] - before.each[there], sign * (reference - variant)
    return SetDrop(
        samples=int(there.sum()),
        worse=int((gained < -_SAME).sum()),
        better=int((gained > _SAME).sum()),
        reference=reference,
        variant=variant,
        seen=seen,
        upper=beyond(seen, drops, level) + before.lean(after) + allowance,
        lower=-beyond(-seen, -drops, level) - allowance,
        variant_worst=-sign * (beyond(-sign * variant, own, level) + allowance),
        allowance=allowance,
        rarest=rarest,
        most=most,
    )
