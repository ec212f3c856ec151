"""How often is a detector's true drop above the judge's bound? In simulation, at 95 %.

    python benchmarks/map_bound.py [--trials 200] [--json]

Each scenario is a way in which a variant gets worse: single boxes lost; some lost and some gained; boxes of the rarest
class alone; whole pictures; false boxes at high scores, with all scores shaken. ``missed``: share of trials with the
bound below the true drop, taken from very many pictures; ``of this size``: below the mean drop of sets with as many
pictures; ``bootstrap``: the same as ``missed``, by percentiles alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.average_precision import Curve, Curves, mean_average_precision
from edgemill_core.average_precision.drop import bound, draws, expanded

CONFIDENCE, MANY = 0.95, 20_000
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """What goes wrong, at which rate, on how many pictures with how many boxes of how many classes."""

    mode: str
    rate: float
    pictures: int
    classes: int = 6
    boxes: float = 7.0


SCENARIOS = [
    Scenario("boxes", 0.01, 50),
    Scenario("boxes", 0.03, 100),
    Scenario("boxes", 0.01, 100, 1, 3.0),
    Scenario("lost and gained", 0.02, 100),
    Scenario("rare", 0.06, 100),
    Scenario("false", 0.1, 50),
    Scenario("false", 0.1, 100),
    Scenario("pictures", 0.02, 50),
    Scenario("pictures", 0.02, 100),
    Scenario("pictures", 0.01, 300, 1, 3.0),
]


def world(s: Scenario, pictures: int, rng: np.random.Generator) -> tuple[Curves, Curves]:
    """Curves of a reference that finds 98.5 % of the boxes, and of a variant."""
    picture = np.repeat(np.arange(pictures), rng.poisson(s.boxes, pictures))
    count = len(picture)
    share = np.full(s.classes, 1 / s.classes)
    if s.mode == "rare":
        share = np.array([0.04, *[0.96 / (s.classes - 1)] * (s.classes - 1)])
    kind, found, score = rng.choice(s.classes, count, p=share), rng.random(count) < 0.985, rng.beta(8, 2, count)
    false = _false(pictures, 0.06 * s.boxes, share, 2, 6, rng)
    lost = rng.random(count) < s.rate
    if s.mode == "pictures":
        lost = (rng.random(pictures) < s.rate)[picture]
    after, after_score, after_false = found & ~lost, score, false
    if s.mode == "rare":
        after = found & ~(lost & (kind == 0))
    if s.mode == "lost and gained":
        after |= ~found & (rng.random(count) < 0.5)
    if s.mode == "false":
        after, after_score = found, np.clip(score + rng.normal(0, 0.05, count), 0, 1)
        after_false = np.concatenate([false, _false(pictures, s.rate * s.boxes, share, 8, 3, rng)], axis=1)
    where = (pictures, picture, kind)
    return _curves(where, found, score, false), _curves(where, after, after_score, after_false)


def _false(pictures: int, each: float, share: Numbers, a: float, b: float, rng: np.random.Generator) -> Numbers:
    """Picture, class and score of boxes that stand for nothing: ``float64[3, n]``."""
    picture = np.repeat(np.arange(pictures), rng.poisson(each, pictures))
    return np.array([picture, rng.choice(len(share), len(picture), p=share), rng.beta(a, b, len(picture))])


def _curves(
    where: tuple[int, NDArray[np.int64], NDArray[np.int64]], found: NDArray[np.bool_], score: Numbers, false: Numbers
) -> Curves:
    pictures, picture, kind = where
    curves = []
    for one in np.unique(kind):
        hit, wrong = (kind == one) & found, false[1] == one
        labelled = np.bincount(picture[kind == one], minlength=pictures)
        marks = np.repeat([True, False], [hit.sum(), wrong.sum()])
        places = np.concatenate([picture[hit], false[0][wrong].astype(np.int64)])
        curves.append(Curve.of(int(one), np.concatenate([score[hit], false[2][wrong]]), places, marks, labelled))
    return tuple(curves)


def drop_of(before: Curves, after: Curves, weights: NDArray[np.float32]) -> Numbers:
    """The drop under each weighting."""
    return mean_average_precision([before], weights) - mean_average_precision([after], weights)


def try_out(s: Scenario, trials: int) -> dict[str, object]:
    """Bounds of as many sets as there are trials, against the truth."""
    rng = np.random.default_rng(7)
    once = np.ones((MANY, 1), np.float32)
    true = float(np.mean([drop_of(*world(s, MANY, rng), once)[0] for _ in range(3)]))
    weights, level = draws(s.pictures, CONFIDENCE), expanded(CONFIDENCE, s.pictures)
    uppers, alone, seen = [], [], []
    for _ in range(trials):
        before, after = world(s, s.pictures, rng)
        drop = bound([before], [after], [str(kind) for kind in range(s.classes)], CONFIDENCE)
        uppers.append(drop.upper)
        seen.append(drop.seen)
        alone.append(float(np.quantile(drop_of(before, after, weights), level)))
    return {
        "scenario": s.mode,
        "pictures": s.pictures,
        "classes": s.classes,
        "drop": round(true, 4),
        "missed": float(np.mean(np.array(uppers) < true)),
        "of this size": float(np.mean(np.array(uppers) < np.mean(seen))),
        "bootstrap": float(np.mean(np.array(alone) < true)),
        "median bound": round(float(np.median(uppers)), 4),
    }


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("--trials", type=int, default=200)
    told.add_argument("--json", action="store_true")
    args = told.parse_args()
    rows = []
    for scenario in SCENARIOS:
        rows.append(try_out(scenario, args.trials))
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), file=sys.stderr)
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
