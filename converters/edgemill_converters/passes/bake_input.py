"""Put cast, colour order, layout and normalisation into the graph, so that the engine takes uint8 pictures."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass, copy_of, rename_tensor
from edgemill_converters.passes.fix_shape import picture_input
from edgemill_core.picture_input import Colour, Layout, PictureInput
from edgemill_core.tensors import Array

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
        """All plane by plane behind the turn to the model's layout; cast before it, because TensorRT turns no bytes."""
        declared = self._declared
        last = declared.layout is Layout.NHWC
        weights: dict[str, Array] = {}
        steps: list[tuple[str, list[str], dict[str, object]]] = [("Cast", [], {"to": TensorProto.FLOAT})]
        if not last:
            steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
        if declared.colour is Colour.RGB:
            weights["edgemill_rgb"] = np.array([2, 1, 0], np.int64)
            steps.append(("Gather", ["edgemill_rgb"], {"axis": 3 if last else 1}))
        steps += self._normalise_last(weights) if last else self._normalise_planes(weights)
        nodes, current = [], PICTURE
        for index, (kind, more, attributes) in enumerate(steps):
            name = target if index == len(steps) - 1 else f"edgemill_{kind.lower()}_{index}"
            nodes.append(helper.make_node(kind, [current, *more], [name], f"edgemill_{kind.lower()}", **attributes))
            current = name
        return nodes, [numpy_helper.from_array(value, name) for name, value in weights.items()]

    def _normalise_planes(self, weights: dict[str, Array]) -> list[tuple[str, list[str], dict[str, object]]]:
        """One BatchNormalization: ONNX Runtime would turn a Sub and Mul back to channels last where a quantized
        convolution comes first, and takes 20 × as long to subtract three numbers along the last axis."""
        mean, scale = self._mean_and_scale()
        weights |= {"edgemill_mean": mean, "edgemill_scale": scale}
        weights |= {"edgemill_zero": np.zeros_like(mean), "edgemill_one": np.ones_like(mean)}
        operands = ["edgemill_scale", "edgemill_zero", "edgemill_mean", "edgemill_one"]
        return [("BatchNormalization", operands, {"epsilon": 0.0})]

    def _normalise_last(self, weights: dict[str, Array]) -> list[tuple[str, list[str], dict[str, object]]]:
        # Of four dimensions, although one would do: OpenVINO moves a product past a transpose of the model's own, and
        # with a constant of one dimension it then refuses its own graph where a quantized convolution comes first.
        mean, scale = self._mean_and_scale()
        weights |= {"edgemill_mean": mean.reshape(1, 1, 1, -1), "edgemill_scale": scale.reshape(1, 1, 1, -1)}
        return [("Sub", ["edgemill_mean"], {}), ("Mul", ["edgemill_scale"], {})]

    def _mean_and_scale(self) -> tuple[Array, Array]:
        """Of each channel, ``float32[channels]``."""
        normalise, channels = self._declared.normalise, self._declared.channels
        mean = np.broadcast_to(np.asarray(normalise.mean, np.float32), channels)
        std = np.broadcast_to(np.asarray(normalise.std, np.float32), channels)
        return np.ascontiguousarray(mean), np.ascontiguousarray(1 / std, dtype=np.float32)

    def _check(self, result: onnx.ModelProto) -> None:
        value = picture_input(result)
        if value.name != PICTURE or value.type.tensor_type.elem_type != TensorProto.UINT8:
            raise self._broken(f"{PICTURE}: uint8", f"{value.name}: {value.type.tensor_type.elem_type}")
