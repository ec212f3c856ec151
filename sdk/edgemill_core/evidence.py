"""What a task's raw outputs say beyond its verdicts, kept small: what metrics of a whole set are made from.

One object holds all samples of a set, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.samples import Truth
from edgemill_core.verdict import Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassScores:
    """Of a task that names one of several classes.

    Attributes:
        classes: names, in the order of the columns.
        probabilities: ``float[samples, classes]``; a row of NaN where the engine gave no numbers.
        fitness: ``float64[samples]``: how sure it is that the part is fit to pass; higher is surer.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    fitness: Floats


Evidence = ClassScores


@dataclass(frozen=True)
class Side:
    """All that is known of one variant on a set; one entry a sample.

    Attributes:
        evidence: of this variant; ``None`` where its task gives none.
        reference: the reference's evidence, for metrics that ask how far the variant is from it.
    """

    truths: Sequence[Truth]
    verdicts: Sequence[Verdict]
    evidence: Evidence | None = None
    reference: Evidence | None = None
