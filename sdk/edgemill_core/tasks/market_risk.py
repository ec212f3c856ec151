"""One day ahead: value at risk and expected shortfall from forecast quantiles of the return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgemill_core.tasks.base import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision, Verdict

Level = Annotated[float, Field(gt=0, lt=0.5)]


class MarketRisk(Task):
    """Value at risk (VaR) and expected shortfall (ES), both as losses in the unit of the returns.

    The engine's output is ``quantiles: float64[1, len(levels)]``, one forecast quantile of tomorrow's return a level.
    Quantiles that cross are sorted (Chernozhukov, Fernández-Val and Galichon 2010, "Quantile and probability curves
    without crossing"). VaR at confidence c is minus the quantile at 1 - c; ES is minus the mean of all quantiles below
    it (Acerbi and Tasche 2002), by the trapezoidal rule over ``levels``, and the lowest one stands for all beyond it,
    which understates the far tail.

    Attributes:
        levels: of the quantiles, rising.
        confidences: of VaR and ES; 1 - c must be one of the levels.
    """

    metrics: ClassVar[tuple[str, ...]] = ("pinball_loss",)
    output: ClassVar[str] = "quantiles"
    takes: ClassVar[tuple[str, ...]] = ("numbers",)

    name: Literal["market-risk"] = "market-risk"
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    confidences: tuple[Annotated[float, Field(gt=0.5, lt=1)], ...] = (0.99, 0.975)

    @model_validator(mode="after")
    def _fit_together(self) -> MarketRisk:
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels rise, each once")
        lacking = [c for c in self.confidences if self._place(c) is None]
        if lacking:
            raise ValueError(f"no level for confidence {lacking[0]:g}: add {1 - lacking[0]:g} to levels")
        return self

    def _judge(self, values: Array, context: Mapping[str, str]) -> Verdict:  # noqa: ARG002 (the contract's)
        quantiles = np.sort(np.asarray(self._row(values, self.levels), np.float64))
        reading: dict[str, object] = {
            "quantiles": {f"{level:g}": float(q) for level, q in zip(self.levels, quantiles, strict=True)}
        }
        for confidence in self.confidences:
            place = self._place(confidence)
            assert place is not None
            reading[f"var_{100 * confidence:g}"] = -float(quantiles[place])
            reading[f"es_{100 * confidence:g}"] = self._shortfall(quantiles[: place + 1])
        return Verdict(Decision.SCORE, (), float("nan"), reading)

    def _place(self, confidence: float) -> int | None:
        return next((i for i, level in enumerate(self.levels) if abs(level - (1 - confidence)) < 1e-9), None)

    def _shortfall(self, quantiles: NDArray[np.float64]) -> float:
        levels = np.array(self.levels[: len(quantiles)])
        area = quantiles[0] * levels[0] + float(np.sum((quantiles[1:] + quantiles[:-1]) / 2 * np.diff(levels)))
        return -float(area / levels[-1])
