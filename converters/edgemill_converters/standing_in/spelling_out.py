"""The pass that spells out what a graph says of precision, so that no runtime computes it in another way.

ONNX Runtime on a CPU takes FP16 for FP32: it computes in FP32 and leaves out the casts between, so that what
overflows FP16 on a GPU comes out well here. Q/DQ it fuses into its own integer kernels, which on some processors
saturate. Here both are written as plain FP32 operators that round where the graph says that a value is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import Pass
from edgemill_converters.standing_in.value_types import cannot, graphs_of, type_of, with_types
from edgemill_core.tensors import Array

_HALF, _FULL = TensorProto.FLOAT16, TensorProto.FLOAT
_LEAST_OPSET = 13
_WHOLE = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32)


class SpellOut(Pass):
    """FP16 as FP32 rounded behind every operator, Q/DQ as division, rounding and clipping.

    Promises inputs and outputs of the same types, and neither an FP16 tensor but between two casts, nor a
    QuantizeLinear or DequantizeLinear.
    """

    name = "spell-out"

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
        if opset < _LEAST_OPSET:
            raise cannot(f"opset {_LEAST_OPSET} or newer", f"opset {opset}")
        self._types = _edges(model)
        if at_edge := [name for name, kind in self._types.items() if kind == _HALF]:
            raise cannot("inputs and outputs in FP32", f"FP16: {', '.join(at_edge)}")
        result = with_types(model)
        for graph in graphs_of(result.graph):
            _Spelling(graph).write()
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if _edges(result) != self._types:
            raise self._broken("inputs and outputs of the same types", f"{_edges(result)}, not {self._types}")
        for graph in graphs_of(result.graph):
            left = [node.name for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
            left += [tensor.name for tensor in graph.initializer if tensor.data_type == _HALF]
            if left:
                raise self._broken("FP32 operators alone", f"left as they were: {', '.join(left[:5])}")


def _edges(model: onnx.ModelProto) -> dict[str, int]:
    return {value.name: type_of(value) for value in (*model.graph.input, *model.graph.output)}


class _Spelling:
    """One graph, edited in place."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        self._half = {name for name, value in self._values.items() if type_of(value) == _HALF}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)} | set(self._constants)

    def write(self) -> None:
        nodes = [spelled for node in self._graph.node for spelled in self._node(node)]
        for tensor in self._graph.initializer:
            if tensor.data_type == _HALF:
                tensor.CopyFrom(_in_full(tensor))
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]  # they tell of types that have changed
        for value in (*self._graph.input, *self._graph.output):  # of a graph within a node
            if value.name in self._half:
                value.type.tensor_type.elem_type = _FULL

    def _node(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if unknown := [name for name in node.output if name and name not in self._values]:
            raise cannot("tensors whose types are known", f"{node.op_type} {node.name!r} writes {', '.join(unknown)}")
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        changed.output[:] = [self._name(f"{name}_exact") if name in self._half else name for name in node.output]
        spelled = self._spelled(changed)
        for exact, rounded in zip(changed.output, node.output, strict=True):
            if exact != rounded:
                between = self._name(f"{rounded}_half")
                spelled.append(helper.make_node("Cast", [exact], [between], between, to=_HALF))
                spelled.append(helper.make_node("Cast", [between], [rounded], f"{rounded}_full", to=_FULL))
        return spelled

    def _spelled(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The node in FP32, what it writes not yet rounded."""
        if node.op_type == "QuantizeLinear":
            return self._quantize(node)
        if node.op_type == "DequantizeLinear":
            return self._dequantize(node)
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == _HALF:
                attribute.i = _FULL
            if attribute.HasField("t") and attribute.t.data_type == _HALF:
                attribute.t.CopyFrom(_in_full(attribute.t))
        return [node]

    def _quantize(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        scale, zero, whole = self._operands(node)
        limits = np.iinfo(helper.tensor_dtype_to_np_dtype(whole))
        low, high = (
            self._constant(f"{node.output[0]}_{word}", np.asarray(limit, np.float32))
            for word, limit in (("least", limits.min), ("most", limits.max))
        )
        steps = [("Div", [scale]), ("Round", []), ("Add", [zero]), ("Clip", [low, high]), ("Cast", [])]
        return self._chain(node, steps, to=whole)

    def _dequantize(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        scale, zero, _ = self._operands(node)
        return self._chain(node, [("Cast", []), ("Sub", [zero]), ("Mul", [scale])], to=_FULL)

    def _chain(self, node: onnx.NodeProto, steps: Sequence[tuple[str, list[str]]], to: int) -> list[onnx.NodeProto]:
        """One operator behind the other, from what ``node`` reads to what it writes; Round rounds half to even."""
        found, read, written = [], node.input[0], node.output[0]
        for place, (kind, operands) in enumerate(steps):
            last = place == len(steps) - 1
            name = written if last else self._name(f"{written}_{kind.lower()}")
            attributes = {"to": to} if kind == "Cast" else {}
            found.append(helper.make_node(kind, [read, *operands], [name], f"{written}_{kind}", **attributes))
            read = name
        return found

    def _operands(self, node: onnx.NodeProto) -> tuple[str, str, int]:
        """Scale and zero point in FP32, of a form that broadcasts to what is read, and the type of whole numbers."""
        told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        scale = self._known(node, 1)
        whole = self._whole(node) or told.get("output_dtype", 0) or TensorProto.UINT8
        if whole not in _WHOLE:
            kind = TensorProto.DataType.Name(whole)
            raise cannot("quantization to whole numbers of 8, 16 or 32 bits", f"{node.op_type} {node.name!r}: {kind}")
        zero = self._known(node, 2) if len(node.input) > 2 and node.input[2] else np.uint8(0)
        if told.get("block_size", 0):
            raise cannot("one scale a tensor or a channel", f"{node.op_type} {node.name!r} with blocks")
        shape: tuple[int, ...] = ()
        if scale.size > 1:
            rank = self._rank(node.input[0])
            shape = tuple(-1 if place == told.get("axis", 1) % rank else 1 for place in range(rank))
        named = (("scale", scale), ("zero", np.broadcast_to(zero, scale.shape)))
        names = [
            self._constant(f"{node.output[0]}_{word}", value.astype(np.float32).reshape(shape)) for word, value in named
        ]
        return names[0], names[1], int(whole)

    def _whole(self, node: onnx.NodeProto) -> int:
        """The type that the node quantizes to or from, 0 where only its attributes could say so."""
        if node.op_type == "DequantizeLinear":
            read = node.input[0]
            value = self._values.get(read)  # not there: of the graph around this one
            return self._constants[read].data_type if read in self._constants else type_of(value) if value else 0
        tensor = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        return 0 if tensor is None else tensor.data_type

    def _known(self, node: onnx.NodeProto, place: int) -> Array:
        tensor = self._constants.get(node.input[place])
        if tensor is None:
            raise cannot("constant scales and zero points", f"{node.input[place]!r} of {node.name!r} is computed")
        found: Array = numpy_helper.to_array(tensor)
        return found

    def _rank(self, name: str) -> int:
        if name in self._constants:
            return len(self._constants[name].dims)
        value = self._values.get(name)
        if value is None or not value.type.tensor_type.HasField("shape"):
            raise cannot("a tensor of known rank under a scale a channel", name)
        return len(value.type.tensor_type.shape.dim)

    def _constant(self, wanted: str, value: Array) -> str:
        name = self._name(wanted)
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def _name(self, wanted: str) -> str:
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted


def _in_full(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
