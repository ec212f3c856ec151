"""Expected calibration error: how far the confidence in a class is from how often it is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.evidence import ClassScores, Floats, Side
from edgemill_core.set_metrics.base import Rarest, Statistic, Weights, divided, lacking

BINS = 15


class Miscalibration(Statistic):
    """Mean distance of confidence and accuracy over bins of equal width, each with the weight of its samples.

    Naeini, Cooper and Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; 15 bins as
    Guo et al. (2017), "On Calibration of Modern Neural Networks". With few samples in a bin chance alone makes it
    large: a reference that is calibrated well looks worse than it is, and a variant's drop smaller (``lean``).

    Args:
        confidence: ``float64[samples]``, 0 to 1.
        right: ``bool[samples]``.
        known: ``bool[samples]``: the class is labelled.
    """

    def __init__(self, confidence: Floats, right: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        gap = np.where(known, right - confidence, 0.0)
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        inside = (bins == np.arange(BINS)[:, None]) & known
        self._gap, self._inside = gap, inside
        self._gaps = np.concatenate((inside * gap, known[None, :])).astype(np.float32)
        self.each = np.where(known, -np.abs(gap), np.nan)
        self.rarest = Rarest("labelled samples", int(known.sum()))

    def lean(self, variant: Statistic) -> float:
        """What chance adds to the reference's number and not to the variant's.

        A bin's mean gap g is seen with noise σ; the mean of its size is above g by at most σ √(2/π), where g is 0, and
        the more g grows the less, but never by more than g grows. So the lean is at most that of a calibrated
        reference, and at most the mean change of the samples' own gaps.
        """
        if not isinstance(variant, Miscalibration):
            raise TypeError(f"no calibration error: {variant!r}")
        count = max(1, int(self._inside.sum()))
        noise = np.sqrt((self._inside * self._gap**2).sum(axis=1)).sum() * np.sqrt(2 / np.pi)
        return float(min(noise, np.abs(variant._gap - self._gap).sum()) / count)

    def _at(self, weights: Weights) -> Floats:
        found = np.asarray(self._gaps @ weights, np.float64)
        return divided(np.abs(found[:-1]).sum(axis=0), found[-1])


def calibration_error(side: Side) -> Statistic:
    """Of the class that is named, by its probability.

    Raises:
        DataError: the task gives no probabilities.
    """
    evidence = side.evidence
    if not isinstance(evidence, ClassScores):
        raise lacking("calibration_error", "probabilities of classes", side)
    rows = np.asarray(evidence.probabilities, np.float64)
    broken = np.logical_not(np.isfinite(rows).all(axis=1))
    rows = np.where(np.expand_dims(broken, 1), 0.0, rows)
    numbers = {name: number for number, name in enumerate(evidence.classes)}
    truths = [truth.class_name for truth in side.truths]
    labelled = np.array([numbers.get(name or "", -1) for name in truths], np.int64)
    right = (rows.argmax(axis=1) == labelled) & ~broken
    confidence = np.clip(rows.max(axis=1), 0.0, 1.0)
    return Miscalibration(confidence, right, np.array([name is not None for name in truths], np.bool_))
