"""What stands in for a GPU: a graph computed as it is written, against ONNX's own reference and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tiny_layers import KINDS, tiny_layers

from edgemill_converters.precisions.fp16 import ToFloat16
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.standing_in.running import TOLERANCE, tolerance_of, write_spelled_out
from edgemill_converters.standing_in.spelling_out import SpellOut
from edgemill_converters.standing_in.weight_bytes import weight_bytes
from edgemill_core.errors import PassError
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

RNG = np.random.default_rng(7)
Node = onnx.NodeProto


def graph_of(nodes: list[Node], known: dict[str, Array], shape: list[int], opset: int = 17) -> onnx.ModelProto:
    """From ``x: float`` to ``y: float`` of the same shape."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(v, k) for k, v in known.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def in_half(factors: list[float]) -> onnx.ModelProto:
    """``x`` times each factor, one after the other, in FP16."""
    nodes = [helper.make_node("Cast", ["x"], ["v0"], "in", to=TensorProto.FLOAT16)]
    nodes += [helper.make_node("Mul", [f"v{i}", f"c{i}"], [f"v{i + 1}"], f"mul{i}") for i in range(len(factors))]
    nodes.append(helper.make_node("Cast", [f"v{len(factors)}"], ["y"], "out", to=TensorProto.FLOAT))
    return graph_of(nodes, {f"c{i}": np.array(v, np.float16) for i, v in enumerate(factors)}, [64])


def quantizing(scale: Array, zero: Array | None, **axis: int) -> onnx.ModelProto:
    known = {"s": scale, **({"z": zero} if zero is not None else {})}
    operands = ["s", *(["z"] if zero is not None else [])]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *operands], ["q"], "q", **axis),
        helper.make_node("DequantizeLinear", ["q", *operands], ["y"], "dq", **axis),
    ]
    return graph_of(nodes, known, [2, 3, 40], opset=19)


def stood_in(model: onnx.ModelProto, x: Array, folder: Path) -> Array:
    onnx.save(model, folder / "g.onnx")
    with load("onnxruntime", write_spelled_out(folder / "g.onnx", folder)) as engine:
        return next(iter(engine.run({engine.inputs[0].name: x}).values()))


def by_reference(model: onnx.ModelProto, x: Array) -> Array:
    found: Array = ReferenceEvaluator(model).run(None, {"x": x})[0]
    return found


def test_fp16_that_overflows_on_a_gpu_does_so_here_where_onnx_runtime_alone_hides_it(tmp_path: Path) -> None:
    model, x = in_half([300.0, 300.0, 1 / 300, 1 / 300]), np.full(64, 2, np.float32)
    assert np.isinf(stood_in(model, x, tmp_path)).all()
    with load("onnxruntime", tmp_path / "g.onnx") as engine:
        assert np.isfinite(engine.run({"x": x})["y"]).all()


def test_fp16_is_rounded_behind_every_operator_as_onnx_says(tmp_path: Path) -> None:
    model, x = in_half([1.1, 0.3, 7.7]), RNG.standard_normal(64).astype(np.float32)
    assert (stood_in(model, x, tmp_path) == by_reference(model, x)).all()


@pytest.mark.parametrize(
    ("scale", "zero", "axis"),
    [
        (np.float32(0.5), np.int8(0), {}),
        (np.float32(0.03), np.int8(0), {}),
        (np.float32(0.02), np.uint8(131), {}),
        (np.float32(0.25), None, {}),
        (np.array([0.5, 0.01, 1], np.float32), np.zeros(3, np.int8), {"axis": 1}),
        (np.array([0.5, 0.01], np.float32), np.array([3, -7], np.int8), {"axis": 0}),
        (np.linspace(0.01, 1, 40, dtype=np.float32), np.zeros(40, np.int8), {"axis": -1}),
    ],
)
def test_quantized_values_are_those_that_onnx_says(
    scale: Array, zero: Array | None, axis: dict[str, int], tmp_path: Path
) -> None:
    model = quantizing(np.asarray(scale), None if zero is None else np.asarray(zero), **axis)
    halves = np.arange(-60, 60, dtype=np.float32).reshape(1, 3, 40) * 0.25  # ties of 0.5, which round to even
    x = np.concatenate([halves, 30 * RNG.standard_normal((1, 3, 40)).astype(np.float32)])  # and much that saturates
    assert (stood_in(model, x, tmp_path) == by_reference(model, x)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_of_layer_the_int8_that_tensorrt_gets_is_spelled_out(kind: str, tmp_path: Path) -> None:
    model = tiny_layers(kind)
    feeds = [RNG.standard_normal((1, 8, 16, 16)).astype(np.float32) for _ in range(2)]
    written = WriteQdq(calibrate(model, feeds, 8), DIALECTS["tensorrt_rtx"])(model)
    spelled = SpellOut()(written)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in spelled.graph.node}
    onnx.save(written, tmp_path / "w.onnx")
    with load("onnxruntime", tmp_path / "w.onnx") as engine:
        fused = engine.run({"raw": feeds[0]})["y"]
    found = stood_in(written, feeds[0], tmp_path)
    assert np.abs(found - fused).max() <= 0.02 * np.abs(fused).max()  # a step to one side or the other, no more


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_of_layer_fp16_is_near_fp32_and_not_the_same(kind: str, tmp_path: Path) -> None:
    model, x = tiny_layers(kind), RNG.standard_normal((1, 8, 16, 16)).astype(np.float32)
    onnx.save(model, tmp_path / "exact.onnx")
    with load("onnxruntime", tmp_path / "exact.onnx") as engine:
        exact = engine.run({"raw": x})["y"]
    found = stood_in(ToFloat16()(model), x, tmp_path)
    assert 0 < np.abs(found - exact).max() <= 0.005 * np.abs(exact).max()
    assert (found == found.astype(np.float16)).all()


def test_outputs_in_pixels_may_be_off_by_more_than_those_of_one(tmp_path: Path) -> None:
    """Two faithful runs: the stand-in with its sums in this order, and in the other."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((2048, 64)).astype(np.float32) / 32
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["sums"], "sums"),
        helper.make_node("Sigmoid", ["sums"], ["share"], "share"),
        helper.make_node("Mul", ["share", "side"], ["y"], "pixels"),
    ]
    x, order = rng.standard_normal((64, 2048)).astype(np.float32), rng.permutation(2048)
    found = []
    for seen, w in ((x, weights), (x[:, order], weights[order])):
        model = graph_of(nodes, {"w": w, "side": np.array(640, np.float32)}, [64, 64])
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2048
        found.append(stood_in(ToFloat16()(model), np.ascontiguousarray(seen), tmp_path))
    assert TOLERANCE["fp16"] < np.abs(found[0] - found[1]).max() <= tolerance_of("fp16", found[0])
    assert tolerance_of("fp16", found[0] / 640) == tolerance_of("fp16", np.array([np.inf, np.nan])) == TOLERANCE["fp16"]


def test_what_rounds_nothing_is_left_as_it_is() -> None:
    model = tiny_layers("residual")
    assert [node.op_type for node in SpellOut()(model).graph.node] == [node.op_type for node in model.graph.node]


def test_graphs_within_the_graph_are_spelled_out_too(tmp_path: Path) -> None:
    half = helper.make_tensor_value_info("inner", TensorProto.FLOAT16, [64])
    grown = helper.make_node("Mul", ["v", "c"], ["inner"], "inner")
    kept = helper.make_node("Identity", ["v"], ["inner"], "kept")
    nodes = [
        helper.make_node("Cast", ["x"], ["v"], "in", to=TensorProto.FLOAT16),
        helper.make_node("Constant", [], ["yes"], "yes", value=numpy_helper.from_array(np.array(True))),
        helper.make_node(
            "If",
            ["yes"],
            ["chosen"],
            "if",
            then_branch=helper.make_graph([grown], "then", [], [half]),
            else_branch=helper.make_graph([kept], "else", [], [half]),
        ),
        helper.make_node("Cast", ["chosen"], ["y"], "out", to=TensorProto.FLOAT),
    ]
    model = graph_of(nodes, {"c": np.array(6e4, np.float16)}, [64])
    assert np.isinf(stood_in(model, np.full(64, 2, np.float32), tmp_path)).all()


def refused(model: onnx.ModelProto, expected: str) -> None:
    with pytest.raises(PassError) as caught:
        SpellOut()(model)
    assert expected in str(caught.value.expected)
    assert caught.value.fix


def test_what_cannot_be_computed_as_written_is_refused() -> None:
    refused(quantizing(np.array([0.5, 1], np.float32), None, axis=0, block_size=1), "one scale a tensor or a channel")
    computed = quantizing(np.array(0.5, np.float32), None)
    computed.graph.node.insert(0, helper.make_node("ReduceMax", ["x"], ["s2"], "max", keepdims=0))
    computed.graph.node[1].input[1] = "s2"
    refused(computed, "constant scales")
    refused(graph_of([helper.make_node("Relu", ["x"], ["y"], "r")], {}, [4], opset=12), "opset 13 or newer")
    half = graph_of([helper.make_node("Cast", ["x"], ["y"], "c", to=TensorProto.FLOAT16)], {}, [4])
    half.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    refused(half, "inputs and outputs in FP32")
    stale = in_half([300.0])
    stale.graph.value_info.append(helper.make_tensor_value_info("v1", TensorProto.FLOAT, [64]))
    refused(stale, "types that their operators give")
    for kind in (TensorProto.FLOAT8E4M3FN, TensorProto.INT4):
        few = quantizing(np.array(0.5, np.float32), np.zeros((), helper.tensor_dtype_to_np_dtype(kind)))
        few.opset_import[0].version = 21
        refused(few, "whole numbers of 8, 16 or 32 bits")
        del few.graph.node[0]
        few.graph.initializer[1].name = "q"
        few.graph.node[0].input[:] = ["q", "s"]
        refused(few, "whole numbers of 8, 16 or 32 bits")
    strange = graph_of([helper.make_node("Odd", ["x"], ["y0"], "odd", domain="own")], {}, [4])
    strange.opset_import.append(helper.make_opsetid("own", 1))
    strange.graph.node.append(helper.make_node("Relu", ["y0"], ["y"], "r"))
    refused(strange, "tensors whose types are known")


def test_what_the_file_says_of_types_is_believed_where_the_operator_is_not_known() -> None:
    nodes = [
        helper.make_node("Odd", ["x"], ["v"], "odd", domain="own"),
        helper.make_node("Relu", ["v"], ["w"], "relu"),
        helper.make_node("Cast", ["w"], ["y"], "out", to=TensorProto.FLOAT),
    ]
    model = graph_of(nodes, {}, [4])
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.FLOAT16, [4]))
    kinds = [node.op_type for node in SpellOut()(model).graph.node]
    assert kinds == ["Odd", "Cast", "Cast", "Relu", "Cast", "Cast", "Cast"]


def test_weights_count_as_they_are_kept_and_not_as_they_are_written() -> None:
    model = tiny_layers("direct_output")  # one convolution of 8 x 8 x 3 x 3, its bias, and a factor
    assert weight_bytes(model.graph) == 4 * (576 + 8 + 1)
    assert weight_bytes(SpellOut()(model).graph) == 4 * (576 + 8 + 1)
    feeds = [RNG.standard_normal((1, 8, 16, 16)).astype(np.float32)]
    written = WriteQdq(calibrate(model, feeds, 8), DIALECTS["tensorrt"])(model)
    assert weight_bytes(written.graph) == 576 + 4 * (8 + 1) + (4 + 1) * (8 + 1)  # scales and zero points of 9
    external = onnx.ModelProto()
    external.CopyFrom(model)
    for tensor in external.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    assert weight_bytes(external.graph) == weight_bytes(model.graph)
