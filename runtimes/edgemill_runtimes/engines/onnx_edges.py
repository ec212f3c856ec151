"""How an ONNX graph is wired, read without the ``onnx`` package, which a box need not have.

Only the fields that are needed are declared (numbers as in onnx.proto3); protobuf passes over all others. The package
``protobuf`` comes with ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Any, NamedTuple

_FIELDS = {
    "Model": [("graph", 7, "Graph", False)],
    "Graph": [("node", 1, "Node", True), ("initializer", 5, "Tensor", True)],
    "Node": [("input", 1, "string", True), ("output", 2, "string", True), ("name", 3, "string", False),
             ("op_type", 4, "string", False)],
    "Tensor": [("dims", 1, "int64", True), ("name", 8, "string", False)],
}  # fmt: skip


@dataclass
class Edges:
    """What each node takes, by the node's name.

    Attributes:
        inputs: names of the tensors that a node takes.
        dequantized: tensors that a DequantizeLinear wrote, with whether their content is known (weights).
        shapes: of the tensors whose content is known.
    """

    inputs: dict[str, list[str]] = field(default_factory=dict)
    dequantized: dict[str, bool] = field(default_factory=dict)
    shapes: dict[str, list[int]] = field(default_factory=dict)

    def is_quantized(self, node: str) -> bool:
        """Whether ``node`` computes on a dequantized activation with dequantized weights.

        A layer that was left in float on purpose may take a dequantized activation from the layer before it.
        """
        operands = [self.dequantized.get(name) for name in self.inputs.get(node, ())[:2]]
        return False in operands and True in operands

    def weights(self, node: str) -> list[int] | None:
        """Shape of the largest tensor of known content that ``node`` takes."""
        known = [self.shapes[name] for name in self.inputs.get(node, ()) if name in self.shapes]
        return max(known, key=prod, default=None)


class Wired(NamedTuple):
    """A node, by the names of what it takes and gives."""

    name: str
    operation: str
    inputs: Sequence[str]
    outputs: Sequence[str]


def read_edges(content: bytes) -> Edges:
    """The wiring of an ONNX file's main graph."""
    graph = _message_class()()
    graph.ParseFromString(content)
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    return edges_of((Wired(node.name, node.op_type, node.input, node.output) for node in graph.graph.node), shapes)


def edges_of(nodes: Iterable[Wired], shapes: dict[str, list[int]]) -> Edges:
    """The wiring of ``nodes``, where the content of the tensors in ``shapes`` is known."""
    edges = Edges(shapes=shapes)
    known = set(shapes)
    for node in nodes:
        edges.inputs[node.name] = list(node.inputs)
        if node.operation == "QuantizeLinear" and node.inputs[0] in known:
            known.add(node.outputs[0])  # weights as pairs, which TensorRT wants
        if node.operation == "DequantizeLinear":
            edges.dequantized[node.outputs[0]] = node.inputs[0] in known
    return edges


@cache
def _message_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    scalar = {"string": kind.TYPE_STRING, "int64": kind.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="edgemill_onnx_edges.proto", package="edgemill", syntax="proto3")
    for message, fields in _FIELDS.items():
        told = file.message_type.add(name=message)
        for name, number, of, repeated in fields:
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            one = told.field.add(name=name, number=number, label=label, type=scalar.get(of, kind.TYPE_MESSAGE))
            if of not in scalar:
                one.type_name = f".edgemill.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edgemill.Model"))
