"""Small LightGBM models on generated data, and a recipe around them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import yaml

FEATURES = ("scale", "slope", "noise")
LEVELS = (0.01, 0.025)


def make_rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and outcomes."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, len(FEATURES)))
    rows[:, 0] = np.exp(rows[:, 0])
    return rows, rows[:, 0] * (rng.normal(size=count) + rows[:, 1])


def train(path: Path, level: float, trees: int = 12, **more: Any) -> None:
    """Train on outcomes divided by ``scale`` and save the model."""
    rows, outcomes = make_rows(600, 1)
    settings = {"objective": "quantile", "alpha": level, "num_leaves": 6, "verbose": -1, "num_threads": 1, **more}
    data = lightgbm.Dataset(rows, outcomes / rows[:, 0], feature_name=list(FEATURES), params=settings)
    lightgbm.train(settings, data, trees).save_model(path)


def write_table(path: Path, count: int, seed: int, outcomes: bool = True) -> Path:
    rows, came = make_rows(count, seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *FEATURES, *(["outcome"] if outcomes else [])])
        for number, (row, outcome) in enumerate(zip(rows, came, strict=True)):
            writer.writerow([f"{number:05d}", *map(repr, row.tolist()), *([repr(float(outcome))] if outcomes else [])])
    return path


def write_tree_recipe(folder: Path, **changes: Any) -> Path:
    """Models, judge set and recipe in ``folder``."""
    for level in LEVELS:
        train(folder / f"q-{level:g}.txt", level)
    write_table(folder / "judge.csv", 120, 2)
    recipe = {
        "name": "tiny-risk",
        "version": "1.0.0",
        "task": {"name": "market-risk", "levels": list(LEVELS)},
        "model": {"file": [f"q-{level:g}.txt" for level in LEVELS], "scaled_by": "scale"},
        "input": {"features": [{"name": "scale", "unit": "%", "min": 0.0}, "slope", "noise"]},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [{"metric": "pinball_loss", "max_drop": 0.01}],
        "targets": [{"runtime": "onnxruntime", "precisions": ["fp64"]}],
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
