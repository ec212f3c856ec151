"""Call the model's one output as the task reads it, where it is already what the task reads."""

from __future__ import annotations

import onnx

from edgemill_converters.passes.base import Pass, copy_of, only_output, rename_tensor


class NameOutput(Pass):
    """Promises an output of the task's name."""

    name = "name-output"

    def __init__(self, output: str) -> None:
        self._output = output

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        old = only_output(model).name
        result = copy_of(model)
        if old != self._output:
            rename_tensor(result.graph, self._output, f"{self._output}_of_the_model")
            rename_tensor(result.graph, old, self._output)
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if only_output(result).name != self._output:
            raise self._broken(self._output, only_output(result).name)
