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


@dataclass(frozen=True)
class PixelScores:
    """Of a task that scores every pixel, beside masks (``edgemill_core.pixel_scores``).

    Where nobody knows what is defective all but ``fitness`` is 0.

    Attributes:
        fitness: ``float64[samples]``: minus the highest score of a defect anywhere.
        overlaps: ``float32[samples, thresholds]``: for the picture's defect regions together, the share of each that
            scores at or above the threshold; thresholds fall.
        false: ``float32[samples, thresholds]``: good pixels that do.
        regions: ``float64[samples]``: defect regions.
        good: ``float64[samples]``: good pixels.
        shared, either: ``float64[samples]``: pixels both found and defective, and those that are one of it.
    """

    fitness: Floats
    overlaps: NDArray[np.float32]
    false: NDArray[np.float32]
    regions: Floats
    good: Floats
    shared: Floats
    either: Floats


@dataclass(frozen=True)
class Embeddings:
    """Of a task that gives vectors.

    Attributes:
        vectors: ``float64[samples, n]``; a row that is not all numbers where the engine gave none.
    """

    vectors: Floats


Evidence = ClassScores | PixelScores | Embeddings


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
