"""How much mean average precision a variant may have lost, from the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgemill_core.average_precision.curves import Curves, mean_average_precision
from edgemill_core.average_precision.matching import curves_of
from edgemill_core.inspection.boxes import Floats
from edgemill_core.inspection.labelled import Detections, Labelled

SEED = 20240601
"""The same data must always give the same ruling."""
LEAST_DRAWS, BEYOND, MOST_DRAWS = 2000, 40, 20_000
"""So many draws, or as many as put so many beyond the bound, up to a limit."""
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
        """About how many pictures like these would show a drop of at most ``allowed``, if it stays as it was seen.

        The bootstrap's part of the bound shrinks with the root of their number, the allowance with the number itself.
        """
        room, spread = allowed - max(self.seen, 0.0), max(0.0, self.upper - self.allowance - max(self.seen, 0.0))
        if room <= 0:
            return None
        root = (sqrt(spread * spread + 4 * self.allowance * room) + spread) / (2 * room)
        return ceil(self.pictures * root * root)


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
    drops, own = _finite(drawn[0] - drawn[1]), _finite(drawn[1])
    level = expanded(confidence, count)
    rarest = min(before[0], key=lambda curve: np.count_nonzero(curve.labelled))
    fewest, number = int(np.count_nonzero(rarest.labelled)), len(before[0])
    allowance = (1 - (1 - confidence) ** (1 / fewest)) / number
    drop = seen[0] - seen[1]
    return Drop(
        pictures=count,
        worse=int((gained < -_SAME).sum()),
        better=int((gained > _SAME).sum()),
        reference=seen[0],
        variant=seen[1],
        upper=_beyond(drop, drops, level) + allowance,
        lower=-_beyond(-drop, -drops, level) - allowance,
        variant_lower=-_beyond(-seen[1], -own, level) - allowance,
        allowance=allowance,
        rarest=(classes[rarest.kind], fewest),
        classes=number,
    )


def draws(count: int, confidence: float) -> NDArray[np.float32]:
    """``float32[count, draws]``: how often each picture is drawn."""
    number = min(MOST_DRAWS, max(LEAST_DRAWS, ceil(BEYOND / (1 - confidence))))
    rng = np.random.default_rng(SEED)
    return rng.multinomial(count, np.full(count, 1 / count), size=number).T.astype(np.float32)


def expanded(confidence: float, count: int) -> float:
    """The level of a quantile that makes up for a bootstrap's being too narrow on few samples; 1 for a single one."""
    if count < 2:
        return 1.0
    normal, freedom = NormalDist(), count - 1
    z = normal.inv_cdf(confidence)
    # Student's quantile from the normal one (Fisher and Cornish 1960), to 1 % from 5 degrees of freedom on.
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(t * sqrt(count / freedom))


def _beyond(seen: float, drawn: Floats, level: float) -> float:
    """The upper bound by percentiles or by the basic bootstrap, whichever is further out.

    A curve's best precision behind each point is the better the fewer pictures there are, so that few show too small a
    drop where a variant adds false boxes; drawing again adds the same error once more. There the basic bound, which
    takes it off, is true; where boxes are lost the drops are skewed to the right, and the percentile is.
    """
    high, low = np.quantile(drawn, [level, 1 - level])
    return max(seen, float(high), 2 * seen - float(low))


def _finite(values: Floats) -> Floats:
    found: Floats = values[np.isfinite(values)]
    return found
