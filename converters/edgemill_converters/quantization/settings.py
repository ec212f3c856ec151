"""What a recipe says under ``quantization:``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgemill_core.validation import Strict


class Quantization(Strict):
    """How INT8 variants come about.

    Attributes:
        method: how a tensor's range is made from what calibration saw of it; see ``quantization.methods``.
        percentile: how many percent of the values method ``percentile`` keeps; 99.99 if not given.
        bias_correction: shift biases by what rounding the weights changes on average; see ``quantization.bias``.
    """

    method: Literal["averaged", "min_max", "percentile", "entropy", "mse"] = "averaged"
    percentile: Annotated[float, Field(gt=50, lt=100)] | None = None
    bias_correction: bool = False

    @model_validator(mode="after")
    def _belong_together(self) -> Quantization:
        if self.percentile is not None and self.method != "percentile":
            raise ValueError(f"percentile: goes with method: percentile, not with {self.method}; leave one of them out")
        return self
