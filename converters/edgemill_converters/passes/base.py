"""The contract of a pass: a model goes in, a new model comes out, and the promise is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import onnx

from edgemill_core.errors import EdgemillError, ModelError, PassError


class Pass(ABC):
    """One step that changes a model.

    A subclass gives ``name``, ``_apply`` and, if it promises anything, ``_check``. The base class proves that the
    given model was left alone, that the new one is valid ONNX, and that the promise was kept.
    """

    name: str

    def __call__(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Apply the pass.

        Raises:
            PassError: it could not be applied, edited its input, gave an invalid graph, or broke its promise.
        """
        before = model.SerializeToString(deterministic=True)
        try:
            result = self._apply(model)
            onnx.checker.check_model(result, full_check=False)
        except EdgemillError:
            raise
        except Exception as error:  # whatever a graph tool raises, the reader needs the pass's name
            raise PassError(
                f"pass {self.name!r} failed",
                expected="a valid graph",
                got=f"{type(error).__name__}: {str(error).strip()[:400]}",
                fix="report the model; or export it with a newer opset",
            ) from error
        if model.SerializeToString(deterministic=True) != before:
            raise self._broken("to leave the given model alone", "it edited it in place")
        self._check(result)
        return result

    @abstractmethod
    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a new model."""

    def _check(self, result: onnx.ModelProto) -> None:  # noqa: B027 (a pass may promise nothing)
        """Raise ``self._broken(…)`` if the promise was not kept."""

    def _broken(self, expected: str, got: str) -> PassError:
        return PassError(
            f"pass {self.name!r} broke its promise", expected=expected, got=got, fix="report this as a bug"
        )


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy that may be edited."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def rename_tensor(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call the tensor ``old`` (if there is one) ``new``, in place, also where graphs within the graph read it."""
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                rename_tensor(inner, old, new)


def names_read(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads; of If, Loop and Scan also those that the graphs within it take from outside.

    Names that such a graph gives to its own tensors are among them: names are unique, so that they do no harm.
    """
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    taken = [name for graph in inner for one in graph.node for name in names_read(one)]
    return [*node.input, *taken, *(value.name for graph in inner for value in graph.output)]


def model_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The model's inputs; old files list weights among them, which are none."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def with_shapes_anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, whose inputs were given other shapes, with the shapes behind them inferred from these alone."""
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value <= 0:
                dim.Clear()
    del model.graph.value_info[:]
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
    return inferred


def only_output(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The model's one output.

    Raises:
        ModelError: there are several.
    """
    if len(model.graph.output) != 1:
        raise ModelError(
            "the model has several outputs",
            expected="one output, the one that the task reads",
            got=", ".join(value.name for value in model.graph.output),
            fix="export the model with that output alone",
        )
    return model.graph.output[0]


class Sequential(Pass):
    """Passes in order; an error names those that ran before it."""

    def __init__(self, passes: Sequence[Pass]) -> None:
        self.passes = tuple(passes)
        self.name = " → ".join(step.name for step in self.passes)

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        done: list[str] = []
        for step in self.passes:
            try:
                model = step(model)
            except PassError as error:
                error.got = f"{error.got} (after: {', '.join(done) or 'nothing'})"
                raise
            done.append(step.name)
        return model
