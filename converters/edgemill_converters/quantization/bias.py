"""Bias correction: rounding weights moves a layer's output on average; its bias takes that back.

The fast form of Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.2 (equations 16 and 17), with input means from calibration instead of from batch norms, as NNCF's fast bias
correction has it: from the means of the pass over the pictures alone, so it costs no further one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgemill_converters.passes.base import Pass, copy_of, names_read
from edgemill_converters.quantization.dialects.weights import rounding_errors
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.statistics import Statistics
from edgemill_core.tensors import Array


def bias_shifts(
    graph: onnx.GraphProto, layers: Sequence[onnx.NodeProto], seen: Mapping[str, Statistics], bits: int
) -> dict[str, tuple[float, ...]]:
    """What to add to each layer's bias, by name; layers with no place for it are left out."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    found = {}
    for node in layers:
        means = seen[node.input[0]].channel_means if node.input[0] in seen else np.zeros(0)
        errors = _errors(node, numpy_helper.to_array(weights[node.input[1]]), bits)
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        # Where the middle of a shape is open, there is one mean for all channels: a layer of groups must not take it.
        if errors is None or groups * errors.shape[1] != means.size or _place(graph, node) is None:
            continue
        by_group = errors.reshape(groups, -1, errors.shape[1])
        shift = np.einsum("goi,gi->go", by_group, means.reshape(groups, -1)).ravel()
        found[node.name] = tuple(float(value) for value in shift)
    return found


def _errors(node: onnx.NodeProto, weights: Array, bits: int) -> NDArray[np.float64] | None:
    """Summed over the kernel, ``[outputs, inputs of the group]``; ``None`` for forms that are left alone."""
    if node.op_type == "Conv":
        return np.asarray(rounding_errors(weights, bits).reshape(*weights.shape[:2], -1).sum(axis=2))
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if weights.ndim != 2 or given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
        return None
    return rounding_errors(weights if given.get("transB", 0) else weights.T, bits)


def _place(graph: onnx.GraphProto, node: onnx.NodeProto) -> tuple[onnx.NodeProto, int] | None:
    """The node and the number of its input that hold the bias; the input may have yet to be made.

    ``None`` where there is no place, or what stands there is computed: of a Gemm that may be a residual.
    """
    if node.op_type != "MatMul":
        given = node.input[2] if len(node.input) > 2 else ""
        return (node, 2) if not given or any(t.name == given for t in graph.initializer) else None
    readers = [reader for reader in graph.node if node.output[0] in names_read(reader)]
    if len(readers) != 1 or readers[0].op_type != "Add" or any(node.output[0] == v.name for v in graph.output):
        return None
    place = 1 - list(readers[0].input).index(node.output[0])
    width = next((t.dims[-1] for t in graph.initializer if t.name == node.input[1]), 0)
    fits = any(t.name == readers[0].input[place] and list(t.dims) == [width] for t in graph.initializer)
    return (readers[0], place) if fits else None


class ShiftBias(Pass):
    """Add the plan's shifts to the biases of the layers that it quantizes; those that stay FP32 need none.

    Promises a bias of its own for each of them.
    """

    name = "shift-bias"

    def __init__(self, plan: Plan) -> None:
        self._shifts = {name: shift for name, shift in plan.bias_shifts.items() if name in plan.layers}

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        held = {tensor.name: tensor for tensor in result.graph.initializer}
        for node in list(result.graph.node):
            place = _place(result.graph, node) if node.name in self._shifts else None
            if place is None:
                continue
            holder, index = place
            old = held.get(holder.input[index]) if index < len(holder.input) else None
            shift = np.array(self._shifts[node.name], np.float32)
            shifted = shift if old is None else numpy_helper.to_array(old) + shift
            result.graph.initializer.append(numpy_helper.from_array(shifted, _own(node.name)))
            holder.input[:] = [*holder.input[:index], _own(node.name), *holder.input[index + 1 :]]
            if old is not None and not any(old.name in names_read(reader) for reader in result.graph.node):
                result.graph.initializer.remove(held.pop(old.name))
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        read = {name for node in result.graph.node for name in node.input}
        missing = [name for name in self._shifts if _own(name) not in read]
        if missing:
            raise self._broken("a bias of its own for every layer named", f"none: {', '.join(missing[:5])}")


def _own(layer: str) -> str:
    return f"{layer}/shifted_bias"
