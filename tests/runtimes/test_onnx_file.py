"""What is read from an ONNX file's bytes is what ``onnx`` itself reads; what is no such file is an error."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from edgemill_core.errors import ModelError
from edgemill_runtimes.engines.onnx_edges import read_edges
from edgemill_runtimes.nvidia.onnx_file import external_weights, operations, quantized_nodes


def outside(name: str, location: str) -> TensorProto:
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])
    tensor.raw_data = b"\0\0\0\0"
    set_external_data(tensor, location, offset=0, length=4)
    tensor.ClearField("raw_data")
    return tensor


def model(*nodes: onnx.NodeProto, known: tuple[TensorProto, ...] = ()) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    return helper.make_model(helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(known)))


def saved(folder: Path, content: onnx.ModelProto | bytes) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def test_weights_are_found_wherever_they_hang(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["d"], ["e"])], "inner", [], [], [outside("d", "sub/deep")])
    other = helper.make_graph([helper.make_node("Identity", ["f"], ["g"])], "other", [], [], [outside("f", "listed")])
    graph = model(
        helper.make_node("Constant", [], ["c"], value=outside("c", "constant")),
        helper.make_node("Cases", ["x"], ["z"], domain="ours", branches=[other]),
        helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner),
        known=(outside("a", "first"), outside("b", "first"), helper.make_tensor("n", TensorProto.FLOAT, [1], [1.0])),
    )
    found = external_weights(saved(tmp_path, graph))
    assert found == tuple(tmp_path / name for name in ("constant", "first", "listed", "sub/deep"))


@pytest.mark.parametrize("location", ["/etc/passwd", "../up", "a/../../up", ""])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelError, match="not beside it"):
        external_weights(saved(tmp_path, model(known=(outside("a", location),))))


def test_operations_by_the_names_that_tensorrt_gives(tmp_path: Path) -> None:
    graph = model(helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Split", ["r"], ["y", "z"]))
    assert operations(saved(tmp_path, graph)) == {"relu": "Relu", "node_of_y": "Split"}


def test_quantized_nodes_are_those_that_the_wiring_says(tmp_path: Path) -> None:
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    ends = [("x", "q", "a"), ("one", "v", "b")]
    pairs = [
        node
        for start, middle, end in ends
        for node in (
            helper.make_node("QuantizeLinear", [start, "one"], [middle]),
            helper.make_node("DequantizeLinear", [middle, "one"], [end]),
        )
    ]
    layers = [helper.make_node("Mul", ["a", "b"], ["m"], "both"), helper.make_node("Mul", ["a", "one"], ["y"], "half")]
    path = saved(tmp_path, model(*pairs, *layers, known=(one,)))
    edges = read_edges(path.read_bytes())
    assert quantized_nodes(path) == {name for name in edges.inputs if edges.is_quantized(name)} == {"both"}


@pytest.mark.parametrize("content", [b"", b"\x3a", b"\x3a\xff\xff\xff\xff\x0f", b"\x0b", b"\x08" + b"\xff" * 11])
def test_what_is_no_onnx_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    for read in (external_weights, operations, quantized_nodes):
        with pytest.raises(ModelError, match="cannot be read"):
            read(saved(tmp_path, content))


def test_graphs_within_graphs_end_somewhere(tmp_path: Path) -> None:
    content = b""
    for _ in range(200):  # an attribute with a graph with a node with an attribute …
        attribute = b"\x32" + _length(content) + content
        node = b"\x2a" + _length(attribute) + attribute
        content = b"\x0a" + _length(node) + node
    with pytest.raises(ModelError, match="deep"):
        external_weights(saved(tmp_path, b"\x3a" + _length(content) + content))


def _length(content: bytes) -> bytes:
    found, left = b"", len(content)
    while left > 0x7F:
        found, left = found + bytes([left & 0x7F | 0x80]), left >> 7
    return found + bytes([left])


WHOLE = model(helper.make_node("Relu", ["x"], ["y"], "relu"), known=(outside("a", "w"),)).SerializeToString()


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_damage_is_an_error_or_another_graph_and_never_more(place: int, byte: int, cut: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] = byte
    with tempfile.TemporaryDirectory() as folder:
        for content in (bytes(damaged), WHOLE[:cut]):
            path = saved(Path(folder), content)
            try:
                assert all(os.fspath(one).startswith(folder) for one in external_weights(path))
                operations(path)
                quantized_nodes(path)
            except ModelError:
                pass
