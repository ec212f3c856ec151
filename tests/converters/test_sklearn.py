# ruff: noqa: E402 (imports behind the skip)
"""scikit-learn in: trees exactly, the rest as closely as its precision allows, and nothing run that was not trusted."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_classes import COLUMNS, both, edges, imported, make_rows, recipe_in, two_of, write_recipe

from edgemill_converters.build import build
from edgemill_converters.importers import import_model
from edgemill_converters.importers.objects import import_object
from edgemill_converters.importers.sklearn_trees import of_hist, of_sklearn, trees_in
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.verdict import Decision
from edgemill_runtimes.pipeline import open_pipeline

_WHY = "SKIPPED: {} is not installed, so nothing was compared (CI does)"
for package in ("sklearn", "skl2onnx", "skops"):
    pytest.importorskip(package, reason=_WHY.format(package))

import joblib
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skops import io

FEW = {"n_estimators": 12, "random_state": 0}
TREES: dict[str, tuple[Any, int, float]] = {
    "a forest": (RandomForestClassifier(**FEW, n_jobs=2), 2, 0.0),
    "a large forest": (RandomForestClassifier(n_estimators=100, max_depth=4, random_state=0), 3, 0.0),
    "a forest of values": (RandomForestRegressor(**FEW), 1, 0.0),
    "random thresholds": (ExtraTreesRegressor(**FEW), 1, 0.0),
    "a tree": (DecisionTreeClassifier(random_state=0), 3, 0.0),
    "boosted": (GradientBoostingClassifier(**FEW), 2, 0.0),
    "boosted, three classes": (GradientBoostingClassifier(**FEW), 3, 1e-15),
    "boosted by exponential loss": (GradientBoostingClassifier(**FEW, loss="exponential"), 2, 0.0),
    "boosted values": (GradientBoostingRegressor(**FEW), 1, 0.0),
    "boosted from zero": (GradientBoostingRegressor(**FEW, init="zero"), 1, 0.0),
    "histograms": (HistGradientBoostingClassifier(max_iter=12), 2, 0.0),
    "histograms, three classes": (HistGradientBoostingClassifier(max_iter=12), 3, 1e-15),
    "histograms of counts": (HistGradientBoostingRegressor(max_iter=12, loss="poisson"), 1, 1e-15),
    "behind a scaler": (make_pipeline(StandardScaler(), RandomForestClassifier(**FEW)), 2, 0.0),
    "behind nothing": (make_pipeline("passthrough", HistGradientBoostingClassifier(max_iter=12)), 2, 0.0),
}
"""Estimator, classes, and how far the last operation may be from scikit-learn's, relatively."""
SCALED = ColumnTransformer([("scale", StandardScaler(), [0, 2]), ("keep", "passthrough", [1])])
OTHERS: dict[str, tuple[Any, int, float]] = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), 2, 1e-6),
    "logistic, three classes": (make_pipeline(MinMaxScaler(), LogisticRegression()), 3, 1e-6),
    "some columns": (make_pipeline(SCALED, LogisticRegression()), 2, 1e-6),
    "a network": (make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=40, random_state=0)), 3, 1e-6),
    "a network of values": (
        make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=8, max_iter=40, random_state=0)),
        1,
        1e-5,
    ),
    "a line": (LinearRegression(), 1, 1e-5),
    "a line behind a scaler": (make_pipeline(StandardScaler(), Ridge()), 1, 1e-6),
}


def fitted(model: Any, classes: int, seed: int = 1) -> Any:
    rows, kinds = make_rows(300, seed)
    labels = {1: np.abs(rows[:, 2]), 2: two_of(kinds), 3: kinds}[classes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of networks that could learn more
        return model.fit(rows, labels)


def by_hand(model: Any, rows: np.ndarray) -> np.ndarray:
    found = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    return np.asarray(found).reshape(len(rows), -1)


def on_edges(model: Any) -> np.ndarray:
    stores = trees_in(model)
    trees = [of_hist(one) if hasattr(one, "nodes") else of_sklearn(one, 1) for one in stores]
    exact, rounded = edges(trees), edges(trees, np.float32)
    return np.concatenate([exact[:: max(1, len(exact) // 300)], rounded[:: max(1, len(rounded) // 300)]])


@pytest.mark.parametrize("what", TREES)
def test_trees_give_the_same(tmp_path: Path, what: str) -> None:
    model, classes, most = TREES[what]
    io.dump(fitted(model, classes), tmp_path / "model.skops")
    rows = np.concatenate([make_rows(200, 7)[0], on_edges(model)])
    expected, found = both(imported(tmp_path, "model.skops", classes), rows, tmp_path)
    assert np.allclose(expected, by_hand(model, rows), rtol=1e-12, atol=0)  # of several threads, in any order
    assert (np.abs(found - expected) <= most * np.abs(expected)).all()


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("precision", ["fp64", "fp32"])
def test_other_steps_are_as_close_as_their_precision(tmp_path: Path, what: str, precision: str) -> None:
    model, classes, most = OTHERS[what]
    io.dump(fitted(model, classes), tmp_path / "model.skops")
    rows = make_rows(200, 7)[0]
    read = imported(tmp_path, "model.skops", classes, precision)
    assert not {node.op_type for node in read.proto.graph.node if node.domain}
    for runtime in ["onnxruntime"] if precision == "fp64" else ["onnxruntime", "openvino"]:
        assert read.native is not None
        expected = read.native({"row": rows})[0]
        assert np.array_equal(expected, by_hand(model, rows))
        found = both(read, rows, tmp_path, runtime)[1].astype(np.float64)
        assert np.abs(found - expected).max() <= (1e-13 if precision == "fp64" else 100 * most)
        if runtime == "onnxruntime" and precision == "fp32":
            assert np.abs(found - expected).max() <= most


def test_a_pipeline_is_built_for_two_runtimes(tmp_path: Path) -> None:
    model = fitted(make_pipeline(StandardScaler(), LogisticRegression()), 2)
    io.dump(model, tmp_path / "model.skops")
    targets = [{"runtime": name, "precisions": ["fp32"]} for name in ("onnxruntime", "openvino")]
    result = build(write_recipe(tmp_path, "model.skops", 2, "fp32", targets=targets), tmp_path)
    assert sorted(result.choice.shipped) == ["onnxruntime-cpu-fp32", "openvino-cpu-fp32"]
    assert result.bundle is not None
    row = np.array([[1500.0, 60.0, 2.0]])
    with open_pipeline(result.bundle, "openvino") as pipeline:
        bad = pipeline(dict(zip(COLUMNS, row[0].tolist(), strict=True)))
    assert bad.decision is Decision.REJECT
    assert bad.confidence == pytest.approx(model.predict_proba(row)[0, 1], abs=1e-4)


class Fires:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, (os.environ["FIRED"],))


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "joblib"])
def test_a_pickle_is_not_opened_unless_the_recipe_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("FIRED", str(tmp_path / "fired"))
    (tmp_path / f"model.{suffix}").write_bytes(pickle.dumps(Fires()))
    with pytest.raises(ModelError, match="it was not") as told:
        imported(tmp_path, f"model.{suffix}")
    assert f"model.{suffix}" in str(told.value)
    assert not (tmp_path / "fired").exists()
    with pytest.raises(ModelError, match="nobody here imports"):
        imported(tmp_path, {"file": f"model.{suffix}", "trust": True})
    assert (tmp_path / "fired").exists()


def test_a_trusted_pickle_is_read(tmp_path: Path) -> None:
    model = fitted(RandomForestClassifier(**FEW), 2)
    joblib.dump(model, tmp_path / "model.joblib", compress=3)
    read = imported(tmp_path, {"file": "model.joblib", "trust": True})
    assert read.pickled
    rows = make_rows(50, 3)[0]
    assert np.array_equal(*both(read, rows, tmp_path))
    (tmp_path / "model.joblib").write_bytes((tmp_path / "model.joblib").read_bytes()[:900])
    with pytest.raises(ModelError, match=r"model\.joblib"):
        imported(tmp_path, {"file": "model.joblib", "trust": True})


def test_a_pickle_of_what_is_not_installed_or_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"cnowhere.at_all\nThing\n.")
    with pytest.raises(MissingPartError, match="needs a library"):
        imported(tmp_path, {"file": "model.pkl", "trust": True})
    model = fitted(LogisticRegression(), 2)
    state = pickle.dumps(model)
    import sklearn

    (tmp_path / "model.pkl").write_bytes(state.replace(sklearn.__version__.encode(), b"0.1.1"))
    with pytest.raises(ModelError, match=r"0\.1\.1"):
        imported(tmp_path, {"file": "model.pkl", "trust": True})


class TestSkops:
    def test_types_that_skops_does_not_know_are_refused(self, tmp_path: Path) -> None:
        io.dump(fitted(make_pipeline(StandardScaler(), LogisticRegression()), 2), tmp_path / "model.skops")
        self._rewrite(tmp_path / "model.skops", b'"__class__": "LogisticRegression"', b'"__class__": "SomethingElse"')
        with pytest.raises(ModelError, match="SomethingElse") as told:
            imported(tmp_path, "model.skops")
        assert "trust: true" in str(told.value)

    def test_trees_that_nobody_checks_are_refused(self, tmp_path: Path) -> None:
        model = fitted(AdaBoostClassifier(n_estimators=4, random_state=0), 2)
        io.dump(model, tmp_path / "model.skops")
        with pytest.raises(ModelError, match="trees elsewhere"):
            imported(tmp_path, "model.skops", 2, "fp32")
        trusted = imported(tmp_path, {"file": "model.skops", "trust": True}, 2, "fp32")
        assert trusted.framework.startswith("scikit-learn")

    def test_a_tree_that_would_end_the_process_is_refused(self, tmp_path: Path) -> None:
        model = fitted(DecisionTreeClassifier(max_depth=2, random_state=0), 2)
        state = model.tree_.__getstate__()
        state["nodes"]["left_child"][0] = 1_000_000_000
        model.tree_.__setstate__(state)
        io.dump(model, tmp_path / "model.skops")
        with pytest.raises(ModelError, match="a child that is no node"):
            imported(tmp_path, "model.skops")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no more", b"x" * 1000])
    def test_what_is_no_such_file_is_said(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "model.skops").write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.skops cannot be imported"):
            imported(tmp_path, "model.skops")

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("schema.json", bytes(1 << 28))
        with pytest.raises(ModelError, match="would unpack to 268,435,456"):
            imported(tmp_path, "model.skops")

    @staticmethod
    def _rewrite(path: Path, old: bytes, new: bytes) -> None:
        with zipfile.ZipFile(path) as packed:
            parts = {name: packed.read(name) for name in packed.namelist()}
        assert old in parts["schema.json"]
        parts["schema.json"] = parts["schema.json"].replace(old, new)
        with zipfile.ZipFile(path, "w") as packed:
            for name, part in parts.items():
                packed.writestr(name, part)


REFUSED: dict[str, tuple[Any, int, str]] = {
    "not fitted": (RandomForestClassifier(), 2, "was not fitted"),
    "no probabilities": (fitted(LinearSVC(), 2), 2, "CalibratedClassifierCV"),
    "values for classes": (fitted(LinearRegression(), 1), 2, "a classifier"),
    "classes for values": (fitted(LogisticRegression(), 2), 1, "name: classification"),
    "another number of classes": (fitted(LogisticRegression(), 3), 2, "3 classes"),
    "a start that is a model": (fitted(GradientBoostingRegressor(init=LinearRegression()), 1), 1, "without init="),
    "a step that nobody translates": (fitted(make_pipeline(PolynomialFeatures(), Ridge()), 1), 1, "skl2onnx"),
    "what predicts nothing": (fitted(StandardScaler(), 1), 1, "a model that predicts"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_imported_is_said(tmp_path: Path, what: str) -> None:
    model, classes, said = REFUSED[what]
    with pytest.raises(ModelError, match=said) as told:
        import_object(model, recipe_in(tmp_path, {"function": "made:model"}, classes))
    assert "what made:model gives" in str(told.value)


def test_categories_are_refused(tmp_path: Path) -> None:
    rows = make_rows(60, 1)[0]
    rows[:, 2] = np.arange(60) % 5
    model = HistGradientBoostingRegressor(categorical_features=[2], max_iter=2).fit(rows, rows[:, 2] == 3)
    with pytest.raises(ModelError, match="by category"):
        import_object(model, recipe_in(tmp_path, {"function": "made:model"}, 1))


def test_names_of_columns_and_classes_are_checked(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path, {"function": "made:model"})
    model = fitted(LogisticRegression(), 2)
    model.feature_names_in_ = np.array(["wear", "torque", "speed"], object)
    with pytest.raises(ModelError, match="features wear, torque, speed"):
        import_object(model, recipe)
    model.feature_names_in_ = np.array(COLUMNS, object)
    model.classes_ = np.array(["worn", "good"])
    with pytest.raises(ModelError, match="2 classes: worn, good"):
        import_object(model, recipe)
    dummy = DummyRegressor().fit(make_rows(9, 1)[0][:, :2], np.ones(9))
    with pytest.raises(ModelError, match="2 features"):
        import_object(dummy, recipe_in(tmp_path, {"function": "made:model"}, 1))


def test_a_function_gives_the_model(tmp_path: Path) -> None:
    source = "from sklearn.linear_model import LogisticRegression\n\n\ndef model():\n    "
    rows, kinds = make_rows(40, 2)
    source += f"return LogisticRegression().fit({rows.tolist()}, {two_of(kinds).tolist()})\n"
    (tmp_path / "made_up_model.py").write_text(source)
    read = import_model(recipe_in(tmp_path, {"function": "made_up_model:model"}))
    expected, found = both(read, rows, tmp_path)
    assert np.allclose(expected, found, rtol=1e-14)
