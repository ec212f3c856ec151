"""TensorFlow SavedModels: compared with TensorFlow itself; and what reaches files is refused."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tiny_tensors import write_numbers_recipe

from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import ModelError

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install 'edgemill[tensorflow]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install 'edgemill[tensorflow]'")


def imported(folder: Path) -> ImportedModel:
    return import_model(read_recipe(write_numbers_recipe(folder, model={"file": "saved", "output": "y"})))


def save(folder: Path, work: Any) -> Path:
    """A SavedModel of ``x: float32[n, 3]`` that gives ``y = work(x)`` and ``a``."""

    class Model(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.weights = tf.Variable(np.random.default_rng(1).normal(size=(3, 1)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return {"y": work(x) @ self.weights, "a": x * 2}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf.saved_model.save(Model(), str(folder / "saved"))
    return folder / "saved"


def test_a_folder_is_what_tensorflow_makes_of_it(tmp_path: Path) -> None:
    save(tmp_path, tf.nn.relu)
    found = imported(tmp_path)
    assert found.framework.startswith("tensorflow 2.")
    assert found.exporter.startswith("tf2onnx 1.")
    assert found.native is not None
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    (expected,) = found.native({"x": rows})
    assert expected.shape == (4, 1)
    (ours,) = ReferenceEvaluator(found.proto).run(None, {"x": rows})
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert [value.name for value in found.proto.graph.output] == ["y"]


def test_what_reaches_files_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    def write(x: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "ran"), "x")]):
            return tf.identity(x)

    save(tmp_path, write)
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"saved_model\.pb") as told:
        imported(tmp_path)
    assert told.value.got == "WriteFile"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_folder_is_named(tmp_path: Path, file: str) -> None:
    path = save(tmp_path, tf.nn.relu) / file
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ModelError, match="saved"):
        imported(tmp_path)
