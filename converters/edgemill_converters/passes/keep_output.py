"""Keep one output of several, and what it needs."""

from __future__ import annotations

import onnx

from edgemill_converters.passes.base import Pass, copy_of, names_read
from edgemill_core.errors import ModelError


class KeepOutput(Pass):
    """Promises that output alone; inputs stay, whether they are still needed or not."""

    name = "keep-output"

    def __init__(self, output: str) -> None:
        self._output = output

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        graph = result.graph
        kept = [graph.output[output_index(model, self._output)]]
        needed, nodes = {self._output}, []
        for node in reversed(graph.node):
            if needed & set(node.output):
                needed |= set(names_read(node))
                nodes.append(node)
        weights = [tensor for tensor in graph.initializer if tensor.name in needed]
        values = [value for value in graph.value_info if value.name in needed]
        parts = {"node": nodes[::-1], "output": kept, "initializer": weights, "value_info": values}
        for field, content in parts.items():
            copies = [type(one).FromString(one.SerializeToString()) for one in content]
            del getattr(graph, field)[:]
            getattr(graph, field).extend(copies)
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        names = [value.name for value in result.graph.output]
        if names != [self._output]:
            raise self._broken(self._output, ", ".join(names))


def output_index(model: onnx.ModelProto, name: str) -> int:
    """Which of the model's outputs is called so.

    Raises:
        ModelError: none.
    """
    names = [value.name for value in model.graph.output]
    if name not in names:
        raise ModelError(
            "the model does not give the output that the recipe names",
            expected=" | ".join(names),
            got=name,
            fix="mend output: under model: in the recipe",
        )
    return names.index(name)
