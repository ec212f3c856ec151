"""Metrics as one number per sample, so that two variants can be compared sample by sample.

Each metric looks at its own part of the samples (its population): an escape can only happen on a bad part, overkill
only on a good one. A sample outside the population scores ``None``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgemill_core.errors import RecipeError
from edgemill_core.samples import Truth
from edgemill_core.verdict import Decision, Verdict


@dataclass(frozen=True)
class Metric:
    """A named rate over a population.

    Attributes:
        name: as written in recipes.
        title: for people, e.g. "escapes (bad parts passed)".
        higher_is_better: the direction.
        score: truth and verdict to 0 or 1, or ``None`` outside the population.
    """

    name: str
    title: str
    higher_is_better: bool
    score: Callable[[Truth, Verdict], float | None]

    def wrong(self, truth: Truth, verdict: Verdict) -> bool | None:
        """Whether the verdict counts against the variant; ``None`` outside the population."""
        score = self.score(truth, verdict)
        return None if score is None else (score < 0.5) == self.higher_is_better


def _escape(truth: Truth, verdict: Verdict) -> float | None:
    return None if truth.good else float(verdict.decision is Decision.PASS)


def _overkill(truth: Truth, verdict: Verdict) -> float | None:
    return float(verdict.decision is not Decision.PASS) if truth.good else None


def _exact(truth: Truth, verdict: Verdict) -> float | None:
    if truth.text is None or not truth.good:
        return None
    return float(verdict.reading.get("text") == truth.text)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("escape_rate", "escapes (bad parts passed)", higher_is_better=False, score=_escape),
        Metric("overkill_rate", "overkill (good parts not passed)", higher_is_better=False, score=_overkill),
        Metric("exact_rate", "readable codes read exactly", higher_is_better=True, score=_exact),
    )
}


def metric_named(name: str) -> Metric:
    """Look a metric up.

    Raises:
        RecipeError: there is none of that name.
    """
    if name not in METRICS:
        raise RecipeError(
            f"there is no metric called {name!r}",
            expected=" | ".join(METRICS),
            got=name,
            fix="name one of these under budget: in the recipe",
        )
    return METRICS[name]
