"""Numbers that a model forecasts or estimates, and between which limits they are fit to pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgemill_core.tasks.base import Task, each_once
from edgemill_core.tensors import Array
from edgemill_core.validation import Strict
from edgemill_core.verdict import Decision, Verdict


class Within(Strict):
    """Limits of a value, in its own unit; either may be left open."""

    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _rises(self) -> Within:
        if self.low is not None and self.high is not None and self.high < self.low:
            raise ValueError("high is not below low")
        return self

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies within."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Regression(Task):
    """One or more numbers.

    The engine's output is ``values: float[1, len(values)]``. Where limits are named, a part passes whose values all
    lie within; else the verdict is the figures, and nothing is decided.

    Attributes:
        values: names of the numbers, in the order of the model's output.
        unit: for people, e.g. ``mm``.
        within: limits by name.
    """

    metrics: ClassVar[tuple[str, ...]] = ("escape_rate", "overkill_rate", "absolute_error")
    output: ClassVar[str] = "values"
    tunable: ClassVar[tuple[str, ...]] = ("within",)
    takes: ClassVar[tuple[str, ...]] = ("pictures", "numbers", "tensors")

    name: Literal["regression"] = "regression"
    values: Annotated[tuple[str, ...], Field(min_length=1)] = ("value",)
    unit: str = ""
    within: dict[str, Within] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fit_together(self) -> Regression:
        each_once("values", self.values)
        unknown = [name for name in self.within if name not in self.values]
        if unknown:
            raise ValueError(f"within names what is no value: {', '.join(unknown)}")
        return self

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        numbers = self._row(np.asarray(values, np.float64), self.values)
        reading = {name: float(number) for name, number in zip(self.values, numbers, strict=True)}
        if not self.within:
            return Verdict(Decision.SCORE, (), float("nan"), {"values": reading})
        beyond = [name for name, limits in self.within.items() if not limits.holds(reading[name])]
        reasons = tuple(f"{name} is {reading[name]:.6g}{f' {self.unit}' if self.unit else ''}" for name in beyond)
        return Verdict(Decision.REJECT if beyond else Decision.PASS, reasons, 1.0, {"values": reading})
