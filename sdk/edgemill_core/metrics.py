"""Metrics, most of them one number per sample, so that two variants can be compared sample by sample.

Each metric looks at its own part of the samples (its population): an escape can only happen on a bad part, overkill
only on a good one. A sample outside the population scores ``None``.

Mean average precision is a number of the whole set: it ranks the detections of all pictures. Its name says from which
intersection over union on a box is found: ``map@0.5``, or several of them in steps of 0.05: ``map@0.5:0.95``.

Other numbers of the whole set (``edgemill_core.set_metrics``) are functions of how often each sample counts. Precision,
recall and F1 are the mean over classes, or of one class that their name ends with: ``f1@scratch``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgemill_core.errors import RecipeError
from edgemill_core.evidence import Side
from edgemill_core.samples import Truth
from edgemill_core.set_metrics import (
    Statistic,
    area_under_per_region_overlap,
    area_under_roc,
    calibration_error,
    character_error_rate,
    cosine_distance,
    intersection_over_union,
    of_classes,
)
from edgemill_core.set_metrics.by_class import Measure
from edgemill_core.verdict import Decision, Verdict


@dataclass(frozen=True)
class Metric:
    """A named rate over a population.

    Attributes:
        name: as written in recipes.
        title: for people, e.g. "escapes (bad parts passed)".
        higher_is_better: the direction.
        score: truth and verdict to 0 or 1, or to a loss; ``None`` outside the population. Of a number of a whole set,
            what shows on a single sample that it has changed.
        is_loss: the score is a loss of any size, compared by its mean; else it is 0 or 1, and errors are counted.
        needs: the attribute of a truth without which there is nothing to compare; empty if ``good`` is enough.
        ious: of mean average precision, the intersections over union over which it is the mean; empty of others.
        of_set: of another number of a whole set, how it is made from one variant's side; ``None`` of others.
        of_class: the one class that it is about; empty if it is about none or all.
    """

    name: str
    title: str
    higher_is_better: bool
    score: Callable[[Truth, Verdict], float | None]
    is_loss: bool = False
    needs: str = ""
    ious: tuple[float, ...] = ()
    of_set: Callable[[Side], Statistic] | None = None
    of_class: str = ""

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


def _misread(truth: Truth, verdict: Verdict) -> float | None:
    exact = _exact(truth, verdict)
    return None if exact is None else 1 - exact


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


def _of_no_single_sample(truth: Truth, verdict: Verdict) -> None:  # noqa: ARG001 (the contract's)
    return None


def _by_class(measure: Measure, title: str, of_class: str = "") -> Metric:
    name, of = (f"{measure}@{of_class}", f" of {of_class}") if of_class else (measure, " (mean over classes)")
    made = of_classes(measure, of_class)
    return Metric(name, f"{title}{of}", True, _class, needs="class_name", of_set=made, of_class=of_class)


_BY_CLASS: dict[str, tuple[Measure, str]] = {
    "precision": ("precision", "precision"),
    "recall": ("recall", "recall"),
    "f1": ("f1", "F1"),
}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("escape_rate", "escapes (bad parts passed)", higher_is_better=False, score=_escape),
        Metric("overkill_rate", "overkill (good parts not passed)", higher_is_better=False, score=_overkill),
        Metric("exact_rate", "readable codes read exactly", higher_is_better=True, score=_exact, needs="text"),
        Metric("class_rate", "classes named rightly", higher_is_better=True, score=_class, needs="class_name"),
        Metric("absolute_error", "absolute error", False, _absolute_error, is_loss=True, needs="outcome"),
        Metric("pinball_loss", "pinball loss", higher_is_better=False, score=_pinball, is_loss=True, needs="outcome"),
        *(_by_class(measure, title) for measure, title in _BY_CLASS.values()),
        Metric("auroc", "AUROC (good parts ranked above bad ones)", True, _of_no_single_sample, of_set=area_under_roc),
        Metric(
            "aupro",
            "AUPRO (share of each defect found, up to 30 % of good pixels)",
            True,
            _of_no_single_sample,
            needs="mask",
            of_set=area_under_per_region_overlap,
        ),
        Metric(
            "iou",
            "IoU (of found and drawn, where there is a defect)",
            True,
            _of_no_single_sample,
            needs="mask",
            of_set=intersection_over_union,
        ),
        Metric(
            "cosine_distance",
            "cosine distance (from the reference's vector)",
            higher_is_better=False,
            score=_of_no_single_sample,
            of_set=cosine_distance,
        ),
        Metric(
            "calibration_error",
            "calibration error (confidence against how often it is right)",
            higher_is_better=False,
            score=_of_no_single_sample,
            needs="class_name",
            of_set=calibration_error,
        ),
        Metric(
            "character_error_rate",
            "character errors (edits over characters printed)",
            higher_is_better=False,
            score=_misread,
            needs="text",
            of_set=character_error_rate,
        ),
    )
}


MEAN_AVERAGE_PRECISION = "map@IoU"
"""What tasks list; ``IoU`` stands for a number or a range."""
_PATTERNS = ("f1@CLASS", "precision@CLASS", "recall@CLASS", "map@0.5 (or any other IoU)", "map@0.5:0.95")
_STEP = 0.05
_MAP = re.compile(r"map@(?P<first>0?\.\d+)(?::(?P<last>0?\.\d+))?")


def family_of(name: str) -> str:
    """The name under which a task lists the metric."""
    if _MAP.fullmatch(name):
        return MEAN_AVERAGE_PRECISION
    measure, _, of_class = name.partition("@")
    return measure if measure in _BY_CLASS and of_class else name


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
    measure, _, of_class = name.partition("@")
    if measure in _BY_CLASS and of_class:
        return _by_class(*_BY_CLASS[measure], of_class)
    parsed = _MAP.fullmatch(name)
    ious = _ious(parsed["first"], parsed["last"]) if parsed else ()
    if not ious:
        raise RecipeError(
            f"there is no metric called {name!r}",
            expected=" | ".join((*METRICS, *_PATTERNS)),
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
