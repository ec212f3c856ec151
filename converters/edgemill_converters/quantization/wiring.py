"""How a graph is wired: who writes a tensor, who reads it, what is constant."""

from __future__ import annotations

from collections import defaultdict

import onnx

from edgemill_converters.passes.base import names_read

CUTS = ("Clip", "Relu")
"""Activations that throw away part of a layer's output, which a saturating QuantizeLinear does on the way."""


class Wiring:
    """Of the graph as it was when this was made; nodes are held, not copied.

    Attributes:
        nodes: in the graph's order.
        constants: initializers by name.
        outputs: names of the graph's outputs.
        writers: the node that writes a tensor, by its name.
        readers: the nodes that take a tensor, by its name, also where only a graph within the node does.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.writers = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(names_read(node)):
                self.readers[name].append(node)

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """The node that takes ``tensor``, if there is exactly one and the tensor is no output of the graph."""
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def behind_cuts(self, tensor: str) -> str:
        """What is left of ``tensor`` behind the ``CUTS`` in a row that alone read it; itself where none does."""
        reader = self.only_reader(tensor)
        while reader is not None and reader.op_type in CUTS:
            tensor = reader.output[0]
            reader = self.only_reader(tensor)
        return tensor

    def before_cuts(self, tensor: str) -> onnx.NodeProto | None:
        """The node that writes ``tensor``, or what the ``CUTS`` in a row before it cut; ``None`` for inputs."""
        writer: onnx.NodeProto | None = self.writers.get(tensor)
        while writer is not None and writer.op_type in CUTS:
            writer = self.writers.get(writer.input[0])
        return writer
