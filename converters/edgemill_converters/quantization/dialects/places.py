"""Which activations get a Q/DQ pair."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from edgemill_converters.quantization.dialects.base import QUANTIZABLE, Dialect
from edgemill_converters.quantization.dialects.weights import has_weights
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.quantization.wiring import CUTS, Wiring
from edgemill_core.errors import ModelError


def quantized_tensors(wiring: Wiring, plan: Plan, dialect: Dialect) -> dict[str, Range]:
    """The activations that get a pair, with the range to represent.

    Raises:
        ModelError: the plan does not fit the graph.
    """
    layers = _layers(wiring, plan)
    names = []
    for node in layers:
        names.append((node.name, node.input[0]))
        if node.op_type in dialect.outputs:
            names.append((node.name, wiring.behind_cuts(node.output[0])))
    if dialect.sums:
        names += _sums(wiring, plan, {name for _, name in names})
    for layer, name in names:
        if name not in plan.ranges:
            raise ModelError(
                f"the plan has no range for tensor {name!r}",
                expected=f"a range for all that layer {layer!r} reads and writes",
                got=f"{len(plan.ranges)} ranges",
                fix="calibrate this very graph; node and tensor names must be the same",
            )
    return {name: _within(wiring, name, plan.ranges[name]) for _, name in names}


def _sums(wiring: Wiring, plan: Plan, quantized: set[str]) -> list[tuple[str, str]]:
    """The other sides of sums with one side quantized, where a layer of the plan writes them, each with that layer."""
    found = []
    for node in wiring.nodes:
        if node.op_type == "Add" and quantized & set(node.input):
            for name in set(node.input) - quantized:
                layer = wiring.before_cuts(name)
                if layer is not None and layer.name in plan.layers and name in plan.ranges:
                    found.append((layer.name, name))
    return found


def _within(wiring: Wiring, tensor: str, found: Range) -> Range:
    """``found`` cut to what the activation that writes ``tensor`` can give: a wider one could not do its work."""
    writer = wiring.writers.get(tensor)
    if writer is None or writer.op_type not in CUTS:
        return found
    known = [wiring.constants.get(name) for name in (*writer.input[1:], "", "")]
    low, high = (None if one is None else numpy_helper.to_array(one).item() for one in known[:2])
    least = 0.0 if writer.op_type == "Relu" else low
    return Range(
        found.low if least is None else max(found.low, least), found.high if high is None else min(found.high, high)
    )


def _layers(wiring: Wiring, plan: Plan) -> list[onnx.NodeProto]:
    expected = f"{', '.join(QUANTIZABLE)} with constant weights, in two dimensions save for Conv"
    if not plan.layers:
        raise ModelError(
            "the model has no layer that can be quantized",
            expected=expected,
            got="none",
            fix="write precisions: [fp32] under targets: in the recipe",
        )
    by_name = {node.name: node for node in wiring.nodes}
    for name in plan.layers:
        node = by_name.get(name)
        if node is None or not has_weights(node, wiring.constants):
            raise ModelError(
                f"no dialect can quantize layer {name!r}",
                expected=expected,
                got="no such layer in the graph" if node is None else _told(node, wiring),
                fix="leave it out of the plan's layers: it stays in FP32",
            )
    return [by_name[name] for name in plan.layers]


def _told(node: onnx.NodeProto, wiring: Wiring) -> str:
    weights = next((wiring.constants[name] for name in node.input[1:2] if name in wiring.constants), None)
    if weights is None:
        return f"{node.op_type} without constant weights"
    return f"{node.op_type} with weights [{', '.join(map(str, weights.dims))}]"
