"""The contract of a number of a whole set: a function of how often each sample counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import DataError
from edgemill_core.evidence import Floats, Side

Weights = NDArray[np.float32]
_CELLS = 8_000_000
"""Samples times weightings looked at together."""


@dataclass(frozen=True)
class Rarest:
    """What the fewest samples show, so that losses of it are the likeliest to stay unseen.

    Attributes:
        kind: in words, e.g. a class.
        count: samples that show it.
        parts: the set's number is the mean over so many of these kinds, so that losing all of one costs 1 / parts.
    """

    kind: str
    count: int
    parts: int = 1


class Statistic(ABC):
    """A number of a set, from 0 to 1 in parts of 1, on one variant's side.

    A subclass is given its side's arrays once; every weighting is then a few sums.
    """

    each: Floats
    """``float64[samples]``: a sample's own part in it, the higher the better; NaN outside the population."""
    rarest: Rarest
    most: float = 1.0
    """What the number loses, at most, for each share of its samples that is lost whole."""
    chance: ClassVar[float] = 0.0
    """A reference at or below this knows nothing of what is asked; where less is better it is of no account."""

    def at(self, weights: Weights) -> Floats:
        """The number under each weighting.

        Args:
            weights: ``float32[samples, weightings]``, whole numbers: how often each sample counts.

        Returns:
            ``float64[weightings]``; NaN where nothing that it is about has a weight.
        """
        pieces = np.array_split(np.arange(weights.shape[1]), ceil(weights.size / _CELLS) or 1)
        return np.concatenate([self._at(np.ascontiguousarray(weights[:, piece])) for piece in pieces])

    def lean(self, variant: Statistic) -> float:  # noqa: ARG002 (for those that have one)
        """How much smaller than the true drop the seen one may be on average, with this as the reference's side."""
        return 0.0

    @abstractmethod
    def _at(self, weights: Weights) -> Floats:
        """The same, for as many weightings as fit into memory."""


def divided(over: NDArray[np.floating], under: NDArray[np.floating]) -> Floats:
    """``over / under``, NaN where there is nothing under it."""
    above, below = np.broadcast_arrays(np.asarray(over, np.float64), np.asarray(under, np.float64))
    found: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return found


def mean_of_finite(values: Floats) -> Floats:
    """Mean along axis 0 of what is there; NaN where nothing is."""
    there = np.isfinite(values)
    return divided(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def lacking(metric: str, expected: str, side: Side) -> DataError:
    """The complaint of a metric without its evidence."""
    return DataError(
        f"{metric} needs what the task does not give",
        expected=expected,
        got=f"{type(side.evidence).__name__ if side.evidence is not None else 'verdicts alone'}",
        fix=f"remove {metric} from budget:, or judge with the outputs of the task",
    )
