"""The precision that the model was trained in: nothing is changed."""

from __future__ import annotations

from typing import Literal

from edgemill_converters.precisions.base import Given, Precision, Rendered


class Unchanged(Precision):
    """FP32 for pictures, FP64 for numbers."""

    def __init__(self, name: str, takes: Literal["pictures", "numbers"], tolerance: float) -> None:
        self.name = name
        self.takes = takes
        self.tolerance = tolerance

    def render(self, given: Given) -> Rendered:
        """The baked graph as it is."""
        return Rendered(given.graph)
