"""The pass that writes a plan into a graph as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass, names_read
from edgemill_converters.quantization.bias import ShiftBias
from edgemill_converters.quantization.dialects.base import Dialect, Encoding
from edgemill_converters.quantization.dialects.idioms import put_nodes, write_idioms
from edgemill_converters.quantization.dialects.places import quantized_tensors
from edgemill_converters.quantization.dialects.weights import channel_axis, quantize_weights
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.wiring import Wiring
from edgemill_core.tensors import Array


class WriteQdq(Pass):
    """Write ``plan`` into the graph.

    Promises that every layer of the plan reads dequantized values and weights, and that a symmetric dialect has
    nothing but int8 with zero point 0. A plan that does not fit the graph is a ``ModelError``.
    """

    name = "write-qdq"

    def __init__(self, plan: Plan, dialect: Dialect) -> None:
        self._plan = plan
        self._dialect = dialect

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = ShiftBias(self._plan)(model)
        if self._dialect.idioms:
            write_idioms(result)
        _Writing(result.graph, self._plan, self._dialect).write()
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        wiring = Wiring(result.graph)
        reading = [node for node in wiring.nodes if node.op_type == "DequantizeLinear"]
        dequantized = {node.output[0] for node in reading}
        bare = [n.name for n in wiring.nodes if n.name in self._plan.layers and not set(n.input[:2]) <= dequantized]
        if bare:
            raise self._broken("every layer of the plan reads dequantized values", f"not so: {', '.join(bare[:5])}")
        odd = [node.name for node in reading if not _is_symmetric(wiring.constants[node.input[2]])]
        if self._dialect.symmetric and odd:
            raise self._broken("symmetric int8 throughout", f"not so: {', '.join(odd[:5])}")


def _is_symmetric(zero_point: onnx.TensorProto) -> bool:
    return zero_point.data_type == TensorProto.INT8 and not numpy_helper.to_array(zero_point).any()


class _Writing:
    """One graph, edited in place."""

    def __init__(self, graph: onnx.GraphProto, plan: Plan, dialect: Dialect) -> None:
        self._graph, self._plan, self._dialect = graph, plan, dialect
        self._wiring = Wiring(graph)
        self._weights: list[onnx.NodeProto] = []
        self._pairs: dict[str, list[onnx.NodeProto]] = {}
        self._taken = {value.name for value in (*graph.input, *graph.initializer)} | set(self._wiring.writers)

    def write(self) -> None:
        ranges = quantized_tensors(self._wiring, self._plan, self._dialect)
        encodings = {name: self._dialect.encoding(found) for name, found in ranges.items()}
        for node in self._wiring.nodes:
            if node.name in self._plan.layers:
                self._layer(node, encodings)
        for name, encoding in encodings.items():
            self._activation(name, encoding)
        self._order()
        self._drop_unread()

    def _layer(self, node: onnx.NodeProto, encodings: Mapping[str, Encoding]) -> None:
        weights, scale = self._wiring.constants[node.input[1]], encodings[node.input[0]].scale
        bias = self._bias(node) if self._dialect.quantized_bias else None
        found = quantize_weights(weights, node, self._plan.weight_bits, bias, scale)
        name, zero = self._name(f"{node.name}_weights"), np.zeros(found.scale.shape, np.int8)
        if self._dialect.weights_as_pairs:
            self._weights += self._pair(weights.name, name, found.scale, zero, axis=found.axis)
        else:
            self._weights.append(self._dequantize(found.stored, name, found.scale, zero, axis=found.axis))
        node.input[1] = name
        if bias is not None:
            name, scales = self._name(f"{node.name}_bias"), np.multiply(found.scale, scale, dtype=np.float32)
            stored = np.rint(bias / scales.astype(np.float64)).astype(np.int32)
            self._weights.append(self._dequantize(stored, name, scales, np.zeros(scales.shape, np.int32), axis=0))
            node.input[2] = name

    def _bias(self, node: onnx.NodeProto) -> Array | None:
        """``[channels]``; ``None`` where it is computed, or a Gemm's of another form: then it stays in float."""
        tensor = self._wiring.constants.get(node.input[2]) if len(node.input) > 2 else None
        weights = self._wiring.constants[node.input[1]]
        channels = weights.dims[channel_axis(node, len(weights.dims))]
        if tensor is None or list(tensor.dims[-1:]) != [channels]:
            return None
        bias = numpy_helper.to_array(tensor)
        return bias.ravel() if bias.size == channels else None

    def _activation(self, name: str, encoding: Encoding) -> None:
        """The pair behind ``name``; what read it now reads the pair."""
        written, read = name, self._name(f"{name}_dequantized")
        if name in self._wiring.outputs:  # the graph's output keeps its name, at the end of the pair
            written, read = self._name(f"{name}_float"), name
            writer = self._wiring.writers[name]
            writer.output[:] = [written if one == name else one for one in writer.output]
        for node in self._wiring.readers[name]:
            node.input[:] = [read if one == name else one for one in node.input]
        self._pairs[written] = self._pair(written, read, *encoding.operands)

    def _pair(self, written: str, read: str, scale: Array, zero: Array, **axis: int) -> list[onnx.NodeProto]:
        operands, stored = self._operands(read, scale, zero), self._name(f"{read}_quantized")
        return [
            helper.make_node("QuantizeLinear", [written, *operands], [stored], f"{read}_QuantizeLinear", **axis),
            helper.make_node("DequantizeLinear", [stored, *operands], [read], f"{read}_DequantizeLinear", **axis),
        ]

    def _dequantize(self, stored: Array, read: str, scale: Array, zero: Array, **axis: int) -> onnx.NodeProto:
        operands = [self._constant(f"{read}_quantized", stored), *self._operands(read, scale, zero)]
        return helper.make_node("DequantizeLinear", operands, [read], f"{read}_DequantizeLinear", **axis)

    def _operands(self, read: str, scale: Array, zero: Array) -> list[str]:
        return [self._constant(f"{read}_scale", scale), self._constant(f"{read}_zero_point", zero)]

    def _constant(self, wanted: str, value: Array) -> str:
        name = self._name(wanted)
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _name(self, wanted: str) -> str:
        """``wanted``, or like it if that is taken."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def _order(self) -> None:
        """Every pair directly behind what writes its tensor."""
        nodes = list(self._weights)
        for value in self._graph.input:
            nodes += self._pairs.get(value.name, [])
        for node in self._wiring.nodes:
            nodes.append(node)
            for name in node.output:
                nodes += self._pairs.get(name, [])
        put_nodes(self._graph, nodes)

    def _drop_unread(self) -> None:
        read = {name for node in self._graph.node for name in names_read(node)} | self._wiring.outputs
        kept = onnx.GraphProto()
        kept.initializer.extend(tensor for tensor in self._graph.initializer if tensor.name in read)
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept.initializer)
