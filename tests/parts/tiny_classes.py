"""Rows of two or three classes, with models of any library to be put beside them, and a recipe around both."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml

from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.importers.graph_writer import ROW
from edgemill_converters.importers.tree import Tree
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

COLUMNS = ("speed", "torque", "wear")
CLASSES = ("good", "worn", "broken")


def make_rows(count: int, seed: int) -> tuple[Array, Array]:
    """Rows whose columns are of different sizes, and the class of each, 0 to 2."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 3)) * [100, 10, 1] + [1500, 40, 0]
    worse = rows[:, 2] + (rows[:, 1] - 40) / 10 + rng.normal(size=count) / 10
    return rows, np.digitize(worse, [0.0, 1.5])


def two_of(classes: Array) -> Array:
    """0 for good, 1 for the others."""
    return np.minimum(classes, 1)


def task_of(classes: int) -> dict[str, Any]:
    """A task of so many classes; of values if there is one."""
    if classes == 1:
        return {"name": "regression"}
    return {"name": "classification", "classes": list(CLASSES[:classes]), "fit": ["good"], "head": "probabilities"}


def write_table(path: Path, count: int, seed: int, classes: int) -> None:
    """Rows with the columns ``class``, ``good`` and ``outcome``."""
    rows, kinds = make_rows(count, seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *COLUMNS, *(["class", "good"] if classes > 1 else ["outcome"])])
        for number, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
            name = CLASSES[min(kind, classes - 1)]
            labels = [name, int(name == "good")] if classes > 1 else [repr(float(row[2]))]
            writer.writerow([f"{number:05d}", *map(repr, row.tolist()), *labels])


def write_recipe(folder: Path, model: str | dict[str, Any], classes: int, precision: str, **changes: Any) -> Path:
    """A judge set and a recipe in ``folder``, in which the model lies."""
    write_table(folder / "judge.csv", 320, 5, classes)
    metric = (
        {"metric": "class_rate", "max_drop": 0.05} if classes > 1 else {"metric": "absolute_error", "max_drop": 0.01}
    )
    recipe = {
        "name": "tiny-rows",
        "version": "1.0.0",
        "task": task_of(classes),
        "model": model,
        "input": {"features": list(COLUMNS)},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [metric],
        "targets": [{"runtime": "onnxruntime", "precisions": [precision]}],
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def recipe_in(
    folder: Path, model: str | dict[str, Any], classes: int = 2, precision: str = "fp64", **changes: Any
) -> Recipe:
    """The same, read."""
    return read_recipe(write_recipe(folder, model, classes, precision, **changes))


def edges(trees: Iterable[Tree], dtype: type[np.generic] = np.float64) -> Array:
    """Rows that lie on each threshold of each tree, one bit to either side, and one bit of float64 beside those."""
    found = []
    for tree in trees:
        for feature, threshold in zip(tree.features[tree.splits], tree.thresholds[tree.splits], strict=True):
            near = np.asarray(threshold, dtype)
            sides = [np.nextafter(near, near.dtype.type(-np.inf)), near, np.nextafter(near, near.dtype.type(np.inf))]
            for value in (float(side) for side in sides):
                for exact in (np.nextafter(value, -np.inf), value, np.nextafter(value, np.inf)):
                    row = make_rows(1, len(found))[0][0]
                    row[feature] = exact
                    found.append(row)
    return np.array(found)


def both(model: ImportedModel, rows: Array, folder: Path, runtime: str = "onnxruntime") -> tuple[Array, Array]:
    """What the model's library gives for these rows, and what the graph gives, one by one."""
    onnx.checker.check_model(model.proto, full_check=True)
    onnx.save(model.proto, folder / "rows.onnx")
    assert model.native is not None
    (expected,) = model.native({ROW: rows})
    with load(runtime, folder / "rows.onnx") as engine:
        found = np.concatenate([engine.run({ROW: row[None]})["scores"] for row in rows])
    return expected, found


def imported(folder: Path, model: str | dict[str, Any], classes: int = 2, precision: str = "fp64") -> ImportedModel:
    """The model, imported."""
    return import_model(recipe_in(folder, model, classes, precision))


def bits_apart(one: Array, other: Array) -> int:
    """How many representable numbers lie between, at most; both positive."""
    kind = np.int64 if one.dtype == np.float64 else np.int32
    return int(np.abs(one.view(kind).astype(np.int64) - other.view(kind).astype(np.int64)).max())
