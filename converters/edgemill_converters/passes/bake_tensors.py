"""Let the engine take one flat row of values: the graph takes the model's own inputs from it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgemill_converters.passes.base import Pass, copy_of, model_inputs, rename_tensor
from edgemill_core.tensors import Array

_SPLIT = "edgemill_split"


class BakeTensors(Pass):
    """The model's inputs become one: ``name: dtype[1, values]``, all of them one after the other.

    Promises that input. Needs inputs of fixed shapes; each keeps the type that the model gives it.
    """

    name = "bake-tensors"

    def __init__(
        self, name: str, dtype: str, order: tuple[str, ...], fixed: Mapping[str, object] | None = None
    ) -> None:
        """``order`` is that of the inputs in the row; the inputs in ``fixed`` always have that value."""
        self._input, self._dtype, self._order, self._fixed = name, np.dtype(dtype), order, dict(fixed or {})

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        own = f"{self._input}_of_the_model"
        rename_tensor(result.graph, self._input, own)
        inputs = {value.name: value for value in model_inputs(result)}
        names = [own if name == self._input and own in inputs else name for name in self._order]
        sizes = [prod(_shape(inputs[name])) for name in names]
        weights: dict[str, Array] = {}
        nodes: list[onnx.NodeProto] = []
        flat = [self._input] if len(names) == 1 else [f"edgemill_part_{index}" for index in range(len(names))]
        if len(names) > 1:
            weights["edgemill_sizes"] = np.array(sizes, np.int64)
            nodes.append(helper.make_node("Split", [self._input, "edgemill_sizes"], flat, _SPLIT, axis=1))
        for index, (name, part) in enumerate(zip(names, flat, strict=True)):
            nodes += self._shaped(part, inputs[name], f"edgemill_shape_{index}", weights)
        for name, value in self._fixed.items():
            weights[name] = _as(inputs[name], value)
        self._put(result.graph, nodes, weights, sum(sizes))
        return result

    def _shaped(
        self, part: str, target: onnx.ValueInfoProto, shape: str, weights: dict[str, Array]
    ) -> list[onnx.NodeProto]:
        """From a part of the row to an input of the model."""
        steps: list[tuple[str, list[str], dict[str, object]]] = []
        dims, kind = _shape(target), target.type.tensor_type.elem_type
        if helper.np_dtype_to_tensor_dtype(self._dtype) != kind:
            steps.append(("Cast", [], {"to": kind}))
        if (1, prod(dims)) != dims:
            weights[shape] = np.array(dims, np.int64)
            steps.append(("Reshape", [shape], {}))
        steps = steps or [("Identity", [], {})]
        nodes, current = [], part
        for number, (kind_of, more, attributes) in enumerate(steps):
            made = target.name if number == len(steps) - 1 else f"{shape}_{kind_of.lower()}"
            nodes.append(
                helper.make_node(kind_of, [current, *more], [made], f"{shape}_{kind_of.lower()}", **attributes)
            )
            current = made
        return nodes

    def _put(
        self, graph: onnx.GraphProto, nodes: list[onnx.NodeProto], weights: Mapping[str, Array], size: int
    ) -> None:
        dtype = helper.np_dtype_to_tensor_dtype(self._dtype)
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info(self._input, dtype, [1, size]))
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
        body = list(graph.node)
        del graph.node[:]
        graph.node.extend([*nodes, *body])

    def _check(self, result: onnx.ModelProto) -> None:
        found = [value.name for value in model_inputs(result)]
        if found != [self._input]:
            raise self._broken(self._input, ", ".join(found))


def element_type(value: onnx.ValueInfoProto) -> np.dtype[np.generic]:
    """Numpy's element type of a graph's input or output."""
    found: np.dtype[np.generic] = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return found


def _as(value: onnx.ValueInfoProto, given: object) -> Array:
    """A fixed value in the input's own type and shape; a single number fills it."""
    return np.array(np.broadcast_to(np.asarray(given, element_type(value)), _shape(value)))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
