"""How much mean average precision a variant may have lost, from the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgemill_core.average_precision.curves import Curves, mean_average_precision
from edgemill_core.average_precision.matching import curves_of
from edgemill_core.inspection.labelled import Detections, Labelled
from edgemill_core.statistics.bootstrap import beyond, draws, expanded, finite, samples_to_narrow, unseen

__all__ = ["ByIou", "ComparedBoxes", "Drop", "bound", "compare", "draws", "expanded"]

_SAME = 1e-6
"""Average precisions of single pictures that differ by less are the same (weights are float32)."""
ByIou = Sequence[Curves]


@dataclass(frozen=True)
class ComparedBoxes:
    """What reference and variant found in the same pictures.

    Attributes:
        labelled: per picture, what is there.
        reference, variant: per picture, what each found.
        classes: by number, for messages.
    """

    labelled: Sequence[Labelled]
    reference: Sequence[Detections]
    variant: Sequence[Detections]
    classes: Sequence[str]


@dataclass(frozen=True)
class Drop:
    """The comparison of two detectors, all in parts of 1.

    Attributes:
        pictures: how many.
        worse, better: pictures whose own average precision is lower, or higher, with the variant.
        reference, variant: mean average precision of each.
        upper, lower: one-sided confidence bounds of the drop.
        variant_lower: one-sided lower confidence bound of the variant's own.
        allowance: the part of ``upper`` that stands for losses too rare to have been seen.
        rarest: the class that the fewest pictures show, and how many do.
        classes: how many have labelled boxes.
    """

    pictures: int
    worse: int
    better: int
    reference: float
    variant: float
    upper: float
    lower: float
    variant_lower: float
    allowance: float
    rarest: tuple[str, int]
    classes: int

    @property
    def seen(self) -> float:
        """The drop that was seen."""
        return self.reference - self.variant

    def pictures_needed(self, allowed: float) -> int | None:
        """About how many pictures like these would show a drop of at most ``allowed``, if it stays as it was seen."""
        return samples_to_narrow(self.pictures, self.seen, self.upper, self.allowance, allowed)


def compare(boxes: ComparedBoxes, ious: Sequence[float], confidence: float) -> Drop:
    """Bound the drop by a paired bootstrap over pictures, and an allowance for what no picture showed.

    Pictures are drawn with replacement, the same for both detectors. Upper bounds are expanded percentiles: the
    quantile's level is that of Student's t with one degree of freedom less than there are pictures, widened by
    √(n / (n - 1)) (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician 69,
    section 4.3). A bootstrap never draws what was not seen: with no difference at all its bound would be 0. So every
    bound is widened by what can be lost of the rarest class without a single loss in the n pictures that show it being
    seen, (1 - α^(1/n)) over the number of classes (the exact binomial bound at 0). Pictures and not boxes are counted,
    because boxes of one picture are lost together.

    Args:
        boxes: of at least one picture, with at least one labelled box that counts.
        ious: over which the mean is taken.
        confidence: one-sided, e.g. 0.95.
    """
    before = curves_of(boxes.reference, boxes.labelled, ious)
    after = curves_of(boxes.variant, boxes.labelled, ious)
    return bound(before, after, boxes.classes, confidence)


def bound(before: ByIou, after: ByIou, classes: Sequence[str], confidence: float) -> Drop:
    """The same from matched curves of both, see ``curves_of``."""
    count = len(before[0][0].labelled)
    once, alone = np.ones((count, 1), np.float32), np.eye(count, dtype=np.float32)
    seen = [float(mean_average_precision(curves, once)[0]) for curves in (before, after)]
    gained = mean_average_precision(after, alone) - mean_average_precision(before, alone)
    weights = draws(count, confidence)
    drawn = [mean_average_precision(curves, weights) for curves in (before, after)]
    drops, own = finite(drawn[0] - drawn[1]), finite(drawn[1])
    level = expanded(confidence, count)
    rarest = min(before[0], key=lambda curve: np.count_nonzero(curve.labelled))
    fewest, number = int(np.count_nonzero(rarest.labelled)), len(before[0])
    allowance = unseen(confidence, fewest) / number
    drop = seen[0] - seen[1]
    return Drop(
        pictures=count,
        worse=int((gained < -_SAME).sum()),
        better=int((gained > _SAME).sum()),
        reference=seen[0],
        variant=seen[1],
        upper=beyond(drop, drops, level) + allowance,
        lower=-beyond(-drop, -drops, level) - allowance,
        variant_lower=-beyond(-seen[1], -own, level) - allowance,
        allowance=allowance,
        rarest=(classes[rarest.kind], fewest),
        classes=number,
    )
