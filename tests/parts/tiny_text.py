"""A tiny text model that really reads, and pictures for it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from edgemill_runtimes.frames import encode_png

CELL, CELLS = 8, 4
INK = {"A": (0, 0, 255), "B": (0, 255, 0), "": (0, 0, 0)}
"""A is a red cell and B a green one (blue-green-red); every second cell is empty."""


def tiny_model(opset: int = 13) -> onnx.ModelProto:
    """Mean colour of each cell, one convolution, softmax: ``x: float[n, 3, h, w]`` to ``[n, w / 8, 3]``."""
    weights = np.array([[-20, -20, -20], [30, -10, -10], [-10, 30, -10]], np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["mean"], "pool", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["mean", "w", "b"], ["scores"], "conv"),
        helper.make_node("Squeeze", ["scores", "two"], ["row"], "squeeze"),
        helper.make_node("Transpose", ["row"], ["steps"], "transpose", perm=[0, 2, 1]),
        helper.make_node("Softmax", ["steps"], ["p"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", "steps", 3])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([8, -8, -8], np.float32), "b"),
            numpy_helper.from_array(np.array([2], np.int64), "two"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "letters", "A\nB"
    return model


def picture(code: str, rng: np.random.Generator) -> np.ndarray:
    """``uint8[8, 32, 3]``: letters in the first and third cell, with noise."""
    image = np.zeros((CELL, CELL * CELLS, 3), np.int16)
    for place, letter in enumerate(code):
        image[:, 2 * place * CELL : (2 * place + 1) * CELL] = INK[letter]
    noisy = image + rng.integers(-20, 21, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def write_set(folder: Path, count: int, seed: int) -> None:
    """``count`` pictures, every second one bad: printed is then another code than expected."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    codes = ["AA", "AB", "BA", "BB"]
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "expected", "good", "printed"])
        for index in range(count):
            expected = codes[int(rng.integers(4))]
            printed = expected if index % 2 == 0 else str(rng.choice([c for c in codes if c != expected]))
            (folder / f"{index:04d}.png").write_bytes(encode_png(picture(printed, rng)))
            table.writerow([f"{index:04d}.png", expected, int(printed == expected), printed])


RECIPE: dict[str, Any] = {
    "name": "tiny",
    "version": "1.0.0",
    "task": {"name": "text-recognition", "alphabet": "AB"},
    "model": {"file": "tiny.onnx", "classes": "letters"},
    "input": {"size": [32, 8], "normalise": {"mean": [0], "std": [255]}},
    "data": {"calibration": {"labels": "calibration"}, "judge": {"labels": "judge"}},
    "budget": [{"metric": "escape_rate", "max_drop": 0.05}, {"metric": "overkill_rate", "max_drop": 0.05}],
    "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino"}],
    "gates": {"slower": "allow"},  # microseconds tell nothing
}


def write_workshop(place: Path, judge: int = 150, **changes: Any) -> Path:
    """Model, pictures and recipe in ``place``; returns the recipe's path."""
    onnx.save(tiny_model(), place / "tiny.onnx")
    write_set(place / "calibration", 8, 1)
    write_set(place / "judge", judge, 2)
    path = place / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
    return path
