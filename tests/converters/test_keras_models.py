"""Keras 3 models: compared with Keras itself; and no code in a file runs."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from onnx.reference import ReferenceEvaluator
from tiny_tensors import LENGTH, WORDS, write_numbers_recipe, write_words_recipe

from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import ModelError

os.environ["KERAS_BACKEND"] = "torch"
pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'edgemill[keras]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'edgemill[keras]'")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def imported(recipe: Path) -> ImportedModel:
    return import_model(read_recipe(recipe))


def picture_recipe(folder: Path, model: Any) -> Path:
    recipe = {
        "name": "look",
        "version": "1.0.0",
        "task": {"name": "image-classification", "classes": ["a", "b"], "fit": ["a"]},
        "model": model,
        "input": {"size": [16, 12], "layout": "nhwc"},
        "data": {"judge": {"labels": "judge"}},
        "budget": [{"metric": "class_rate", "max_drop": 0.1}],
        "targets": [{"runtime": "onnxruntime", "precisions": ["fp32"]}],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"


@pytest.fixture
def pictures() -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((12, 16, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


def test_a_saved_model_is_what_keras_makes_of_it(tmp_path: Path, pictures: Any) -> None:
    pictures.save(tmp_path / "look.keras")
    found = imported(picture_recipe(tmp_path, "look.keras"))
    assert found.framework.startswith(f"keras {keras.__version__} on torch")
    assert found.native is not None
    given = np.random.default_rng(0).random((1, 12, 16, 3), np.float32)
    (expected,) = found.native({"image": given})
    np.testing.assert_allclose(expected, pictures.predict(given, verbose=0), atol=1e-6)
    (ours,) = ReferenceEvaluator(found.proto).run(None, {"image": given})
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_several_inputs_go_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        f"""
import keras
def model():
    keras.utils.set_random_seed(3)
    ids = keras.Input(({LENGTH},), name="ids", dtype="int64")
    mask = keras.Input(({LENGTH},), name="mask", dtype="int64")
    kept = keras.ops.cast(mask, "float32")[..., None]
    mean = keras.ops.mean(keras.layers.Embedding({WORDS}, 8)(ids) * kept, axis=1)
    return keras.Model({{"mask": mask, "ids": ids}}, keras.layers.Dense(2)(mean))
"""
    )
    kinds = {name: {"shape": [1, LENGTH], "dtype": "int64"} for name in ("ids", "mask")}
    found = imported(write_words_recipe(tmp_path, model="made:model", input={"tensors": kinds}))
    assert found.native is not None
    given = {"ids": np.arange(LENGTH)[None] % WORDS, "mask": (np.arange(LENGTH) < 5).astype(np.int64)[None]}
    (expected,) = found.native(given)
    (ours,) = ReferenceEvaluator(found.proto).run(None, given)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    name = str(ran)
    layers = [keras.layers.Input((3,)), keras.layers.Lambda(lambda x: (open(name, "w"), x)[1], output_shape=(3,))]  # noqa: SIM115
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Sequential(layers).save(tmp_path / "code.keras")
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"code\.keras") as told:
        imported(write_numbers_recipe(tmp_path, model="code.keras"))
    assert "unsafe" in told.value.got
    assert not ran.exists()


@pytest.mark.parametrize("how", ["cut", "bomb", "other"])
def test_a_damaged_file_is_named(tmp_path: Path, pictures: Any, how: str) -> None:
    path = tmp_path / "look.keras"
    pictures.save(path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif how == "other":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    else:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("assets/zeros", bytes(1 << 26))
    with pytest.raises(ModelError, match=r"look\.keras") as told:
        imported(picture_recipe(tmp_path, "look.keras"))
    assert how != "bomb" or "would unpack to" in told.value.got
