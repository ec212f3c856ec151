"""How often a chain may be wrong, judged on labels alone. A pure function of what was seen.

Its models were each compared with their reference, sample by sample. Of the whole there is no reference engine, so
what is shown is a rate, with the exact one-sided bound of Clopper and Pearson (``edgemill_core.statistics.binomial``).
It fails closed: what too few samples cannot show does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log
from typing import Annotated, Literal

from pydantic import Field

from edgemill_core.budget import Outcome
from edgemill_core.metrics import metric_named
from edgemill_core.samples import Truth
from edgemill_core.statistics import lower_bound, upper_bound
from edgemill_core.validation import Strict
from edgemill_core.verdict import Verdict

_MOST = 10**6


class RateBudget(Strict):
    """How often the end verdict may be wrong.

    Attributes:
        metric: escapes among bad parts, or overkill among good ones.
        at_most: largest tolerated rate, in parts of 1.
        confidence: one-sided, e.g. 0.95.
    """

    metric: Literal["escape_rate", "overkill_rate"]
    at_most: Annotated[float, Field(gt=0, lt=0.5)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


@dataclass(frozen=True)
class RateJudgement:
    """One budget, judged.

    Attributes:
        wrong: how many of ``samples``, the metric's population, were judged wrongly.
        bound: upper confidence bound of the rate, in parts of 1.
        needs: about how many samples of the population would decide an undecided case.
    """

    budget: RateBudget
    outcome: Outcome
    why: str
    wrong: int
    samples: int
    bound: float
    needs: int | None = None

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {
            **self.budget.model_dump(mode="json"),
            "outcome": self.outcome.value,
            "why": self.why,
            "wrong": self.wrong,
            "samples": self.samples,
            "upper_bound": self.bound,
            "needs": self.needs,
        }


def judge_rate(budget: RateBudget, truths: Sequence[Truth], verdicts: Sequence[Verdict]) -> RateJudgement:
    """Whether the rate is shown to be at or below what is allowed.

    A verdict without a number is always wrong. Pass if the upper bound is at or below ``at_most``; fail if the lower
    bound is above it, or as many samples as could have shown it show more; undecided otherwise.
    """
    metric = metric_named(budget.metric)
    judged = [
        verdict.broken or bool(metric.wrong(truth, verdict))
        for truth, verdict in zip(truths, verdicts, strict=True)
        if metric.wrong(truth, verdict) is not None
    ]
    wrong, n = sum(judged), len(judged)
    bound = upper_bound(wrong, n, budget.confidence)
    seen = f"{metric.title}: {wrong} of {n}, at most {bound:.2%} at {budget.confidence:.0%}"
    allowed = f"allowed {budget.at_most:.2%}"
    if n and bound <= budget.at_most:
        return RateJudgement(budget, Outcome.PASS, f"{seen}; {allowed}", wrong, n, bound)
    enough = n >= _least(budget) and wrong / n >= budget.at_most
    if enough or lower_bound(wrong, n, budget.confidence) > budget.at_most:
        return RateJudgement(budget, Outcome.FAIL, f"{seen}; {allowed}", wrong, n, bound)
    needs = _needs(budget, wrong / n if n else 0.0)
    why = f"{seen}; {allowed}; too few samples to tell: needs about {needs}"
    return RateJudgement(budget, Outcome.UNDECIDED, why, wrong, n, bound, needs)


def _least(budget: RateBudget) -> int:
    """Samples that show the rate if none of them is wrong."""
    return ceil(log(1 - budget.confidence) / log(1 - budget.at_most))


def _needs(budget: RateBudget, rate: float) -> int:
    """Samples that would show it if the rate stays as it was seen."""

    def shown(n: int) -> bool:
        return upper_bound(floor(rate * n), n, budget.confidence) <= budget.at_most

    high = _least(budget)
    while high < _MOST and not shown(high):
        high *= 2
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return min(high, _MOST)
