"""Turn a model's logits into what the task reads, under the task's name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgemill_converters.passes.new_output import NewOutput
from edgemill_core.tensors import Array

ACTIVATIONS = {"logits": "Softmax", "independent": "Sigmoid"}
"""Head of a task → operator; other heads already give what is read."""


class Activate(NewOutput):
    """Softmax over the classes (axis 1), or sigmoid, behind the model's one output.

    Promises an output of the task's name.
    """

    name = "activate"

    def __init__(self, head: str, output: str) -> None:
        self._kind = ACTIVATIONS.get(head, "Identity")
        self._output = output

    def _node(self, graph: onnx.GraphProto, old: str) -> onnx.NodeProto:  # noqa: ARG002 (the contract's)
        attributes = {"axis": 1} if self._kind == "Softmax" else {}
        return helper.make_node(self._kind, [old], [self._output], "edgemill_activate", **attributes)


def activated(head: str, values: Array) -> Array:
    """The same by hand, in float64; what comes as float64 stays so."""
    wide, own = np.asarray(values, np.float64), np.float64 if values.dtype == np.float64 else np.float32
    if head == "logits":
        powers = np.exp(wide - wide.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), own)
    return np.asarray(1 / (1 + np.exp(-wide)) if head == "independent" else wide, own)
