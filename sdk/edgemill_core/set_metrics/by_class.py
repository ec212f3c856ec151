"""Precision, recall and F1 of named classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgemill_core.evidence import Floats, Side
from edgemill_core.set_metrics.base import Rarest, Statistic, Weights, mean_of_finite

Measure = Literal["precision", "recall", "f1"]
_NEITHER = -1


class OfClasses(Statistic):
    """One class's measure, or the mean over all classes that are labelled (macro).

    Precision is 0 of a class that is labelled and never named.

    Args:
        measure: which one.
        labelled, named: ``int64[samples]``: class by number, -1 for none of them.
        known: ``bool[samples]``: the class is labelled; the others count neither way.
        classes: names of the classes that count, by number.
    """

    def __init__(
        self,
        measure: Measure,
        labelled: NDArray[np.int64],
        named: NDArray[np.int64],
        known: NDArray[np.bool_],
        classes: tuple[str, ...],
    ) -> None:
        self._measure = measure
        numbers = np.arange(len(classes))[:, None]
        is_labelled, is_named = labelled == numbers, (named == numbers) & known
        self._sums = np.concatenate((is_labelled & is_named, is_named, is_labelled)).astype(np.float32)
        self.each = np.where(known & (len(classes) > 0), labelled == named, np.nan)
        self.rarest = self._rarest(is_labelled.sum(axis=1), is_named.sum(axis=1), classes)

    def _rarest(self, labelled: NDArray[np.int64], named: NDArray[np.int64], classes: tuple[str, ...]) -> Rarest:
        # What precision can lose unseen hangs on how often a class is named; a class that never is has lost all.
        counts = labelled if self._measure == "recall" else np.minimum(labelled, np.where(named > 0, named, labelled))
        if not len(counts):
            return Rarest("labelled class", 0)
        rarest = int(counts.argmin())
        return Rarest(classes[rarest], int(counts[rarest]), len(classes))

    def _at(self, weights: Weights) -> Floats:
        right, named, labelled = np.split(np.asarray(self._sums @ weights, np.float64), 3)
        under = {"precision": named, "recall": labelled, "f1": (named + labelled) / 2}[self._measure]
        found = np.divide(right, under, out=np.zeros_like(under), where=under > 0)
        return mean_of_finite(np.where(labelled > 0, found, np.nan))


def of_classes(measure: Measure, only: str = "") -> Callable[[Side], Statistic]:
    """The measure of the class ``only``, or the mean over all labelled classes."""

    def made(side: Side) -> Statistic:
        truths = [truth.class_name for truth in side.truths]
        classes = (only,) if only else tuple(sorted({name for name in truths if name is not None}))
        numbers = {name: number for number, name in enumerate(classes)}
        read = [str(verdict.reading.get("class", "")) for verdict in side.verdicts]
        known = np.array([name is not None for name in truths], np.bool_)
        labelled = np.array([numbers.get(name or "", _NEITHER) for name in truths], np.int64)
        named = np.array([numbers.get(name, _NEITHER) for name in read], np.int64)
        if only and not (labelled >= 0).any():
            classes = ()
        return OfClasses(measure, labelled, named, known, classes)

    return made
