"""Boards with red and green spots on them, and tiny models that really find, name and mark those."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from edgemill_runtimes.frames import encode_png

SIDE, CELL = 64, 8
CELLS = SIDE // CELL
KINDS = {"short": (0, 0, 255), "open": (0, 255, 0)}
"""A defect fills one cell with its colour (blue-green-red)."""


def _scored(kinds: Sequence[str] = tuple(KINDS)) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Logits of each kind for each cell: ``logits: float[1, kinds, CELLS, CELLS]``; of other kinds there are none."""
    rows = {"short": [30, -15, -15], "open": [-15, 30, -15]}
    weights = np.array([rows.get(kind, [0, 0, 0]) for kind in kinds], np.float32).reshape(len(kinds), 3, 1, 1)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["mean"], "pool", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["mean", "w", "b"], ["logits"], "conv"),
    ]
    return nodes, [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.full(len(kinds), -10, np.float32), "b"),
    ]


def _model(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], outputs: dict[str, list[int]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "boards",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def detector(head: str, kinds: Sequence[str] = tuple(KINDS)) -> onnx.ModelProto:
    """A box a cell, in the layout of ``head``."""
    nodes, weights = _scored(kinds)
    many = len(kinds)
    middle = (np.arange(CELLS) + 0.5) * CELL
    y, x = np.meshgrid(middle, middle, indexing="ij")
    centres = np.stack([x.ravel(), y.ravel(), *np.full((2, CELLS**2), float(CELL))]).astype(np.float32)
    corners = np.concatenate([centres[:2] - CELL / 2, centres[:2] + CELL / 2]).astype(np.float32)
    boxes = {"yolov8": centres[None], "yolov5": centres.T[None], "boxes-scores": corners.T[None]}
    boxes["detections"] = (corners / np.float32(SIDE)).T[None]
    weights += [
        numpy_helper.from_array(np.ascontiguousarray(boxes[head]), "boxes"),
        numpy_helper.from_array(np.array([1, many, CELLS**2], np.int64), "flat"),
        numpy_helper.from_array(np.full((1, CELLS**2, 1), 0.9, np.float32), "anything"),
    ]
    nodes += [
        helper.make_node("Reshape", ["logits", "flat"], ["row"], "row"),
        helper.make_node("Sigmoid", ["row"], ["likely"], "likely"),
    ]
    if head == "yolov8":
        nodes.append(helper.make_node("Concat", ["boxes", "likely"], ["found"], "found", axis=1))
        return _model(nodes, weights, {"found": [1, 4 + many, CELLS**2]})
    nodes.append(helper.make_node("Transpose", ["likely"], ["scores"], "turn", perm=[0, 2, 1]))
    if head == "boxes-scores":
        nodes.append(helper.make_node("Identity", ["boxes"], ["corners"], "corners"))
        return _model(nodes, weights, {"corners": [1, CELLS**2, 4], "scores": [1, CELLS**2, many]})
    parts = ["boxes", "anything", "scores"] if head == "yolov5" else ["boxes", "scores"]
    nodes.append(helper.make_node("Concat", parts, ["found"], "found", axis=2))
    return _model(nodes, weights, {"found": [1, CELLS**2, many + (5 if head == "yolov5" else 4)]})


def marker() -> onnx.ModelProto:
    """Logits for every cell."""
    nodes, weights = _scored()
    return _model(nodes, weights, {"logits": [1, 2, CELLS, CELLS]})


def namer() -> onnx.ModelProto:
    """Logits for the whole picture: short, open, clean."""
    nodes, weights = _scored()
    weights.append(numpy_helper.from_array(np.zeros((1, 1), np.float32), "none"))
    nodes += [
        helper.make_node("GlobalMaxPool", ["logits"], ["most"], "most"),
        helper.make_node("Flatten", ["most"], ["two"], "two"),
        helper.make_node("Concat", ["two", "none"], ["three"], "three", axis=1),
    ]
    return _model(nodes, weights, {"three": [1, 3]})


def board(defects: list[tuple[int, int, str]], rng: np.random.Generator) -> np.ndarray:
    """``uint8[SIDE, SIDE, 3]`` with a defect at each column and row of cells, and noise."""
    image = np.full((SIDE, SIDE, 3), 40, np.int16)
    for column, row, kind in defects:
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = KINDS[kind]
    return np.clip(image + rng.integers(-20, 21, image.shape), 0, 255).astype(np.uint8)


def write_boards(folder: Path, count: int, seed: int) -> None:
    """``count`` boards, every second one with one to three defects; of one kind, so that it has a class."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "good", "class"])
        for index in range(count):
            kind = str(rng.choice(list(KINDS)))
            places = rng.choice(CELLS**2, size=int(rng.integers(1, 4)) * (index % 2), replace=False)
            defects = [(int(place) % CELLS, int(place) // CELLS, kind) for place in places]
            (folder / f"{index:04d}.png").write_bytes(encode_png(board(defects, rng)))
            table.writerow([f"{index:04d}.png", int(not defects), kind if defects else "clean"])


def write_board_recipe(place: Path, model: onnx.ModelProto, task: dict[str, Any], judge: int = 140) -> Path:
    """Model, pictures and recipe in ``place``; returns the recipe's path."""
    onnx.save(model, place / "boards.onnx")
    write_boards(place / "calibration", 8, 1)
    write_boards(place / "judge", judge, 2)
    recipe = {
        "name": "boards",
        "version": "1.0.0",
        "task": task,
        "model": "boards.onnx",
        "input": {"size": [SIDE, SIDE], "normalise": {"mean": [0], "std": [255]}},
        "data": {"calibration": {"pictures": "calibration"}, "judge": {"labels": "judge"}},
        "budget": [{"metric": "escape_rate", "max_drop": 0.05}, {"metric": "overkill_rate", "max_drop": 0.05}],
        "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino"}],
        "gates": {"slower": "allow"},  # microseconds tell nothing
    }
    path = place / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def write_coco(folder: Path, count: int, seed: int) -> Path:
    """``count`` boards with one or two defects each, labelled in COCO's form; returns the JSON's path."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for index in range(count):
        places = rng.choice(CELLS**2, size=int(rng.integers(1, 3)) * (index % 4 > 0), replace=False)
        defects = [(int(p) % CELLS, int(p) // CELLS, str(rng.choice(list(KINDS)))) for p in places]
        (folder / f"{index:04d}.png").write_bytes(encode_png(board(defects, rng)))
        images.append({"id": index, "file_name": f"{index:04d}.png", "width": SIDE, "height": SIDE})
        for column, row, kind in defects:
            box = [column * CELL, row * CELL, CELL, CELL]
            number = len(annotations)
            annotations.append({"id": number, "image_id": index, "category_id": kind, "bbox": box, "iscrowd": 0})
    categories = [{"id": kind, "name": kind} for kind in KINDS]
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
