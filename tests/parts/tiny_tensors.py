"""A tiny model of words and one of numbers, samples of generated data, and recipes around them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

WORDS, LENGTH, WIDTH = 40, 12, 16
OF_THE_SET = [
    {"metric": name, "max_drop": 0.2, "floor": 0.5}
    for name in ("precision", "recall", "f1", "f1@angry", "auroc", "calibration_error")
]
COLUMNS = ("torque", "speed", "wear")


def words(seed: int = 5) -> onnx.ModelProto:
    """Mean of the embeddings of the words that the mask keeps, to two logits; ``scale`` multiplies them."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(WORDS, WIDTH)).astype(np.float32)
    weights = {
        "table": table,
        "w": rng.normal(size=(WIDTH, 2)).astype(np.float32),
        "last": np.array([-1], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["embedded"], "look-up", axis=0),
        helper.make_node("Cast", ["mask"], ["kept"], "kept", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["wide"], "widen"),
        helper.make_node("Mul", ["embedded", "wide"], ["some"], "some"),
        helper.make_node("ReduceSum", ["some", "one"], ["sum"], "sum", keepdims=0),
        helper.make_node("MatMul", ["sum", "w"], ["bare"], "product"),
        helper.make_node("Mul", ["bare", "scale"], ["logits"], "scaled"),
    ]
    inputs = [("ids", TensorProto.INT64, ["n", "l"]), ("mask", TensorProto.INT64, ["n", "l"])]
    return _model(nodes, [*inputs, ("scale", TensorProto.FLOAT, [])], ("logits", ["n", 2]), weights)


def numbers(outputs: int, seed: int = 6) -> onnx.ModelProto:
    """Two layers over ``float32[n, 3]``."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(size=(len(COLUMNS), 8)).astype(np.float32),
        "b1": rng.normal(size=8).astype(np.float32),
        "w2": rng.normal(size=(8, outputs)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"], "first"),
        helper.make_node("Relu", ["hidden"], ["some"], "relu"),
        helper.make_node("MatMul", ["some", "w2"], ["y"], "second"),
    ]
    return _model(nodes, [("x", TensorProto.FLOAT, ["n", len(COLUMNS)])], ("y", ["n", outputs]), weights)


def _model(nodes: list[Any], inputs: list[Any], output: tuple[str, list[Any]], weights: dict[str, Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_words(folder: Path, count: int, seed: int) -> None:
    """Samples as ``.npz`` with their labels, which are the model's own words."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    model = ReferenceEvaluator(words())
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "good", "class"])
        for number in range(count):
            mask = (np.arange(LENGTH) < rng.integers(3, LENGTH)).astype(np.int64)[None]
            ids = rng.integers(0, WORDS, (1, LENGTH)) * mask
            np.savez(folder / f"{number:03d}.npz", ids=ids, mask=mask)
            (logits,) = model.run(None, {"ids": ids, "mask": mask, "scale": np.float32(2)})
            best = int(logits.argmax())
            writer.writerow([f"{number:03d}.npz", int(best == 0), ("calm", "angry")[best]])


def write_rows(path: Path, count: int, seed: int, outputs: int) -> None:
    """Rows with what the model itself says of them as ``outcome``."""
    rows = np.random.default_rng(seed).normal(size=(count, len(COLUMNS))).astype(np.float32)
    (said,) = ReferenceEvaluator(numbers(outputs)).run(None, {"x": rows})
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *COLUMNS, "outcome"])
        for number, (row, values) in enumerate(zip(rows, said, strict=True)):
            writer.writerow([f"{number:04d}", *map(repr, map(float, row)), repr(float(values[0]) + 0.5)])


def write_words_recipe(folder: Path, **changes: Any) -> Path:
    onnx.save(words(), folder / "words.onnx")
    write_words(folder / "judge", 120, 1)
    write_words(folder / "calibration", 20, 2)
    tensors = {"ids": {"shape": [1, LENGTH], "dtype": "int64"}, "mask": {"shape": [1, LENGTH], "dtype": "int64"}}
    recipe = {
        "name": "mood",
        "version": "1.0.0",
        "task": {"name": "classification", "classes": ["calm", "angry"], "fit": ["calm"]},
        "model": "words.onnx",
        "input": {"tensors": tensors, "fixed": {"scale": 2.0}},
        "data": {"judge": {"labels": "judge"}, "calibration": {"labels": "calibration"}},
        "budget": [{"metric": "class_rate", "max_drop": 0.05}, *OF_THE_SET],
        "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino", "precisions": ["fp32"]}],
        "gates": {"slower": "allow", "unfused": 99},
        **changes,
    }
    return _write(folder, recipe)


def write_numbers_recipe(folder: Path, **changes: Any) -> Path:
    onnx.save(numbers(1), folder / "numbers.onnx")
    write_rows(folder / "judge.csv", 200, 1, 1)
    recipe = {
        "name": "wear",
        "version": "1.0.0",
        "task": {"name": "regression", "values": ["hours"], "unit": "h"},
        "model": "numbers.onnx",
        "input": {"features": list(COLUMNS)},
        "data": {"judge": {"rows": "judge.csv"}},
        "budget": [{"metric": "absolute_error", "max_drop": 0.05}],
        "targets": [{"runtime": one, "precisions": ["fp32"]} for one in ("onnxruntime", "openvino")],
        **changes,
    }
    return _write(folder, recipe)


def _write(folder: Path, recipe: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
