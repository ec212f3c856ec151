"""Write a graph and its weights apart: the weights' own bytes, one tensor behind the other, and nothing else.

So two variants, or two versions of a model, share what is the same of them byte by byte, and a delta finds it. Which
tensors go, and in which order, follows from the graph alone. ONNX's own writer leaves tensors in the graph whose
numbers are not in the raw form, and constants that are nodes.

Trees keep their numbers in attributes of nodes, where ONNX knows no place outside: their weights file is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.external_data_helper import set_external_data

LEAST_BYTES = 1024
"""Smaller tensors stay in the graph: shapes, scales and the like, which runtimes want to see at once."""
_RAW = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.INT32,
        TensorProto.UINT32,
        TensorProto.INT64,
        TensorProto.UINT64,
        TensorProto.BOOL,
    }
)
"""Types whose numbers, wherever a tensor holds them, are written in the raw form."""


def write_apart(model: onnx.ModelProto, graph: Path, weights: Path) -> None:
    """Write ``model``, which is taken apart by that, to ``graph`` and ``weights`` in one folder."""
    with weights.open("wb") as file:
        for inner in _graphs(model.graph):
            _lift_constants(inner)
            for tensor in inner.initializer:
                _make_raw(tensor)
                if tensor.HasField("raw_data") and len(tensor.raw_data) >= LEAST_BYTES:
                    content, offset = tensor.raw_data, file.tell()
                    file.write(content)
                    set_external_data(tensor, weights.name, offset=offset, length=len(content))
                    tensor.ClearField("raw_data")
    graph.write_bytes(model.SerializeToString(deterministic=True))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those within its nodes, in their order."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
            for one in attribute.graphs:
                yield from _graphs(one)


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Make initializers of large constants that are nodes."""
    kept = []
    for node in graph.node:
        value = node.attribute[0].t if _is_constant(node) else None
        if value is not None:
            _make_raw(value)
        if value is None or len(value.raw_data) < LEAST_BYTES:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
    if len(kept) < len(graph.node):
        kept = [_copy(node) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)


def _is_constant(node: onnx.NodeProto) -> bool:
    plain = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
    return plain and len(node.attribute) == 1 and node.attribute[0].name == "value"


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _make_raw(tensor: TensorProto) -> None:
    if tensor.HasField("raw_data") or tensor.data_type not in _RAW or tensor.data_location == TensorProto.EXTERNAL:
        return
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
