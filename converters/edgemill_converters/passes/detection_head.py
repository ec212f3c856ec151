"""Bring a detector's own output to ``detections``: boxes in shares of the picture, beside a score a class.

``yolov8`` and ``yolov5`` are the layouts of Ultralytics' exports of those families without suppression.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass, copy_of, rename_tensor
from edgemill_core.errors import ModelError
from edgemill_core.tensors import Array

Made = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


class DetectionHead(Pass):
    """Corners from centres where needed, shares from pixels, one tensor from several.

    Promises one output, ``float[1, boxes, 4 + classes]``, of the task's name.

    Args:
        head: see ``edgemill_core.tasks.ObjectDetection``.
        classes: how many the task names.
        size: width and height, in pixels, of the picture that the model sees.
        output: the task's name for it.
    """

    name = "detection-head"

    def __init__(self, head: str, classes: int, size: tuple[int, int], output: str) -> None:
        self._head, self._classes, self._size, self._output = head, classes, size, output

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        rename_tensor(result.graph, self._output, f"{self._output}_of_the_model")
        self._check_shapes(result)
        names = [value.name for value in result.graph.output]
        nodes, weights = {
            "yolov8": self._yolov8,
            "yolov5": self._yolov5,
            "boxes-scores": self._boxes_scores,
            "detections": self._as_it_is,
        }[self._head](names)
        result.graph.node.extend(nodes)
        result.graph.initializer.extend(weights)
        del result.graph.output[:]
        result.graph.output.append(helper.make_tensor_value_info(self._output, TensorProto.FLOAT, None))
        return onnx.shape_inference.infer_shapes(result)

    def _check_shapes(self, model: onnx.ModelProto) -> None:
        found = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.output]
        classes = self._classes
        expected: list[tuple[int, int]] = {
            "yolov8": [(1, 4 + classes)],
            "yolov5": [(2, 5 + classes)],
            "boxes-scores": [(2, 4), (2, classes)],
            "detections": [(2, 4 + classes)],
        }[self._head]
        fits = len(found) == len(expected) and all(
            len(shape) == 3 and shape[axis] in (0, size) for shape, (axis, size) in zip(found, expected, strict=True)
        )
        if not fits:
            described = [("[1, boxes, %d]" if axis == 2 else "[1, %d, boxes]") % size for axis, size in expected]
            raise ModelError(
                f"the model does not give what head {self._head!r} with {classes} classes means",
                expected=" and ".join(described),
                got=", ".join(f"{value.name}: {shape}" for value, shape in zip(model.graph.output, found, strict=True)),
                fix="mend head: or classes: under task: in the recipe, or export the model without suppression",
            )

    def _yolov8(self, names: list[str]) -> Made:
        turned = helper.make_node("Transpose", names, ["edgemill_rows"], "edgemill_turn", perm=[0, 2, 1])
        split, sizes = _split("edgemill_rows", [2, 2, self._classes], ["centre", "size", "scores"])
        corners, half = _corners()
        shares, scale = self._shares("edgemill_corners")
        return [turned, split, *corners, shares, self._join("edgemill_scores")], [sizes, half, scale]

    def _yolov5(self, names: list[str]) -> Made:
        split, sizes = _split(names[0], [2, 2, 1, self._classes], ["centre", "size", "anything", "classes"])
        corners, half = _corners()
        shares, scale = self._shares("edgemill_corners")
        scores = helper.make_node(
            "Mul", ["edgemill_anything", "edgemill_classes"], ["edgemill_scores"], "edgemill_both"
        )
        return [split, scores, *corners, shares, self._join("edgemill_scores")], [sizes, half, scale]

    def _boxes_scores(self, names: list[str]) -> Made:
        shares, scale = self._shares(names[0])
        return [shares, self._join(names[1])], [scale]

    def _as_it_is(self, names: list[str]) -> Made:
        return [helper.make_node("Identity", names, [self._output], "edgemill_detections")], []

    def _shares(self, corners: str) -> tuple[onnx.NodeProto, onnx.TensorProto]:
        width, height = self._size
        scale = np.array([1 / width, 1 / height, 1 / width, 1 / height], np.float32)
        node = helper.make_node("Mul", [corners, "edgemill_per_pixel"], ["edgemill_shares"], "edgemill_to_shares")
        return node, numpy_helper.from_array(scale, "edgemill_per_pixel")

    def _join(self, scores: str) -> onnx.NodeProto:
        return helper.make_node("Concat", ["edgemill_shares", scores], [self._output], "edgemill_join", axis=2)

    def _check(self, result: onnx.ModelProto) -> None:
        names = [value.name for value in result.graph.output]
        if names != [self._output]:
            raise self._broken(self._output, ", ".join(names))


def _split(name: str, sizes: list[int], parts: list[str]) -> tuple[onnx.NodeProto, onnx.TensorProto]:
    weights = numpy_helper.from_array(np.array(sizes, np.int64), "edgemill_parts")
    outputs = [f"edgemill_{part}" for part in parts]
    return helper.make_node("Split", [name, "edgemill_parts"], outputs, "edgemill_split", axis=2), weights


def _corners() -> tuple[list[onnx.NodeProto], onnx.TensorProto]:
    # No matrix product, short as it would be: that would be taken for a layer to quantize.
    nodes = [
        helper.make_node("Mul", ["edgemill_size", "edgemill_half"], ["edgemill_reach"], "edgemill_reach"),
        helper.make_node("Sub", ["edgemill_centre", "edgemill_reach"], ["edgemill_top_left"], "edgemill_top_left"),
        helper.make_node("Add", ["edgemill_centre", "edgemill_reach"], ["edgemill_low_right"], "edgemill_low_right"),
        helper.make_node("Concat", ["edgemill_top_left", "edgemill_low_right"], ["edgemill_corners"], axis=2),
    ]
    return nodes, numpy_helper.from_array(np.array([0.5], np.float32), "edgemill_half")


def detections_of(head: str, outputs: Sequence[Array], size: tuple[int, int]) -> Array:
    """The same by hand, from the untouched model's outputs, so that the reference owes nothing to the pass."""
    if head == "detections":
        return outputs[0]
    first = np.asarray(outputs[0], np.float64)
    if head == "boxes-scores":
        left, top, right, bottom = (first[..., index] for index in range(4))
        scores = np.asarray(outputs[1], np.float64)
    else:
        rows = first.transpose(0, 2, 1) if head == "yolov8" else first
        scores = rows[..., 4:] if head == "yolov8" else rows[..., 5:] * rows[..., 4:5]
        x, y, half_width, half_height = rows[..., 0], rows[..., 1], rows[..., 2] / 2, rows[..., 3] / 2
        left, top, right, bottom = x - half_width, y - half_height, x + half_width, y + half_height
    width, height = size
    shares = np.stack([left / width, top / height, right / width, bottom / height], axis=-1)
    return np.concatenate([shares, scores], axis=-1).astype(np.float32)
