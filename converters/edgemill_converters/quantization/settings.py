"""What a recipe says under ``quantization:``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgemill_core.validation import Strict

MethodName = Literal["averaged", "min_max", "percentile", "entropy", "mse"]
_LOOK_FOR_THE_RARE = ("object-detection", "segmentation")
"""Most pictures, and most of any picture, show nothing: averaged extremes would be those of nothing."""


class Quantization(Strict):
    """How INT8 variants come about.

    Attributes:
        method: how a tensor's range is made from what calibration saw of it; see ``quantization.methods``. Where none
            is named it is ``min_max`` for tasks that look for what is rare in a picture, else ``averaged``.
        percentile: how many percent of the values method ``percentile`` keeps; 99.99 if not given.
        bias_correction: shift biases by what rounding the weights changes on average; see ``quantization.bias``.
    """

    method: MethodName | None = None
    percentile: Annotated[float, Field(gt=50, lt=100)] | None = None
    bias_correction: bool = True

    @model_validator(mode="after")
    def _belong_together(self) -> Quantization:
        if self.percentile is not None and self.method != "percentile":
            got = self.method or "another one"
            raise ValueError(f"percentile: goes with method: percentile, not with {got}; leave one of them out")
        return self

    def for_task(self, task: str) -> Quantization:
        """The same, with the method that suits the task if none is named."""
        suits: MethodName = "min_max" if task in _LOOK_FOR_THE_RARE else "averaged"
        return self if self.method is not None else self.model_copy(update={"method": suits})
