"""The precision that the model was trained in: nothing is changed."""

from __future__ import annotations

from edgemill_converters.precisions.base import Given, Precision, Rendered


class Unchanged(Precision):
    """FP32 or FP64."""

    def __init__(self, name: str, tolerance: float, of_float64: bool = False, on_nvidia: bool = False) -> None:
        self.name = name
        self.of_float64 = of_float64
        self.on_nvidia = on_nvidia
        self.tolerance = tolerance

    def render(self, given: Given) -> Rendered:
        """The baked graph as it is."""
        return Rendered(given.graph)
