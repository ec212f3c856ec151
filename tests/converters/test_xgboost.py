"""XGBoost models in: its own sums to the last bit, on every threshold of float32 and the doubles beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_classes import COLUMNS, bits_apart, both, edges, imported, make_rows, recipe_in, two_of, write_recipe

from edgemill_converters.build import build
from edgemill_converters.importers.objects import import_object
from edgemill_converters.importers.xgboost_file import parse_xgboost, read_xgboost
from edgemill_core.errors import ModelError
from edgemill_core.verdict import Decision
from edgemill_runtimes.pipeline import open_pipeline

xgboost = pytest.importorskip("xgboost", reason="SKIPPED: xgboost is not installed, so nothing was compared (CI does)")

CASES: dict[str, tuple[dict[str, Any], int, int]] = {
    "two classes": ({"objective": "binary:logistic"}, 2, 1),
    "a base score": ({"objective": "binary:logistic", "base_score": 0.2}, 2, 1),
    "a probability": ({"objective": "binary:logistic"}, 1, 1),
    "three classes": ({"objective": "multi:softprob", "num_class": 3}, 3, 2),
    "the best of three, from forests": (
        {"objective": "multi:softmax", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.7},
        3,
        2,
    ),
    "values": ({"objective": "reg:squarederror"}, 1, 0),
    "values by their middle": ({"objective": "reg:absoluteerror"}, 1, 0),
    "scores": ({"objective": "binary:logitraw"}, 1, 0),
    "counts": ({"objective": "count:poisson"}, 1, 1),
}
"""Settings, classes, and by how many bits the last operation may differ."""


def trained(settings: dict[str, Any], classes: int, trees: int = 30) -> Any:
    rows, kinds = make_rows(400, 1)
    labels = kinds if "num_class" in settings else two_of(kinds)
    data = xgboost.DMatrix(rows, labels, feature_names=list(COLUMNS))
    told = {"max_depth": 3, "nthread": 1, "seed": 1, **settings}
    return xgboost.train({key: value for key, value in told.items() if value is not None}, data, trees)


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_xgboost_gives_the_same(tmp_path: Path, what: str, suffix: str) -> None:
    settings, classes, most = CASES[what]
    trees = 60 if what == "values" else 15
    booster = trained(settings, classes, trees)
    booster.save_model(tmp_path / f"model.{suffix}")
    read = read_xgboost(parse_xgboost((tmp_path / f"model.{suffix}").read_bytes()))
    on_edges = edges((tree for column in read.columns for tree in column), np.float32)
    rows = np.concatenate([make_rows(300, 7)[0], on_edges[:: max(1, len(on_edges) // 600)]])
    expected, found = both(imported(tmp_path, f"model.{suffix}", classes, "fp32"), rows, tmp_path)
    if "softmax" not in settings["objective"]:
        by_hand = booster.predict(xgboost.DMatrix(rows, feature_names=list(COLUMNS))).reshape(len(rows), -1)
        assert np.array_equal(expected[:, -by_hand.shape[1] :], by_hand)
    assert bits_apart(expected, found) <= most
    assert (expected != found).any(axis=1).mean() < 0.05
    assert np.allclose(expected.sum(axis=1), 1) == (classes > 1)


def test_a_classifier_is_built_and_judged(tmp_path: Path) -> None:
    trained({"objective": "binary:logistic"}, 2).save_model(tmp_path / "model.ubj")
    result = build(write_recipe(tmp_path, "model.ubj", 2, "fp32"), tmp_path)
    (variant,) = result.variants
    assert variant.ruling.judgements[0].reference > 0.9
    assert result.bundle is not None
    with open_pipeline(result.bundle) as pipeline:
        bad = pipeline(dict(zip(COLUMNS, (1500.0, 60.0, 2.0), strict=True)))
    assert bad.decision is Decision.REJECT
    assert bad.reading["class"] == "worn"


def test_objects_go_the_same_way_and_keep_the_best_round(tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn", reason="SKIPPED: XGBoost's estimators need scikit-learn (CI has it)")
    assert sklearn
    rows, kinds = make_rows(400, 1)
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=3, early_stopping_rounds=3, n_jobs=1, learning_rate=1.0)
    held, labels = make_rows(200, 9)
    model.fit(rows, two_of(kinds), eval_set=[(held, two_of(labels))], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    recipe = recipe_in(tmp_path, {"function": "made:model"}, precision="fp32")
    native = import_object(model, recipe).native
    assert native is not None
    assert np.array_equal(native({"row": held})[0], model.predict_proba(held))
    native = import_object(trained({"objective": "binary:logistic"}, 2), recipe).native
    assert native is not None
    odd = xgboost.XGBClassifier(n_estimators=2, missing=0.0, n_jobs=1).fit(rows, two_of(kinds))
    with pytest.raises(ModelError, match=r"missing=0\.0"):
        import_object(odd, recipe)
    model.get_booster().save_model(tmp_path / "stopped.json")
    with pytest.raises(ModelError, match="early stopping found") as told:
        imported(tmp_path, "stopped.json", 2, "fp32")
    assert "booster.best_iteration + 1" in str(told.value)


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "dart": ({"booster": "dart", "objective": "binary:logistic"}, 2, "booster 'dart'"),
    "a linear model": ({"booster": "gblinear", "objective": "binary:logistic", "max_depth": None}, 2, "gblinear"),
    "another number of classes": ({"objective": "multi:softprob", "num_class": 3}, 2, "3 classes"),
    "values for classes": ({"objective": "reg:squarederror"}, 2, "an objective of classes"),
    "classes for values": ({"objective": "multi:softprob", "num_class": 3}, 1, "name: classification"),
    "an objective without a graph": ({"objective": "binary:hinge"}, 1, "binary:hinge"),
    "several quantiles": ({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, 1, "2 targets"),
}


@pytest.mark.filterwarnings("ignore:.*not used.*:UserWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_imported_is_said(tmp_path: Path, what: str) -> None:
    settings, classes, said = REFUSED[what]
    trained(settings, classes, 3).save_model(tmp_path / "model.json")
    with pytest.raises(ModelError, match=said) as refused:
        imported(tmp_path, "model.json", classes, "fp32")
    assert "model.json" in str(refused.value)


def test_categories_are_refused(tmp_path: Path) -> None:
    rows = make_rows(400, 1)[0]
    rows[:, 2] = np.random.default_rng(0).integers(0, 6, 400)
    types = ["float", "float", "c"]
    data = xgboost.DMatrix(
        rows, rows[:, 2] % 2, feature_names=list(COLUMNS), feature_types=types, enable_categorical=True
    )
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 3).save_model(tmp_path / "model.ubj")
    with pytest.raises(ModelError, match="by category"):
        imported(tmp_path, "model.ubj", 2, "fp32")


def test_a_newer_xgboost_and_other_columns_are_said(tmp_path: Path) -> None:
    booster = trained({"objective": "binary:logistic"}, 2, 3)
    newer = json.loads(bytes(booster.save_raw("json")))
    newer["version"] = [99, 0, 0]
    (tmp_path / "model.json").write_text(json.dumps(newer))
    with pytest.raises(ModelError, match=r"one of 99\.0\.0"):
        imported(tmp_path, "model.json", 2, "fp32")
    booster.feature_names = ["wear", "torque", "speed"]
    booster.save_model(tmp_path / "model.json")
    with pytest.raises(ModelError, match="features wear, torque, speed"):
        imported(tmp_path, "model.json", 2, "fp32")
    booster.feature_names = None
    booster.save_model(tmp_path / "model.json")
    assert imported(tmp_path, "model.json", 2, "fp32").framework.startswith("XGBoost")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"a":' + b"[" * 100_000, b"{L\0\0\0\0\0\0\0\1a" + b"[" * 100_000, b"{\x00" * 50]
)
def test_what_is_no_model_is_said_with_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.json cannot be imported as an XGBoost model"):
        imported(tmp_path, "model.json", 2, "fp32")
