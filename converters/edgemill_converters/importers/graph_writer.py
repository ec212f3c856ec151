"""Writes a graph of a row of numbers, node by node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from edgemill_core.tensors import Array

ROW = "row"
ML = "ai.onnx.ml"
OPSET, ML_OPSET = 17, 3
"""What is written, and what other translators are asked for."""
TREES_OPSET = 5
"""Of ``ai.onnx.ml``: where there are trees in float64."""


class GraphWriter:
    """One input, ``row: float64[1, features]``; what is added names the tensors that it makes."""

    def __init__(self, features: int) -> None:
        self._features = features
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """A node with one output; its name."""
        made = f"{kind.lower()}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [made], made, domain=domain, **attributes))
        return made

    def constant(self, values: Array) -> str:
        """The name of a constant."""
        name = f"constant-{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name))
        return name

    def cast(self, tensor: str, dtype: type[np.generic]) -> str:
        """``tensor`` as another type."""
        return self.add("Cast", tensor, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))))

    def take(self, graph: onnx.GraphProto, row: str, output: str) -> str:
        """Another graph's nodes, reading ``row`` where it read its one input; the new name of its ``output``."""
        prefix = f"part-{len(self.nodes)}-"
        prefixed = compose.add_prefix_graph(graph, prefix)
        own = prefixed.input[0].name
        for node in prefixed.node:
            node.input[:] = [row if name == own else name for name in node.input]
        _gather(prefixed)
        self.nodes.extend(prefixed.node)
        self.weights.extend(prefixed.initializer)
        return f"{prefix}{output}"

    def model(self, given: str, columns: int, dtype: type[np.generic]) -> onnx.ModelProto:
        """The model that gives ``given`` as ``scores: [1, columns]``."""
        self.nodes.append(helper.make_node("Identity", [given], ["scores"], "scores"))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        graph = helper.make_graph(
            self.nodes,
            "rows",
            [helper.make_tensor_value_info(ROW, TensorProto.DOUBLE, [1, self._features])],
            [helper.make_tensor_value_info("scores", kind, [1, columns])],
            self.weights,
        )
        used = {node.op_type: node.domain for node in self.nodes}
        opsets = [helper.make_opsetid("", OPSET)]
        if ML in used.values():
            opsets.append(helper.make_opsetid(ML, TREES_OPSET if "TreeEnsemble" in used else ML_OPSET))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _gather(graph: onnx.GraphProto) -> None:
    """Columns that are picked out: by the operator that every runtime has, in place."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "ArrayFeatureExtractor" and node.input[1] in constants:
            node.op_type, node.domain = "Gather", ""
            node.attribute.append(helper.make_attribute("axis", -1))
            flat = numpy_helper.to_array(constants[node.input[1]]).reshape(-1)
            constants[node.input[1]].CopyFrom(numpy_helper.from_array(flat, node.input[1]))
