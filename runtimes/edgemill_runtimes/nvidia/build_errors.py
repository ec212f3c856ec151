"""What a builder's log says, in our words: which node it cannot build, and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edgemill_core.errors import EdgemillError, EngineError, ModelError
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime

_WAYS_OUT = {
    # Of ONNX's own test graphs of one operation these are read and not built by TensorRT-RTX 1.7.1.
    "Attention": "take it apart into MatMul and Softmax (the exporter's older opset does)",
    "NonMaxSuppression": "keep the boxes as the model gives them and let the task suppress overlapping ones (its own "
    "post-processing), or cut the graph before it with `model: {output: …}`",
}
_OTHERWISE = "move it behind the graph, into post-processing, or rewrite it"
_OTHER_TARGETS = {
    "tensorrt": "or build this variant for onnxruntime",
    "tensorrt_rtx": "or build this variant for onnxruntime, openvino, or tensorrt",
}
_NO_MEMORY = re.compile(
    r"out ?of ?memory|bad_alloc|insufficient memory|cannot allocate|resource temporarily unavailable", re.I
)
"""The last is what a thread says that got no room for its stack."""


class Complaint(NamedTuple):
    """Of the parser; node and operation may be empty."""

    node: str
    operation: str
    said: str


def unparsed(graph: str, runtime: NvidiaRuntime, version: str, complaints: Sequence[Complaint]) -> EdgemillError:
    """The parser refused.

    Args:
        graph: name of the file.
        runtime: whose parser.
        version: of it.
        complaints: all of it.
    """
    if (line := _without_memory(one.said for one in complaints)) is not None:
        return out_of_memory(graph, runtime, version, line)
    first = next((one for one in complaints if one.operation), None) or next(iter(complaints), Complaint("", "", ""))
    return ModelError(
        f"{runtime} {version} cannot read {graph}"
        + (f": {_named(first.node, first.operation)}" if first.operation else ""),
        expected="operations that its parser knows, as it wants them",
        got=first.said or "a refusal without a reason",
        fix=_way_out(first.operation, runtime),
    )


def unbuilt(
    graph: str, runtime: NvidiaRuntime, version: str, log: Sequence[str], operations: Mapping[str, str]
) -> EdgemillError:
    """The parser took the graph, and the builder gave up.

    Args:
        graph: name of the file.
        runtime: whose builder.
        version: of it.
        log: its errors, in order.
        operations: of the graph's nodes, by name.
    """
    if (line := _without_memory(log)) is not None:
        return out_of_memory(graph, runtime, version, line)
    found = named_in(log, operations)
    operation = "" if found is None else operations[found]
    return ModelError(
        f"{runtime} {version} reads {graph} but cannot build it"
        + (f": {_named(found, operation)} has no kernel here" if found is not None else ""),
        expected="a kernel for every operation",
        got=log[-1][-600:] if log else "a refusal without a reason",
        fix=_way_out(operation, runtime),
    )


def out_of_memory(graph: str, runtime: NvidiaRuntime, version: str, said: str) -> EngineError:
    """There was too little of it, or too little allowed."""
    return EngineError(
        f"{runtime} {version} ran out of memory over {graph}",
        expected="enough to read it and to try kernels",
        got=said,
        fix="allow it more memory, end what else runs here, or copy a plan from a box of the same kind",
    )


def _without_memory(log: Iterable[str]) -> str | None:
    return next((line for line in log if _NO_MEMORY.search(line)), None)


def named_in(log: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Which node a log speaks of: the longest name of the first line that has any as a word of its own.

    The builder appends numbers to names (``nms_0``), and joins those of layers that it fused (``conv + relu``). Where
    it names none, it may still name the operation.
    """
    longest_first = sorted((name for name in names if name), key=len, reverse=True)
    for line in log:
        for name in longest_first:
            if re.search(rf"(?<![\w/])(?<!\w\.){re.escape(name)}(_\d+)?(?![\w/])", line):
                return name
    said = "\n".join(log)
    return next((name for name, kind in names.items() if re.search(rf"\b{re.escape(kind)} operation\b", said)), None)


def _named(node: str | None, operation: str) -> str:
    return f"{operation} {node!r}" if node else operation


def _way_out(operation: str, runtime: NvidiaRuntime) -> str:
    return f"{_WAYS_OUT.get(operation, _OTHERWISE)}; {_OTHER_TARGETS[runtime]}"
