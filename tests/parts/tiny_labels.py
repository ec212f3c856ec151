"""Pictures of parts with a label on them, a tiny detector that really finds it, and a chain that reads it.

A blue cell marks a label; the text of ``tiny_text`` follows at its right. A white cell is a scratch. Frames are twice
as large as what the detector sees.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tiny_text
import yaml
from onnx import TensorProto, helper, numpy_helper

from edgemill_runtimes.frames import encode_png

SIDE, CELL, SCALE = 64, 8, 2
CELLS = SIDE // CELL
CLASSES = ["label", "scratch"]
FIND: dict[str, Any] = {
    "name": "object-detection",
    "classes": CLASSES,
    "head": "detections",
    "band": {"uncertain_from": 0.3, "sure_from": 0.6},
    "rules": [{"classes": ["scratch"], "at_most": 0}, {"classes": ["label"], "at_least": 1}],
}
CHAIN: list[dict[str, Any]] = [
    {"name": "find", "bundle": "find-1.0.0"},
    {"name": "read", "bundle": "tiny-1.0.0", "crops_of": "find", "classes": ["label"], "required": 1},
]


def finder() -> onnx.ModelProto:
    """Two boxes a cell, the text beside a label and a scratch: ``float[1, 128, 6]``."""
    weights = np.array([[-15, -15, 30], [12, 12, 12]], np.float32).reshape(2, 3, 1, 1)
    y, x = (grid.ravel() * np.float32(CELL) for grid in np.meshgrid(*[np.arange(CELLS)] * 2, indexing="ij"))
    label = np.stack([x + CELL, y, x + 5 * CELL, y + CELL], axis=1)
    scratch = np.stack([x, y, x + CELL, y + CELL], axis=1)
    boxes = np.concatenate([label, scratch])[None].astype(np.float32) / SIDE
    nothing = np.zeros((1, CELLS**2, 1), np.float32)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["mean"], "pool", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["mean", "w", "b"], ["logits"], "conv"),
        helper.make_node("Reshape", ["logits", "flat"], ["row"], "row"),
        helper.make_node("Sigmoid", ["row"], ["likely"], "likely"),
        helper.make_node("Transpose", ["likely"], ["scores"], "turn", perm=[0, 2, 1]),
        helper.make_node("Split", ["scores", "each"], ["of_label", "of_scratch"], "split", axis=2),
        helper.make_node("Concat", ["of_label", "nothing"], ["upper"], "upper", axis=2),
        helper.make_node("Concat", ["nothing", "of_scratch"], ["lower"], "lower", axis=2),
        helper.make_node("Concat", ["upper", "lower"], ["both"], "both", axis=1),
        helper.make_node("Concat", ["boxes", "both"], ["found"], "found", axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "labels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, [1, 2 * CELLS**2, 6])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([-12, -27], np.float32), "b"),
            numpy_helper.from_array(np.array([1, 2, CELLS**2], np.int64), "flat"),
            numpy_helper.from_array(np.array([1, 1], np.int64), "each"),
            numpy_helper.from_array(boxes, "boxes"),
            numpy_helper.from_array(nothing, "nothing"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


Place = tuple[int, int]


def part(labels: Sequence[tuple[Place, str]], scratches: Sequence[Place], rng: np.random.Generator) -> np.ndarray:
    """``uint8[128, 128, 3]`` with labels and scratches at columns and rows of cells, and noise."""
    image = np.full((SIDE, SIDE, 3), 40, np.int16)
    for (column, row), code in labels:
        y, x = row * CELL, column * CELL
        image[y : y + CELL, x : x + CELL] = (255, 0, 0)
        image[y : y + CELL, x + CELL : x + 5 * CELL] = tiny_text.picture(code, np.random.default_rng(0))
    for column, row in scratches:
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255
    large = image.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    return np.clip(large + rng.integers(-12, 13, large.shape), 0, 255).astype(np.uint8)


def write_parts(folder: Path, count: int, seed: int) -> None:
    """Every second part is bad: another code than expected, no label at all, or a scratch."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    codes = ["AA", "AB", "BA", "BB"]
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "expected", "good", "why"])
        for index in range(count):
            expected = codes[int(rng.integers(4))]
            why = "" if index % 2 == 0 else ("code", "none", "scratch")[index // 2 % 3]
            code = expected if why != "code" else codes[(codes.index(expected) + 1) % 4]
            place = (int(rng.integers(4)), int(rng.integers(CELLS - 1)))
            scratches = [(int(rng.integers(CELLS)), CELLS - 1)] if why == "scratch" else []
            image = part([] if why == "none" else [(place, code)], scratches, rng)
            (folder / f"{index:04d}.png").write_bytes(encode_png(image))
            table.writerow([f"{index:04d}.png", expected, int(not why), why])


def write_find_recipe(place: Path) -> Path:
    """Model, pictures and recipe of the finder; its own judge is told nothing of codes."""
    onnx.save(finder(), place / "find.onnx")
    write_parts(place / "calibration", 8, 1)
    write_parts(place / "find-judge", 140, 2)
    with (place / "find-judge" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{row['file']},{int(row['why'] in ('', 'code'))}" for row in rows]
    (place / "find-judge" / "labels.csv").write_text("\n".join(["file,good", *lines]) + "\n")
    recipe = {
        "name": "find",
        "version": "1.0.0",
        "task": FIND,
        "model": "find.onnx",
        "input": {"size": [SIDE, SIDE], "normalise": {"mean": [0], "std": [255]}},
        "data": {"calibration": {"pictures": "calibration"}, "judge": {"labels": "find-judge"}},
        "budget": [{"metric": "escape_rate", "max_drop": 0.08}, {"metric": "overkill_rate", "max_drop": 0.05}],
        "targets": [
            {"runtime": "onnxruntime", "precisions": ["int8"]},
            {"runtime": "openvino", "precisions": ["fp32"]},
        ],
        "gates": {"slower": "allow"},  # microseconds tell nothing
    }
    path = place / "find.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def write_chain_recipe(place: Path, find: Path, read: Path, judge: int = 130, **changes: Any) -> Path:
    """A recipe that names the bundles ``find`` and ``read``, with its judge's pictures; returns its path."""
    for bundle in (find, read):
        if not (place / bundle.name).exists():
            os.symlink(bundle, place / bundle.name)
    if not (place / "judge").exists():
        write_parts(place / "judge", judge, 3)
    recipe = {
        "name": "labels",
        "version": "1.0.0",
        "chain": CHAIN,
        "data": {"judge": {"labels": "judge"}},
        "budget": [{"metric": "escape_rate", "at_most": 0.05}, {"metric": "overkill_rate", "at_most": 0.05}],
        **changes,
    }
    path = place / "chain.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
