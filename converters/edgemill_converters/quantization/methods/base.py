"""A method: what calibration kept of a tensor goes in, the range to represent comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from edgemill_converters.quantization.plan import Range
from edgemill_converters.quantization.statistics import Statistics


class Method(ABC):
    """A pure function of one tensor's statistics. A subclass gives ``label`` and ``_range``."""

    @property
    @abstractmethod
    def label(self) -> str:
        """For people: name and settings."""

    @abstractmethod
    def _range(self, seen: Statistics) -> tuple[float, float]:
        """Least and largest value worth representing."""

    def range_of(self, seen: Statistics) -> Range:
        """The range, within what was seen, and with zero inside: padding and the zero point need it."""
        low, high = self._range(seen)
        return Range(min(max(low, seen.low), 0.0), max(min(high, seen.high), 0.0))
