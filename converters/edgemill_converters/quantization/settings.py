"""What a recipe says under ``quantization:``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from edgemill_core.validation import Strict


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
        method: how a tensor's range is made from what calibration saw of it.
        fallback: where plain INT8 is not inside the budget on the search set, look for the layers to leave in float.
            ``true`` for the defaults.
    """

    method: Literal["averaged"] = "averaged"
    fallback: Fallback | None = None

    @field_validator("fallback", mode="before")
    @classmethod
    def _short_form(cls, raw: Any) -> Any:
        return {True: {}, False: None}[raw] if isinstance(raw, bool) else raw
