"""Metrics, most of them one number per sample, so that two variants can be compared sample by sample.

Each metric looks at its own part of the samples (its population): an escape can only happen on a bad part, overkill
only on a good one. A sample outside the population scores ``None``.

Mean average precision is a number of the whole set: it ranks the detections of all pictures. Its name says from which
intersection over union on a box is found: ``map@0.5``, or several of them in steps of 0.05: ``map@0.5:0.95``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
        score: truth and verdict to 0 or 1, or to a loss; ``None`` outside the population.
        is_loss: the score is a loss of any size, compared by its mean; else it is 0 or 1, and errors are counted.
        needs: the attribute of a truth without which there is nothing to compare; empty if ``good`` is enough.
        ious: of mean average precision, the intersections over union over which it is the mean; empty of others.
    """

    name: str
    title: str
    higher_is_better: bool
    score: Callable[[Truth, Verdict], float | None]
    is_loss: bool = False
    needs: str = ""
    ious: tuple[float, ...] = ()

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


def _class(truth: Truth, verdict: Verdict) -> float | None:
    return None if truth.class_name is None else float(verdict.reading.get("class") == truth.class_name)


def _absolute_error(truth: Truth, verdict: Verdict) -> float | None:
    """Of the first value, in its own unit."""
    values = verdict.reading.get("values")
    if truth.outcome is None:
        return None
    if not isinstance(values, Mapping) or not values:
        return float("inf")
    return abs(float(next(iter(values.values()))) - truth.outcome)


def _pinball(truth: Truth, verdict: Verdict) -> float | None:
    """Mean over the levels (Koenker and Bassett 1978, "Regression Quantiles")."""
    quantiles = verdict.reading.get("quantiles")
    if truth.outcome is None:
        return None
    if not isinstance(quantiles, Mapping) or not quantiles:
        return float("inf")
    misses = [(float(level), truth.outcome - float(value)) for level, value in quantiles.items()]
    return sum(max(level * miss, (level - 1) * miss) for level, miss in misses) / len(misses)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("escape_rate", "escapes (bad parts passed)", higher_is_better=False, score=_escape),
        Metric("overkill_rate", "overkill (good parts not passed)", higher_is_better=False, score=_overkill),
        Metric("exact_rate", "readable codes read exactly", higher_is_better=True, score=_exact, needs="text"),
        Metric("class_rate", "classes named rightly", higher_is_better=True, score=_class, needs="class_name"),
        Metric("absolute_error", "absolute error", False, _absolute_error, is_loss=True, needs="outcome"),
        Metric("pinball_loss", "pinball loss", higher_is_better=False, score=_pinball, is_loss=True, needs="outcome"),
    )
}


MEAN_AVERAGE_PRECISION = "map@IoU"
"""What tasks list; ``IoU`` stands for a number or a range."""
_STEP = 0.05
_MAP = re.compile(r"map@(?P<first>0?\.\d+)(?::(?P<last>0?\.\d+))?")


def family_of(name: str) -> str:
    """The name under which a task lists the metric."""
    return MEAN_AVERAGE_PRECISION if _MAP.fullmatch(name) else name


def plain_name(name: str) -> str:
    """The one spelling of a metric's name: ``map@.50`` is ``map@0.5``. Names that are none stay as they are."""
    parsed = _MAP.fullmatch(name)
    if parsed is None:
        return name
    ends = [f"0.{end.partition('.')[2].rstrip('0') or '0'}" for end in parsed.groups() if end is not None]
    return f"map@{':'.join(dict.fromkeys(ends))}"


def metric_named(name: str) -> Metric:
    """Look a metric up, under any spelling of its name.

    Raises:
        RecipeError: there is none of that name.
    """
    if name in METRICS:
        return METRICS[name]
    parsed = _MAP.fullmatch(name)
    ious = _ious(parsed["first"], parsed["last"]) if parsed else ()
    if not ious:
        raise RecipeError(
            f"there is no metric called {name!r}",
            expected=" | ".join((*METRICS, "map@0.5 (or any other IoU)", "map@0.5:0.95")),
            got=name,
            fix="name one of these under budget: in the recipe",
        )
    name = plain_name(name)
    title = f"mAP at IoU {name.removeprefix('map@')} (mean average precision)"
    return Metric(name, title, True, _of_no_single_sample, needs="boxes", ious=ious)


def _ious(first: str, last: str | None) -> tuple[float, ...]:
    low, high = float(first), float(last or first)
    count = round((high - low) / _STEP) + 1
    found = tuple(round(low + index * _STEP, 10) for index in range(max(count, 0)))
    return found if 0 < low <= high and abs(found[-1] - high) < 1e-9 else ()


def _of_no_single_sample(truth: Truth, verdict: Verdict) -> None:  # noqa: ARG001 (the contract's)
    return None
