"""What passes have in common that put a node behind the model's one output."""

from __future__ import annotations

from abc import abstractmethod

import onnx
from onnx import helper

from edgemill_converters.passes.base import Pass, copy_of, only_output, rename_tensor


class NewOutput(Pass):
    """The node's result becomes the only output, under the name that the task reads."""

    _output: str

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        kind = only_output(model).type.tensor_type.elem_type
        result = copy_of(model)
        rename_tensor(result.graph, self._output, f"{self._output}_of_the_model")
        result.graph.node.append(self._node(result.graph, result.graph.output[0].name))
        del result.graph.output[:]
        result.graph.output.append(helper.make_tensor_value_info(self._output, kind, None))
        return onnx.shape_inference.infer_shapes(result)

    @abstractmethod
    def _node(self, graph: onnx.GraphProto, old: str) -> onnx.NodeProto:
        """From the tensor ``old`` to ``self._output``; what it needs besides is put into ``graph``."""

    def _check(self, result: onnx.ModelProto) -> None:
        names = [value.name for value in result.graph.output]
        if names != [self._output]:
            raise self._broken(self._output, ", ".join(names))
