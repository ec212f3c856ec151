"""Which files beside it an ONNX graph keeps its weights in, read from its bytes alone.

A box that runs TensorRT need have neither ``onnx`` nor ``protobuf``. Fields are passed over by their length (protobuf's
wire format), so a graph of gigabytes costs no memory; field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgemill_core.errors import ModelError

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
}
_KEY, _VALUE = 1, 2


def external_weights(graph: Path) -> tuple[Path, ...]:
    """The files that ``graph`` keeps weights in, each once, in the order of their names.

    Raises:
        ModelError: it is no ONNX file, or names a file that does not lie beside or below it.
    """
    try:
        with graph.open("rb") as file:
            if not file.seek(0, 2):
                raise ValueError("an empty file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as whole:
                names = sorted({_inside(name) for name in _locations(whole, 0, len(whole), "Model", 0)})
    except (ValueError, IndexError, OSError) as error:
        raise ModelError(
            f"{graph.name} cannot be read",
            expected="an ONNX file whose weights lie in it or beside it",
            got=str(error),
            fix="check the file, or build the bundle again",
        ) from error
    return tuple(graph.parent / name for name in names)


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"weights at {name!r}, which is not beside it")
    return str(path)


def _locations(content: memoryview, start: int, end: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError(f"graphs within graphs, more than {_DEEPEST} deep")
    if kind == "Entry":
        fields = {number: bytes(content[one:other]) for number, one, other in _fields(content, start, end)}
        if fields.get(_KEY) == b"location":
            yield fields.get(_VALUE, b"").decode()
        return
    for number, one, other in _fields(content, start, end):
        if number in _INNER[kind]:
            yield from _locations(content, one, other, _INNER[kind][number], depth + 1)


def _fields(content: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of ``content[start:end]`` that has a length."""
    while start < end:
        tag, start = _varint(content, start, end)
        number, form = tag >> 3, tag & 7
        if form == _LENGTH:
            length, start = _varint(content, start, end)
            if length > end - start:
                raise ValueError("a field that ends behind the file's end")
            yield number, start, start + length
            start += length
        elif form == _VARINT:
            _, start = _varint(content, start, end)
        elif form in (_FIXED32, _FIXED64):
            start += 4 if form == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the form {form}, which ONNX has none of")
    if start > end:
        raise ValueError("a field that ends behind the file's end")


def _varint(content: memoryview, start: int, end: int) -> tuple[int, int]:
    found = 0
    for index in range(10):
        if start + index >= end:
            raise ValueError("a number that ends behind the file's end")
        byte = content[start + index]
        found |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return found, start + index + 1
    raise ValueError("a number of more than ten bytes")
