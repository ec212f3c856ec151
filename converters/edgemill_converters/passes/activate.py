"""Turn a model's logits into what the task reads, under the task's name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgemill_converters.passes.base import Pass, copy_of, only_output, rename_tensor
from edgemill_core.tensors import Array

ACTIVATIONS = {"logits": "Softmax", "independent": "Sigmoid"}
"""Head of a task → operator; other heads already give what is read."""


class Activate(Pass):
    """Softmax over the classes (axis 1), or sigmoid, behind the model's one output.

    Promises an output of the task's name.
    """

    name = "activate"

    def __init__(self, head: str, output: str) -> None:
        self._kind = ACTIVATIONS.get(head, "Identity")
        self._output = output

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        only_output(model)
        result = copy_of(model)
        rename_tensor(result.graph, self._output, f"{self._output}_of_the_model")
        old = result.graph.output[0].name
        attributes = {"axis": 1} if self._kind == "Softmax" else {}
        result.graph.node.append(helper.make_node(self._kind, [old], [self._output], "edgemill_activate", **attributes))
        del result.graph.output[:]
        result.graph.output.append(helper.make_tensor_value_info(self._output, TensorProto.FLOAT, None))
        return onnx.shape_inference.infer_shapes(result)

    def _check(self, result: onnx.ModelProto) -> None:
        names = [value.name for value in result.graph.output]
        if names != [self._output]:
            raise self._broken(self._output, ", ".join(names))


def activated(head: str, values: Array) -> Array:
    """The same by hand, in float64."""
    wide = np.asarray(values, np.float64)
    if head == "logits":
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
    return np.asarray(1 / (1 + np.exp(-wide)) if head == "independent" else wide, np.float32)
