"""Which machine will fail: from a table to a bundle whose every probability is LightGBM's own.

``python examples/maintenance/run.py TABLE OUT``; see the README.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import layout
import lightgbm
import numpy as np
import yaml

import edgemill

TRAINING = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 10,
    "num_threads": 1,
    "seed": 1,
    "verbose": -1,
}


def main() -> None:
    """Train, build, judge, and ask the bundle about two machines."""
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("table", type=Path, help="CSV in AI4I 2020's layout")
    told.add_argument("out", type=Path)
    told.add_argument("--trees", type=int, default=100)
    args = told.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    learned, judged = layout.halved(layout.read(args.table))
    train(learned, args.trees, args.out / "failures.txt")
    layout.write_judge(args.out / "judge.csv", judged)
    (args.out / "recipe.yaml").write_text(yaml.safe_dump(recipe(), sort_keys=False))
    try:
        built = edgemill.build(
            args.out / "recipe.yaml", args.out, progress=lambda what: print(f"  {what}", file=sys.stderr)
        )
    except edgemill.BudgetError as error:
        raise SystemExit(str(error)) from error
    print(f"{len(learned.rows)} machines learned from, {len(judged.rows)} judged, {judged.failed.sum()} of them failed")
    tell(built, judged)


def train(learned: layout.Machines, trees: int, path: Path) -> None:
    """A booster, saved as text."""
    data = lightgbm.Dataset(learned.rows, learned.failed, feature_name=list(layout.COLUMNS.values()), params=TRAINING)
    lightgbm.train(TRAINING, data, trees).save_model(path)


def recipe() -> dict[str, Any]:
    """A machine is stopped from a probability of 0.6 that it fails, looked at from 0.2, and runs on below."""
    return {
        "name": "maintenance",
        "version": "1.0.0",
        "task": {
            "name": "classification",
            "classes": list(layout.CLASSES),
            "fit": ["runs"],
            "head": "probabilities",
            "limits": {"reject_below": 0.4, "pass_from": 0.8},
        },
        "model": "failures.txt",
        "input": {"features": layout.features()},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [
            {"metric": "class_rate", "max_drop": 0.01},
            {"metric": "escape_rate", "max_drop": 0.05},
            {"metric": "overkill_rate", "max_drop": 0.01},
        ],
        "targets": [{"runtime": "onnxruntime", "precisions": ["fp64"]}],
    }


def tell(built: edgemill.BuildResult, judged: layout.Machines) -> None:
    """What came of it, and the verdicts on the machines that failed first and ran first in the judge's table."""
    (variant,) = built.variants
    for judgement in variant.ruling.judgements:
        metric = judgement.budget.metric
        print(f"  {metric}: {judgement.reference:.4f} by LightGBM, {judgement.variant:.4f} by the bundle")
    flips = sum(a != b for a, b in zip(built.reference, variant.verdicts, strict=True))
    print(f"  verdicts that differ in any digit: {flips}; median {1000 * variant.measurement.p50_ms:.0f} us a machine")
    assert built.bundle is not None
    names = list(layout.COLUMNS.values())
    with edgemill.open_pipeline(built.bundle) as pipeline:
        for row in judged.rows[[int(np.argmax(judged.failed)), int(np.argmin(judged.failed))]]:
            verdict = pipeline(dict(zip(names, row.tolist(), strict=True)))
            why = "; ".join(verdict.reasons) or verdict.reading["class"]
            print(f"  {verdict.decision.value:<10}{why}: tool worn {row[-1]:g} min, {row[4]:g} Nm")


if __name__ == "__main__":
    main()
