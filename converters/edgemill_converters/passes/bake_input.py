"""Put cast, colour order, layout and normalisation into the graph, so that the engine takes uint8 pictures."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass, copy_of, rename_tensor
from edgemill_converters.passes.fix_shape import picture_input
from edgemill_core.picture_input import Colour, Layout, PictureInput

PICTURE = "picture"


class BakeInput(Pass):
    """The model's float input becomes ``picture: uint8[1, height, width, channels]``, blue-green-red.

    Promises that input, by name, type and shape. Needs a fixed input shape.
    """

    name = "bake-input"

    def __init__(self, declared: PictureInput) -> None:
        self._declared = declared

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        rename_tensor(result.graph, PICTURE, f"{PICTURE}_of_the_model")
        old = picture_input(result)
        old_name = old.name
        nodes, weights = self._nodes(old_name)
        width, height = self._declared.size
        picture = helper.make_tensor_value_info(PICTURE, TensorProto.UINT8, [1, height, width, self._declared.channels])
        kept = [value for value in result.graph.input if value.name != old_name]
        del result.graph.input[:]
        result.graph.input.extend([picture, *kept])
        result.graph.initializer.extend(weights)
        body = list(result.graph.node)
        del result.graph.node[:]
        result.graph.node.extend([*nodes, *body])
        return result

    def _nodes(self, target: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        declared = self._declared
        channels = declared.channels
        # Of four dimensions, although one would do: OpenVINO moves a product past the transpose, and with a constant of
        # one dimension it then refuses its own graph where a quantized convolution comes first.
        mean = np.broadcast_to(np.asarray(declared.normalise.mean, np.float32), (1, 1, 1, channels))
        std = np.broadcast_to(np.asarray(declared.normalise.std, np.float32), (1, 1, 1, channels))
        weights: list[onnx.TensorProto] = []
        steps: list[tuple[str, list[str], dict[str, object]]] = [("Cast", [], {"to": TensorProto.FLOAT})]
        if declared.colour is Colour.RGB:
            weights.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), "edgemill_rgb"))
            steps.append(("Gather", ["edgemill_rgb"], {"axis": 3}))
        # A mean of 0 is left out: at 640 x 640 it costs a CPU as much as a convolution. The product stays even where it
        # is by 1: without one OpenVINO computes the first quantized convolution in float.
        if mean.any():
            weights.append(numpy_helper.from_array(np.ascontiguousarray(mean), "edgemill_mean"))
            steps.append(("Sub", ["edgemill_mean"], {}))
        weights.append(numpy_helper.from_array(np.ascontiguousarray(1 / std, dtype=np.float32), "edgemill_scale"))
        steps.append(("Mul", ["edgemill_scale"], {}))
        if declared.layout is Layout.NCHW:
            steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
        nodes, current = [], PICTURE
        for index, (kind, more, attributes) in enumerate(steps):
            name = target if index == len(steps) - 1 else f"edgemill_{kind.lower()}_{index}"
            nodes.append(helper.make_node(kind, [current, *more], [name], f"edgemill_{kind.lower()}", **attributes))
            current = name
        return nodes, weights

    def _check(self, result: onnx.ModelProto) -> None:
        value = picture_input(result)
        if value.name != PICTURE or value.type.tensor_type.elem_type != TensorProto.UINT8:
            raise self._broken(f"{PICTURE}: uint8", f"{value.name}: {value.type.tensor_type.elem_type}")
