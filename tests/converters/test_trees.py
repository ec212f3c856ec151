"""LightGBM models in: the same bits out, and what cannot be exact is refused."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
from tiny_trees import FEATURES, make_rows, train, write_table, write_tree_recipe

from edgemill_converters.build import build
from edgemill_converters.building import Step
from edgemill_converters.building.planning import BuildPlan
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Outcome
from edgemill_core.errors import BudgetError, DataError, InputError, ModelError, RecipeError
from edgemill_core.verdict import Decision
from edgemill_runtimes.engines import load
from edgemill_runtimes.pipeline import open_pipeline
from edgemill_runtimes.proof import frames_hold, prove


@pytest.fixture(scope="module")
def built_trees(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("trees")
    return build(write_tree_recipe(folder), folder)


def imported(folder: Path, **changes: Any) -> ImportedModel:
    return import_model(read_recipe(write_tree_recipe(folder, **changes)))


def thresholds(node: dict[str, Any]) -> Iterator[tuple[int, float]]:
    if "threshold" in node:
        yield node["split_feature"], node["threshold"]
        yield from thresholds(node["left_child"])
        yield from thresholds(node["right_child"])


def edges(model: lightgbm.Booster) -> np.ndarray:
    """Rows that lie on each threshold, and one bit to either side."""
    rows = []
    for tree in model.dump_model()["tree_info"]:
        for feature, threshold in thresholds(tree["tree_structure"]):
            for value in (np.nextafter(threshold, -np.inf), threshold, np.nextafter(threshold, np.inf)):
                row = make_rows(1, len(rows))[0][0]
                row[feature] = value
                rows.append(row)
    return np.array(rows)


def test_every_bit_is_lightgbms_own_on_all_thresholds_and_random_rows(tmp_path: Path) -> None:
    model = imported(tmp_path)
    onnx.checker.check_model(model.proto)
    onnx.save(model.proto, tmp_path / "trees.onnx")
    boosters = [lightgbm.Booster(model_file=str(path)) for path in sorted(tmp_path.glob("q-*.txt"))]
    rows = np.concatenate([make_rows(3000, 7)[0], *map(edges, boosters)])
    assert model.native is not None
    (expected,) = model.native({"row": rows})
    by_hand = np.stack([booster.predict(rows) for booster in boosters], axis=1) * rows[:, :1]
    assert np.array_equal(expected, by_hand)
    with load("onnxruntime", tmp_path / "trees.onnx") as engine:
        found = np.concatenate([engine.run({"row": row[None]})["scores"] for row in rows])
    assert np.array_equal(found.view(np.uint64), expected.view(np.uint64))


def test_a_tree_that_is_a_single_leaf_is_exact_too(tmp_path: Path) -> None:
    recipe = write_tree_recipe(tmp_path)
    train(tmp_path / "q-0.01.txt", 0.01, trees=3, min_data_in_leaf=600)
    model = import_model(read_recipe(recipe))
    onnx.save(model.proto, tmp_path / "trees.onnx")
    rows = make_rows(20, 3)[0]
    assert model.native is not None
    with load("onnxruntime", tmp_path / "trees.onnx") as engine:
        found = np.concatenate([engine.run({"row": row[None]})["scores"] for row in rows])
    assert np.array_equal(found, *model.native({"row": rows}))


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "a function behind the sum": ({"objective": "regression", "reg_sqrt": True}, 3, "regression sqrt"),
    "one of several that is a random forest": (
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        3,
        "averaged",
    ),
    "a linear model in each leaf": ({"linear_tree": True, "objective": "regression"}, 3, "linear model"),
    "zero as missing": ({"zero_as_missing": True}, 3, "missing value"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_not_be_exact_is_refused(tmp_path: Path, what: str) -> None:
    more, trees, said = REFUSED[what]
    recipe = write_tree_recipe(tmp_path)
    train(tmp_path / "q-0.01.txt", 0.01, trees, **more)
    with pytest.raises(ModelError) as caught:
        import_model(read_recipe(recipe))
    assert said in str(caught.value)


def test_categories_are_refused(tmp_path: Path) -> None:
    recipe = write_tree_recipe(tmp_path)
    rows, outcomes = make_rows(600, 1)
    rows[:, 1] = np.random.default_rng(0).integers(0, 5, 600)
    outcomes += 9 * (rows[:, 1] == 3)
    data = lightgbm.Dataset(rows, outcomes, feature_name=list(FEATURES), categorical_feature=["slope"])
    lightgbm.train({"verbose": -1, "min_data_per_group": 5}, data, 3).save_model(tmp_path / "q-0.01.txt")
    with pytest.raises(ModelError, match="cannot be imported as a LightGBM"):
        import_model(read_recipe(recipe))


WRONG_MODEL: dict[str, tuple[dict[str, Any], str]] = {
    "other features": ({"input": {"features": ["scale", "noise", "slope"]}}, "features scale, slope, noise"),
    "scaled by nothing": ({"model": {"file": ["q-0.01.txt", "q-0.025.txt"], "scaled_by": "x"}}, "scaled_by"),
    "files of two kinds": ({"model": {"file": ["q-0.01.txt", "judge.csv"]}}, "files of one kind"),
    "no such file": ({"model": {"file": "gone.txt"}}, "there is no model"),
}


@pytest.mark.parametrize("what", WRONG_MODEL)
def test_a_recipe_that_does_not_fit_the_model_is_refused(tmp_path: Path, what: str) -> None:
    changes, said = WRONG_MODEL[what]
    with pytest.raises(ModelError) as caught:
        imported(tmp_path, **changes)
    assert said in str(caught.value)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    recipe = write_tree_recipe(tmp_path)
    (tmp_path / "q-0.01.txt").write_text("tree\nnot really")
    with pytest.raises(ModelError, match="LightGBM model"):
        import_model(read_recipe(recipe))


def change(pattern: str, by: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, by, text, count=1, flags=re.MULTILINE)


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "cut off": (lambda text: text[: len(text) // 2], "cut off"),
    "empty": (lambda _: "", "empty"),
    "a circle": (change(r"^left_child=\S+", "left_child=0"), "tree 0"),
    "a child beyond": (change(r"^right_child=\S+", "right_child=999"), "a child that is no node"),
    "fewer leaves than it says": (
        change(r"^num_leaves=\d+", "num_leaves=1000000"),
        "leaf_value is not 1000000 numbers",
    ),
    "no thresholds": (change(r"^threshold=.*\n", ""), "no 'threshold'"),
    "a word for a number": (change(r"^leaf_value=\S+", "leaf_value=x"), "tree 0: could not convert"),
    "a feature beyond": (change(r"^split_feature=\d+", "split_feature=77"), "a split by feature 77 of 3"),
    "a newer form": (change("^version=v4", "version=v9"), "version v9"),
    "a tree removed": (change(r"^tree_sizes=\d+ ", "tree_sizes="), "trees, where the header has"),
    "another part among the trees": (change(r"^num_cat=", "parameters:\\nnum_cat="), "'parameters:' among"),
    "no names": (change(r"^feature_names=.*\n", ""), "lacks feature_names"),
    "more features than names": (change(r"^max_feature_idx=\d+", "max_feature_idx=9"), "10 features"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_before_lightgbm_reads_it(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_tree_recipe(tmp_path)
    path = tmp_path / "q-0.01.txt"
    broken, said = BROKEN[what]
    path.write_text(broken(path.read_text()))
    monkeypatch.delattr(lightgbm, "Booster")
    with pytest.raises(ModelError, match=said) as told:
        import_model(read_recipe(recipe))
    assert str(path) in str(told.value)


def test_as_many_outputs_as_levels(tmp_path: Path) -> None:
    recipe = write_tree_recipe(tmp_path, model={"file": ["q-0.01.txt"]})
    with pytest.raises(ModelError, match="does not give what task"):
        build(recipe, tmp_path)


WRONG_RECIPE: dict[str, tuple[dict[str, Any], str]] = {
    "pictures to judge": ({"data": {"judge": {"labels": "x"}}}, "rows: under data:"),
    "an INT8 tree": ({"targets": [{"runtime": "onnxruntime"}]}, "fp64"),
    "a floor for a loss": ({"budget": [{"metric": "pinball_loss", "max_drop": 0.01, "floor": 0.5}]}, "floor"),
    "a metric of another task": ({"budget": [{"metric": "escape_rate", "max_drop": 0.01}]}, "pinball_loss"),
    "a feature twice": ({"input": {"features": ["a", "a"]}}, "twice: a"),
}


@pytest.mark.parametrize("what", WRONG_RECIPE)
def test_a_recipe_that_cannot_be_meant_names_the_key(tmp_path: Path, what: str) -> None:
    changes, said = WRONG_RECIPE[what]
    with pytest.raises(RecipeError) as caught:
        read_recipe(write_tree_recipe(tmp_path, **changes))
    assert said in str(caught.value)


def rewrite(path: Path, line: int, cells: list[str]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[line] = cells
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["x", "1", "2", "oops", "3"], "noise is 'oops'"),
        (["x", "1", "2", "3"], "4 cells"),
        (["00000", "1", "2", "3", "4"], "names a row twice"),
        (["x", "-1", "2", "3", "4"], "cannot be used"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(tmp_path: Path, cells: list[str], said: str) -> None:
    recipe = write_tree_recipe(tmp_path)
    rewrite(tmp_path / "judge.csv", 2, cells)
    with pytest.raises(DataError) as caught:
        build(recipe, tmp_path)
    assert said in str(caught.value)


def test_a_table_without_outcomes_or_without_anything(tmp_path: Path) -> None:
    recipe = write_tree_recipe(tmp_path)
    write_table(tmp_path / "judge.csv", 5, 1, outcomes=False)
    with pytest.raises(DataError, match=r"metric pinball_loss needs labels .*\n.*add the column `outcome`"):
        build(recipe, tmp_path)
    (tmp_path / "judge.csv").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        build(recipe, tmp_path)


def test_the_bundle_gives_lightgbms_figures_and_proves_itself(built_trees: BuildResult) -> None:
    bundle = built_trees.bundle
    assert bundle is not None
    (variant,) = built_trees.variants
    assert variant.ruling.outcome is Outcome.PASS
    assert variant.ruling.judgements[0].drop_upper_bound == 0.0
    assert [said.reading for said in variant.verdicts] == [said.reading for said in built_trees.reference]
    assert set(variant.measurement.layers) == {"fp64"}
    proof = prove(bundle, bundle.model.variants[0])
    assert proof.holds
    assert proof.largest_difference == 0.0
    assert frames_hold(bundle)
    with open_pipeline(bundle) as pipeline:
        said = pipeline({"scale": 1.0, "slope": 0.0, "noise": 0.0})
        assert said.decision is Decision.SCORE
        with pytest.raises(InputError, match="takes something else"):
            pipeline(np.zeros((4, 4, 3), np.uint8))


def test_the_report_speaks_of_losses_and_numbers(built_trees: BuildResult) -> None:
    page = built_trees.report.read_text()
    assert "pinball loss" in page
    assert "3 numbers: scale, slope, noise" in page
    assert "Where verdicts flip" not in page
    assert "A loss is compared by its mean" in page


def test_a_worse_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(plan: BuildPlan, name: str, done: Any) -> Step:
        step = judged(plan, name, done)
        file = tmp_path / "spoiled.npy"
        np.save(file, 3 * np.load(str(step.given["outputs"])))
        return replace(step, given={**step.given, "outputs": file})

    judged = BuildPlan._judge
    monkeypatch.setattr(BuildPlan, "_judge", spoiled)
    with pytest.raises(BudgetError, match="no variant inside the budget"):
        build(write_tree_recipe(tmp_path), tmp_path)
