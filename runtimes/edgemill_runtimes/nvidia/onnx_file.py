"""What must be known of an ONNX file without the ``onnx`` package, read from its bytes alone.

A box that runs TensorRT need have neither ``onnx`` nor ``protobuf``. Fields are passed over by their length (protobuf's
wire format), so a graph of gigabytes costs no memory; field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgemill_core.errors import ModelError
from edgemill_runtimes.engines.onnx_edges import Wired, edges_of

_DEEPEST = 100
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_INNER: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}
_NODE_OUTPUT, _NODE_NAME, _NODE_TYPE = 2, 3, 4
_KEY, _VALUE = 1, 2


def external_weights(graph: Path) -> tuple[Path, ...]:
    """The files that ``graph`` keeps weights in, each once, in the order of their names.

    Raises:
        ModelError: it is no ONNX file, or names a file that does not lie beside or below it.
    """
    with _read(graph) as content:
        told = [_location(content, message) for message in _messages(content, "Entry")]
        names = {_inside(name) for name in told if name is not None}
    return tuple(graph.parent / name for name in sorted(names))


def operations(graph: Path) -> dict[str, str]:
    """The operation of each node, by the name that TensorRT gives its layer: its own, or one made of its output.

    Raises:
        ModelError: it is no ONNX file.
    """
    found = {}
    with _read(graph) as content:
        for message in _messages(content, "Node"):
            told = {field.number: field for field in reversed(list(_fields(content, message)))}
            said = {number: _text(content, told[number]) if number in told else "" for number in (2, 3, 4)}
            found[said[_NODE_NAME] or f"node_of_{said[_NODE_OUTPUT]}"] = said[_NODE_TYPE]
    return found


def quantized_nodes(graph: Path) -> frozenset[str]:
    """Names of the main graph's nodes that compute on quantized operands (``Edges.is_quantized``).

    Raises:
        ModelError: it is no ONNX file.
    """
    with _read(graph) as content:
        whole = _Message(0, 0, len(content))
        parts = [part for main in _fields(content, whole) if main.number == 7 for part in _fields(content, main)]
        nodes = [_wired(content, part) for part in parts if part.number == 1]
        weights = [_fields(content, part) for part in parts if part.number == 5]
        known = {_text(content, field): list[int]() for each in weights for field in each if field.number == 8}
    edges = edges_of((node for node in nodes if node.inputs and node.outputs), known)
    return frozenset(name for name in edges.inputs if edges.is_quantized(name))


def _wired(content: memoryview, node: _Message) -> Wired:
    said: dict[int, list[str]] = {number: [] for number in (1, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE)}
    for field in _fields(content, node):
        if field.number in said:
            said[field.number].append(_text(content, field))
    name, operation = (next(iter(said[number]), "") for number in (_NODE_NAME, _NODE_TYPE))
    return Wired(name, operation, said[1], said[_NODE_OUTPUT])


class _Message(NamedTuple):
    number: int
    start: int
    end: int


@contextmanager
def _read(graph: Path) -> Iterator[memoryview]:
    try:
        with graph.open("rb") as file:
            if not file.seek(0, 2):
                raise ValueError("an empty file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
                yield content
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{graph.name} cannot be read",
            expected="an ONNX file whose weights lie in it or beside it",
            got=str(error),
            fix="check the file, or get the bundle again",
        ) from error


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"weights at {name!r}, which is not beside it")
    return str(path)


def _location(content: memoryview, entry: _Message) -> str | None:
    told = {field.number: _text(content, field) for field in _fields(content, entry)}
    return told.get(_VALUE, "") if told.get(_KEY) == "location" else None


def _text(content: memoryview, field: _Message) -> str:
    return bytes(content[field.start : field.end]).decode()


def _messages(content: memoryview, wanted: str) -> Iterator[_Message]:
    """Every message of the kind ``wanted``, wherever it is."""
    waiting = [("Model", _Message(0, 0, len(content)), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if kind == wanted:
            yield message
        if depth > _DEEPEST:
            raise ValueError(f"graphs within graphs, more than {_DEEPEST} deep")
        inner = _INNER[kind]
        if inner:
            fields = _fields(content, message)
            waiting += [(inner[field.number], field, depth + 1) for field in fields if field.number in inner]


def _fields(content: memoryview, message: _Message) -> Iterator[_Message]:
    """The fields of ``message`` that have a length."""
    _, start, end = message
    while start < end:
        tag, start = _varint(content, start, end)
        number, form = tag >> 3, tag & 7
        if form == _LENGTH:
            length, start = _varint(content, start, end)
            yield _Message(number, start, min(start + length, end))
            start += length
        elif form == _VARINT:
            _, start = _varint(content, start, end)
        elif form in (_FIXED32, _FIXED64):
            start += 4 if form == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the form {form}, which ONNX has none of")
    if start > end:
        raise ValueError("a field that ends behind its message")


def _varint(content: memoryview, start: int, end: int) -> tuple[int, int]:
    found = 0
    for index, byte in enumerate(content[start : min(start + 10, end)]):
        found |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return found, start + index + 1
    raise ValueError("a number without an end")
