"""Generated pairs in DeepPCB's layout, and tiny models that really find and name their defects.

A board is dark with two bright traces. A defect fills one cell: a short is copper where there was none, an open the
other way round; what a part has more than its template, or less, is all that the models look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_runtimes.frames import encode_png

SIDE, CELL, PATCH = 128, 8, 96
CELLS = SIDE // CELL
KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
BOARD, COPPER = 60, 180
TRACES = (4, 5, 10, 11)
"""Columns of cells."""


def write_pairs(folder: Path, boards: Sequence[str], each: int, seed: int) -> None:
    """``each`` pairs of every board, with three opens and three shorts a part."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    template = np.full((CELLS, CELLS), BOARD)
    template[:, TRACES] = COPPER
    for name in [f"{number}{index:03d}" for number in boards for index in range(each)]:
        test, lines = template.copy(), []
        for row, column in [place for copper in (True, False) for place in _places(template, copper, rng)]:
            copper = template[row, column] == COPPER
            test[row, column] = BOARD if copper else COPPER
            left, top = column * CELL, row * CELL
            lines.append(f"{left} {top} {left + CELL} {top + CELL} {1 if copper else 2}")
        (folder / f"{name}_test.jpg").write_bytes(_picture(test, rng))
        (folder / f"{name}_temp.jpg").write_bytes(_picture(template, rng))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_models(folder: Path) -> None:
    """``detector.onnx`` and ``classifier.onnx``, as if they had been trained; for shares of 255, blue first."""
    folder.mkdir(parents=True)
    onnx.save(_detector(), folder / "detector.onnx")
    onnx.save(_classifier(), folder / "classifier.onnx")


def _places(template: np.ndarray, copper: bool, rng: np.random.Generator) -> list[list[int]]:
    there = np.argwhere((template == COPPER) == copper)
    found: list[list[int]] = rng.choice(there, size=3, replace=False).tolist()
    return found


def _picture(cells: np.ndarray, rng: np.random.Generator) -> bytes:
    grey = np.kron(cells, np.ones((CELL, CELL), int)) + rng.integers(-10, 11, (SIDE, SIDE))
    return encode_png(np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2))


def _scores() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """``scores: float[1, 6, rows, columns]``, logits a cell: part less template, or the other way round."""
    weights = np.zeros((len(KINDS), 3, 1, 1), np.float32)
    weights[KINDS.index("open"), 1:, 0, 0] = 40, -40
    weights[KINDS.index("short"), 1:, 0, 0] = -40, 40
    nodes = [
        helper.make_node("AveragePool", ["x"], ["mean"], "pool", kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["mean", "w", "b"], ["scores"], "conv"),
    ]
    bias = np.full(len(KINDS), -10, np.float32)
    return nodes, [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]


def _detector() -> onnx.ModelProto:
    """A box a cell, head ``yolov8``."""
    nodes, weights = _scores()
    y, x = np.meshgrid(*2 * [(np.arange(CELLS) + 0.5) * CELL], indexing="ij")
    boxes = np.stack([x.ravel(), y.ravel(), *np.full((2, CELLS**2), float(CELL))])[None]
    weights += [
        numpy_helper.from_array(boxes.astype(np.float32), "boxes"),
        numpy_helper.from_array(np.array([1, len(KINDS), CELLS**2], np.int64), "flat"),
    ]
    nodes += [
        helper.make_node("Sigmoid", ["scores"], ["likely"], "likely"),
        helper.make_node("Reshape", ["likely", "flat"], ["row"], "row"),
        helper.make_node("Concat", ["boxes", "row"], ["found"], "found", axis=1),
    ]
    return _model(nodes, weights, SIDE, [1, 4 + len(KINDS), CELLS**2])


def _classifier() -> onnx.ModelProto:
    """Logits of what is in the middle of the patch; good has a logit of 0."""
    nodes, weights = _scores()
    first = (PATCH - CELL) // 2
    weights += [
        numpy_helper.from_array(np.array([first, first], np.int64), "from"),
        numpy_helper.from_array(np.array([first + CELL, first + CELL], np.int64), "to"),
        numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        numpy_helper.from_array(np.zeros((1, 1), np.float32), "none"),
    ]
    nodes[0].input[0] = "middle"
    nodes.insert(0, helper.make_node("Slice", ["x", "from", "to", "axes"], ["middle"], "middle"))
    nodes += [
        helper.make_node("Flatten", ["scores"], ["six"], "six"),
        helper.make_node("Concat", ["six", "none"], ["seven"], "seven", axis=1),
    ]
    return _model(nodes, weights, PATCH, [1, len(KINDS) + 1])


def _model(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], side: int, shape: list[int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
