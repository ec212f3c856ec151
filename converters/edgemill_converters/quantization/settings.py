"""What a recipe says under ``quantization:``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edgemill_core.validation import Strict

MethodName = Literal["averaged", "min_max", "percentile", "entropy", "mse"]
_LOOK_FOR_THE_RARE = ("object-detection", "segmentation")
"""Most pictures, and most of any picture, show nothing: averaged extremes would be those of nothing."""


class Fallback(Strict):
    """How long to look for the layers that have to stay in float.

    Attributes:
        evaluations: most graphs to run for one target; a third of them at most to see which layers lose most.
        part: samples of the search set, spread over it, that a layer's loss is measured on.
    """

    evaluations: Annotated[int, Field(ge=8)] = 18
    part: Annotated[int, Field(ge=1)] = 32


class Quantization(Strict):
    """How INT8 variants come about.

    Attributes:
        method: how a tensor's range is made from what calibration saw of it; see ``quantization.methods``. Where none
            is named it is ``min_max`` for tasks that look for what is rare in a picture, else ``averaged``.
        percentile: how many percent of the values method ``percentile`` keeps; 99.99 if not given.
        bias_correction: shift biases by what rounding the weights changes on average; see ``quantization.bias``.
        fallback: where plain INT8 is not inside the budget on the search set, look for the layers to leave in float.
            ``true`` for the defaults.
    """

    method: MethodName | None = None
    percentile: Annotated[float, Field(gt=50, lt=100)] | None = None
    bias_correction: bool = True
    fallback: Fallback | None = None

    @field_validator("fallback", mode="before")
    @classmethod
    def _short_form(cls, raw: Any) -> Any:
        return {True: {}, False: None}[raw] if isinstance(raw, bool) else raw

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
