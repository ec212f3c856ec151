"""What a recipe says under ``search:``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from edgemill_core.validation import Strict

ObjectiveName = Literal["loss", "latency_p50", "latency_p99", "throughput", "size", "memory"]
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)


class Search(Strict):
    """How long to look for better INT8 forms, and what is better.

    Attributes:
        trials: forms to try for each target that asks for INT8, plain INT8 and other precisions it asks for included.
        seed: of the sampler's chance.
        objectives: what to keep small: ``loss`` is the squared error at the task's output as a share of the squared
            output; all others are shares of FP32's on the same target (``throughput`` inverted, so that less is
            better there too).
        keep: most of the front that go on to the judge, for each target.
        part: samples of the search set, spread over it, that loss is measured on.
    """

    trials: Annotated[int, Field(ge=2, le=1000)] = 40
    seed: Annotated[int, Field(ge=0)] = 0
    objectives: Annotated[tuple[ObjectiveName, ...], Field(min_length=1)] = ("loss", "latency_p99", "size")
    keep: Annotated[int, Field(ge=1, le=8)] = 2
    part: Annotated[int, Field(ge=1)] = 32

    @field_validator("objectives")
    @classmethod
    def _each_once(cls, objectives: tuple[ObjectiveName, ...]) -> tuple[ObjectiveName, ...]:
        if len(set(objectives)) != len(objectives):
            raise ValueError("each objective once")
        return objectives


def short_form(raw: Any) -> Any:
    """``true`` for the defaults, ``false`` for none."""
    return {True: {}, False: None}[raw] if isinstance(raw, bool) else raw
