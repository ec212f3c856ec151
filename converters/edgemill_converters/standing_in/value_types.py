"""Of what type each tensor of a graph is: what follows from its operators, whatever the file says of it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edgemill_converters.passes.base import copy_of
from edgemill_core.errors import PassError


def cannot(expected: str, got: str) -> PassError:
    """The error of a graph that the stand-in cannot compute."""
    return PassError(
        "the graph cannot be computed as written on this machine",
        expected=expected,
        got=got,
        fix="export the model with a newer opset, or leave this precision out of precisions: under targets:",
    )


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those within its nodes."""
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)
    yield graph


def type_of(value: onnx.ValueInfoProto) -> int:
    """Of the elements, a number of ``TensorProto``'s; 0 where it is not known."""
    return int(value.type.tensor_type.elem_type)


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which ``value_info`` holds every tensor whose type is known.

    What stands there already is believed of operators that ONNX does not know, and of no others: a file may say of a
    tensor what was true before another program changed it.

    Raises:
        PassError: it says something else than the operators, or these do not fit each other.
    """
    found = copy_of(model)
    for graph in graphs_of(found.graph):
        del graph.value_info[:]
    found = _inferred(found)
    for graph, said in zip(graphs_of(found.graph), graphs_of(model.graph), strict=True):
        _believe(graph, said)
    return _inferred(found)


def _believe(graph: onnx.GraphProto, said: onnx.GraphProto) -> None:
    known = {value.name: value for value in graph.value_info}
    for value in said.value_info:
        own = known.get(value.name)
        if own is None:
            graph.value_info.append(value)
        elif type_of(own) not in (0, type_of(value)):
            gives, told = (TensorProto.DataType.Name(type_of(one)) for one in (own, value))
            raise cannot(
                "tensors of the types that their operators give", f"{value.name!r}: {gives}, said to be {told}"
            )
        elif not type_of(own) or not own.type.tensor_type.HasField("shape"):
            own.CopyFrom(value)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError as error:
        raise cannot("operators that fit each other", str(error)) from error
