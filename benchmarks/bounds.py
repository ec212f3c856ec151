"""How often is the true worsening of a number of a whole set above the judge's bound? In simulation, at 95 %.

    python benchmarks/bounds.py [--trials 400] [--only auroc] [--json]

A row a metric and a way in which a variant gets worse. ``missed``: share of trials with the bound below the true drop,
taken from very many samples: a budget of just that much would be passed so often. ``bootstrap``: missed by the paired
bootstrap alone, without the allowance for what was not seen and without what calibration error leans.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.evidence import Side
from edgemill_core.pixel_scores import pixel_scores
from edgemill_core.set_metrics import (
    SetDrop,
    Statistic,
    area_under_per_region_overlap,
    compare,
    intersection_over_union,
)
from edgemill_core.set_metrics.by_class import Measure, OfClasses
from edgemill_core.set_metrics.calibration import Miscalibration
from edgemill_core.set_metrics.ranking import RankedRight
from edgemill_core.set_metrics.ratio import Ratio

CONFIDENCE, MANY = 0.95, 400_000
Pair = tuple[Statistic, Statistic]
World = Callable[[int, float, np.random.Generator], Pair]
Numbers = NDArray[np.float64]


def by_class(measure: Measure, only: bool, mode: str) -> World:
    """Three classes, the rarest with a tenth of the samples; a reference that names 97 % rightly."""
    shares = np.array([0.6, 0.3, 0.1])

    def made(n: int, rate: float, rng: np.random.Generator) -> Pair:
        labelled = rng.choice(3, n, p=shares)
        before = np.where(rng.random(n) < 0.97, labelled, rng.integers(0, 3, n))
        hit = rng.random(n) < rate
        if mode == "rarest":
            after = np.where(hit & (labelled == 2), 0, before)
        elif mode == "false":
            after = np.where(hit & (labelled == 0), 2, before)
        elif mode == "rarely":
            # The rarest class is named of few of its samples, and a quarter of what is named so is another one.
            wrong = hit & (labelled == 0) & (rng.random(n) < 1 / 18)
            after = np.where(wrong | (hit & (labelled == 2)), 2, np.where(labelled == 2, 0, labelled))
        else:
            after = np.where(hit, rng.integers(0, 3, n), before)
        if only:
            labelled, before, after = (np.where(one == 2, 0, -1) for one in (labelled, before, after))
        names, known = (("c",) if only else ("a", "b", "c")), np.ones(n, np.bool_)
        first, second = (OfClasses(measure, labelled, named, known, names) for named in (before, after))
        return first, second

    return made


def auroc(mode: str) -> World:
    """A third of the parts is bad; scores of two normal distributions, AUROC 0.98."""

    def made(n: int, rate: float, rng: np.random.Generator) -> Pair:
        good = rng.random(n) < 2 / 3
        before = rng.normal(size=n) + 2.9 * good
        if mode == "noise":
            after = before + rate * rng.normal(size=n)
        elif mode == "escapes":
            after = np.where((rng.random(n) < rate) & ~good, before.max() + 1, before)
        else:
            after = np.round(before / rate) * rate
        return RankedRight(before, good), RankedRight(after, good)

    return made


def calibration(mode: str) -> World:
    """A calibrated reference; a variant that is too sure, or of which a few sure answers are wrong."""

    def made(n: int, rate: float, rng: np.random.Generator) -> Pair:
        confidence = 0.5 + 0.5 * rng.beta(4, 1, n)
        right, known = rng.random(n) < confidence, np.ones(n, np.bool_)
        before = Miscalibration(confidence, right, known)
        if mode == "too sure":
            return before, Miscalibration(confidence + rate * (1 - confidence), right, known)
        wrong = (rng.random(n) < rate) & (confidence > 0.9)
        return before, Miscalibration(confidence, right & ~wrong, known)

    return made


def characters(mode: str) -> World:
    """Lines of 4 to 12 characters, 0.2 % of them misread by the reference."""

    def made(n: int, rate: float, rng: np.random.Generator) -> Pair:
        lengths = rng.integers(4, 13, n) if mode != "long" else np.where(rng.random(n) < 0.1, 20, 2)
        before = rng.binomial(lengths, 0.002)
        if mode == "lines":
            after = np.where(rng.random(n) < rate, lengths, before)
        elif mode == "long":
            after = np.where((rng.random(n) < rate) & (lengths == 20), lengths, before)
        else:
            after = np.minimum(before + rng.binomial(lengths, rate), lengths)
        first, second = (Ratio(edits * 1.0, lengths * 1.0, "codes", -1) for edits in (before, after))
        return first, second

    return made


def turned(n: int, rate: float, rng: np.random.Generator) -> Pair:
    """Vectors that stay where they are; a few of the variant's point the other way."""
    far, ones = 2.0 * (rng.random(n) < rate), np.ones(n)
    return Ratio(0 * far, ones, "samples", -1, farthest=2.0), Ratio(far, ones, "samples", -1, farthest=2.0)


def overlap(metric: str, mode: str) -> World:
    """Half of the pictures show one or two defects of 40 pixels among 400; single pixels score with noise."""

    def made(n: int, rate: float, rng: np.random.Generator) -> Pair:
        n = min(n, 20_000)
        pixels = np.zeros((n, 20, 20), np.bool_)
        shows = rng.random(n) < 0.5
        pixels[shows, 2:7, 2:10] = True
        pixels[shows & (rng.random(n) < 0.5), 12:17, 2:10] = True
        before = (rng.normal(size=pixels.shape) + 2.5 * pixels).astype(np.float32)
        hit = rng.random(n) < rate
        if mode == "pictures":
            after = np.where((hit & shows)[:, None, None], before - 2.5 * pixels, before)
        elif mode == "false":
            after = before + 2 * (hit & ~shows)[:, None, None]
        else:
            after = before + rate * rng.normal(size=pixels.shape)
        sides = [pixel_scores(n, one.__getitem__, pixels.__getitem__, 1.5) for one in (before, after)]
        made_by = area_under_per_region_overlap if metric == "aupro" else intersection_over_union
        first, second = (made_by(Side([], [], side)) for side in sides)
        return first, second

    return made


@dataclass(frozen=True)
class Scenario:
    """One row: what goes wrong, at which rate, on how many samples."""

    metric: str
    mode: str
    rate: float
    samples: int
    world: World
    higher_is_better: bool = True


SCENARIOS = [
    Scenario("f1", "any", 0.02, 400, by_class("f1", False, "any")),
    Scenario("f1", "any", 0.05, 150, by_class("f1", False, "any")),
    Scenario("f1", "rarest", 0.06, 400, by_class("f1", False, "rarest")),
    Scenario("f1@c", "rarest", 0.03, 400, by_class("f1", True, "rarest")),
    Scenario("f1@c", "false", 0.01, 400, by_class("f1", True, "false")),
    Scenario("precision", "false", 0.01, 400, by_class("precision", False, "false")),
    Scenario("precision@c", "false", 0.01, 400, by_class("precision", True, "false")),
    Scenario("precision@c", "rarely", 0.125, 400, by_class("precision", True, "rarely")),
    Scenario("recall", "rarest", 0.06, 400, by_class("recall", False, "rarest")),
    Scenario("recall@c", "rarest", 0.05, 400, by_class("recall", True, "rarest")),
    Scenario("auroc", "noise", 0.8, 200, auroc("noise")),
    Scenario("auroc", "noise", 0.5, 1000, auroc("noise")),
    Scenario("auroc", "escapes", 0.02, 200, auroc("escapes")),
    Scenario("auroc", "steps", 2.5, 200, auroc("steps")),
    Scenario("aupro", "noise", 0.7, 100, overlap("aupro", "noise")),
    Scenario("aupro", "pictures", 0.05, 200, overlap("aupro", "pictures")),
    Scenario("aupro", "false", 0.1, 100, overlap("aupro", "false")),
    Scenario("iou", "noise", 0.7, 100, overlap("iou", "noise")),
    Scenario("iou", "pictures", 0.05, 200, overlap("iou", "pictures")),
    Scenario("calibration_error", "too sure", 0.5, 400, calibration("too sure"), False),
    Scenario("calibration_error", "too sure", 0.2, 2000, calibration("too sure"), False),
    Scenario("calibration_error", "wrong", 0.05, 400, calibration("wrong"), False),
    Scenario("character_error_rate", "characters", 0.005, 300, characters("characters"), False),
    Scenario("character_error_rate", "lines", 0.01, 300, characters("lines"), False),
    Scenario("character_error_rate", "lines", 0.05, 60, characters("lines"), False),
    Scenario("character_error_rate", "long", 0.2, 100, characters("long"), False),
    Scenario("cosine_distance", "turned", 0.02, 100, turned, False),
]


def drop_of(pair: Pair, scenario: Scenario, confidence: float = CONFIDENCE) -> SetDrop:
    """The judge's comparison."""
    found = compare(*pair, scenario.higher_is_better, confidence)
    assert found is not None
    return found


def true_drop(scenario: Scenario) -> float:
    """Of very many samples."""
    before, after = scenario.world(MANY, scenario.rate, np.random.default_rng(1))
    once = np.ones((len(before.each), 1), np.float32)
    sign = 1 if scenario.higher_is_better else -1
    return float(sign * (before.at(once)[0] - after.at(once)[0]))


def row(scenario: Scenario, trials: int) -> dict[str, object]:
    """Simulate one scenario."""
    true = true_drop(scenario)
    rng = np.random.default_rng(2)
    begun = time.monotonic()
    pairs = (scenario.world(scenario.samples, scenario.rate, rng) for _ in range(trials))
    found = [(drop_of(pair, scenario), pair[0].lean(pair[1])) for pair in pairs]
    spent = time.monotonic() - begun
    uppers = np.array([drop.upper for drop, _ in found])
    bare = np.array([drop.upper - drop.allowance - lean for drop, lean in found])
    return {
        "metric": scenario.metric,
        "mode": scenario.mode,
        "rate": scenario.rate,
        "samples": scenario.samples,
        "true_drop": true,
        "mean_drop": float(np.mean([drop.seen for drop, _ in found])),
        "missed": float((uppers < true).mean()),
        "bootstrap": float((bare < true).mean()),
        "mean_bound": float(uppers.mean()),
        "ms": 1000 * spent / trials,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        if given.only in scenario.metric:
            rows.append(row(scenario, given.trials))
            print(_said(rows[-1]), file=sys.stderr)
    if given.json:
        print(json.dumps(rows, indent=2))


def _said(one: dict[str, object]) -> str:
    return (
        f"{one['metric']:>22} {one['mode']:>10} {one['rate']:6} n={one['samples']:<5} true {one['true_drop']:.2%} "
        f"seen {one['mean_drop']:.2%} bound {one['mean_bound']:.2%} missed {one['missed']:.1%} "
        f"bootstrap alone {one['bootstrap']:.1%} ({one['ms']:.0f} ms)"
    )


if __name__ == "__main__":
    main()
