"""Make the model's one vector 1 long, under the task's name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgemill_converters.passes.new_output import NewOutput
from edgemill_core.tensors import Array


class Normalise(NewOutput):
    """Euclidean length 1 along axis 1, behind the model's one output.

    Promises an output of the task's name.
    """

    name = "normalise"

    def __init__(self, output: str) -> None:
        self._output = output

    def _node(self, graph: onnx.GraphProto, old: str) -> onnx.NodeProto:  # noqa: ARG002 (the contract's)
        return helper.make_node("LpNormalization", [old], [self._output], "edgemill_normalise", axis=1, p=2)


def normalised(values: Array) -> Array:
    """The same by hand, in float64; what comes as float64 stays so."""
    wide, own = np.asarray(values, np.float64), np.float64 if values.dtype == np.float64 else np.float32
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), own)
