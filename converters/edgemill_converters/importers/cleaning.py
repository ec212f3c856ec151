"""What exporters leave in a graph that is no part of the model."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edgemill_converters.importers.onnx_file import check_graph
from edgemill_core.errors import ModelError


def cleaned(proto: onnx.ModelProto, outputs: Sequence[str] | None = None) -> onnx.ModelProto:
    """A translated graph without notes: stack traces name files of the build machine, and change from run to run.

    Args:
        outputs: names that the graph must give, in order; unless ``None``.

    Raises:
        ModelError: not a valid graph, or other outputs.
    """
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    for message in (result, result.graph):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    _clean(result.graph)
    check_graph("the translated graph", result, "a graph in memory")
    found = [value.name for value in result.graph.output]
    if outputs is not None and found != list(outputs):
        raise ModelError(
            "the translated graph has other outputs than the model",
            expected=", ".join(outputs),
            got=", ".join(found),
            fix="report the model; or wrap it so that it gives one tensor",
        )
    return result


def _clean(graph: onnx.GraphProto) -> None:
    parts = (graph.node, graph.initializer, graph.input, graph.output, graph.value_info)
    for message in [graph, *(one for some in parts for one in some)]:
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    _clean(inner)
