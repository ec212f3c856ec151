"""LightGBM's other objectives: probabilities, counts and forests, on every threshold and one bit to either side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from tiny_classes import COLUMNS, both, edges, imported, make_rows, recipe_in, two_of

from edgemill_converters.importers import import_model
from edgemill_converters.importers.lightgbm_file import ZERO, compared, read_lightgbm
from edgemill_converters.importers.objects import import_object
from edgemill_core.errors import ModelError

FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}
CASES: dict[str, tuple[dict[str, Any], int, float]] = {
    "two classes": ({"objective": "binary"}, 2, 0.0),
    "a steeper sigmoid": ({"objective": "binary", "sigmoid": 2.0}, 2, 0.0),
    "three classes": ({"objective": "multiclass", "num_class": 3}, 3, 4e-16),
    "one against all": ({"objective": "multiclassova", "num_class": 3}, 3, 4e-16),
    "a probability": ({"objective": "cross_entropy"}, 1, 0.0),
    "a rate": ({"objective": "cross_entropy_lambda"}, 1, 1e-15),
    "counts": ({"objective": "poisson"}, 1, 0.0),
    "roots": ({"objective": "regression", "reg_sqrt": True}, 1, 0.0),
    "more trees than one thread adds": ({"objective": "regression"}, 1, 0.0),
    "a forest": ({"objective": "binary", **FOREST}, 2, 0.0),
    "dropped trees": ({"objective": "binary", "boosting": "dart"}, 2, 0.0),
}
"""Settings, classes, and how far the last operation may be from LightGBM's, relatively."""


def trained(settings: dict[str, Any], classes: int, trees: int = 30, **data: Any) -> lightgbm.Booster:
    rows, kinds = make_rows(400, 1)
    labels = kinds if classes == 3 else two_of(kinds)
    told = {"num_leaves": 6, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **settings}
    return lightgbm.train(told, lightgbm.Dataset(rows, labels, feature_name=list(COLUMNS), params=told, **data), trees)


@pytest.mark.parametrize("what", CASES)
def test_lightgbm_gives_the_same(tmp_path: Path, what: str) -> None:
    settings, classes, most = CASES[what]
    booster = trained(settings, classes, 120 if what.startswith("more") else 30)
    booster.save_model(tmp_path / "model.txt")
    rows = np.concatenate([make_rows(300, 7)[0], edges(read_lightgbm(booster.model_to_string()).trees)[::3]])
    expected, found = both(imported(tmp_path, "model.txt", classes), rows, tmp_path)
    by_hand = np.asarray(booster.predict(rows)).reshape(len(rows), -1)
    assert np.array_equal(expected, np.concatenate([1 - by_hand, by_hand], axis=1) if classes == 2 else by_hand)
    assert (np.abs(found - expected) <= most * np.abs(expected)).all()


@pytest.mark.parametrize("value", [-1.0, -2 * ZERO, -ZERO, -ZERO / 2, -5e-324, 0.0, 5e-324, ZERO / 2, ZERO, 2 * ZERO])
def test_what_lightgbm_takes_for_zero_goes_where_zero_goes(value: float) -> None:
    thresholds = np.array([-1.0, -ZERO, -ZERO / 2, 0.0, ZERO / 2, ZERO, 1.0])
    for near in (np.nextafter(value, -1.0), value, np.nextafter(value, 1.0)):
        taken = 0.0 if abs(near) <= ZERO else near
        assert np.array_equal(near <= compared(thresholds), taken <= thresholds)


def test_so_it_is_on_a_model_with_such_a_threshold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((400, 3)) < 0.6, 0.0, rng.normal(size=(400, 3)))
    data = lightgbm.Dataset(rows, rows[:, 0] < 0, feature_name=list(COLUMNS))
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "min_data_in_leaf": 5}, data, 5)
    booster.save_model(tmp_path / "model.txt")
    near = np.array([-2 * ZERO, -ZERO, -ZERO / 3, 0.0, ZERO / 3, ZERO, 2 * ZERO])
    tried = np.stack(np.meshgrid(near, near, near), axis=-1).reshape(-1, 3)
    expected, found = both(imported(tmp_path, "model.txt"), tried, tmp_path)
    assert np.array_equal(expected, found)
    assert len(np.unique(expected[:, 0])) > 1


class Classifier:
    """As LightGBM's scikit-learn interface gives it, without scikit-learn."""

    __module__ = "lightgbm.sklearn"

    def __init__(self, classes: list[Any]) -> None:
        self.classes_, self.booster_ = np.array(classes), trained({"objective": "binary"}, 2)


def test_objects_go_the_same_way(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path, {"function": "made:model"})
    rows = make_rows(50, 3)[0]
    for model in (trained({"objective": "binary"}, 2), Classifier(["good", "worn"]), Classifier([0, 1])):
        native = import_object(model, recipe).native
        assert native is not None
        (expected,) = native({"row": rows})
        booster: Any = getattr(model, "booster_", model)
        assert np.array_equal(expected[:, 1], booster.predict(rows))
    with pytest.raises(ModelError, match=r"what made:model gives \(Classifier\)") as told:
        import_object(Classifier(["worn", "good"]), recipe)
    assert "2 classes: worn, good" in str(told.value)


REFUSED: dict[str, tuple[dict[str, Any], int, dict[str, Any], str]] = {
    "logits": ({"objective": "binary"}, 2, {"head": "logits"}, "add head: probabilities"),
    "another number of classes": ({"objective": "multiclass", "num_class": 3}, 2, {}, "3 classes"),
    "classes for values": ({"objective": "multiclass", "num_class": 3}, 1, {}, "name: classification"),
    "values for classes": ({"objective": "regression"}, 2, {}, "binary, multiclass"),
    "an objective that nobody knows": ({"objective": "none"}, 1, {}, "objective"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_task_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    settings, classes, task, said = REFUSED[what]
    if settings["objective"] == "none":
        text = (
            trained({"objective": "regression"}, 1).model_to_string().replace("objective=regression", "objective=own")
        )
        (tmp_path / "model.txt").write_text(text)
    else:
        trained(settings, settings.get("num_class", 1), 3).save_model(tmp_path / "model.txt")
    recipe = recipe_in(tmp_path, "model.txt", classes)
    changed = recipe.model_copy(update={"task": {**recipe.task, **task}})
    with pytest.raises(ModelError, match=said) as told:
        import_model(changed)
    assert "model.txt" in str(told.value)


def test_openvino_is_refused_where_there_are_trees(tmp_path: Path) -> None:
    trained({"objective": "binary"}, 2, 3).save_model(tmp_path / "model.txt")
    target = {"runtime": "openvino", "precisions": ["fp64"]}
    with pytest.raises(ModelError, match="openvino, which has no TreeEnsemble"):
        import_model(recipe_in(tmp_path, "model.txt", targets=[target]))
