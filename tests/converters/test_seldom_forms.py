"""Legal forms that exporters seldom write: quantization leaves them alone, or writes what runs and stays near FP32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_layers import Net

from edgemill_converters.passes.base import names_read
from edgemill_converters.precisions.int8_dynamic import QuantizeDynamically
from edgemill_converters.quantization.bias import ShiftBias, bias_shifts
from edgemill_converters.quantization.calibration import calibrate, collect, quantizable_layers
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.dialects.weights import quantize_weights
from edgemill_converters.quantization.final import final_tensors, stand_ins
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.quantization.sensitivity import weight_noise
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.quantization.wiring import Wiring
from edgemill_core.errors import ModelError, PassError
from edgemill_runtimes.engines import load

RNG = np.random.default_rng(8)


def tensor(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)


def model_of(nodes: list[onnx.NodeProto], shape: list[int | str], *known: TensorProto) -> onnx.ModelProto:
    taken, told = (
        helper.make_tensor_value_info(name, 1, size) for name, size in (("x", shape), ("y", [None] * len(shape)))
    )
    graph = helper.make_graph(nodes, "g", [taken], [told], list(known))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto, fed: np.ndarray, folder: Path) -> np.ndarray:
    onnx.save(model, folder / "m.onnx")
    with load("onnxruntime", folder / "m.onnx") as engine:
        return np.asarray(engine.run({"x": fed})["y"])


@pytest.mark.parametrize("kind", ["Gemm", "Conv"])
def test_a_bias_that_is_computed_is_kept(kind: str) -> None:
    """As where ONNX Runtime has fused a residual into a Gemm."""
    shape, wide = ([3, 4], [4, 4]) if kind == "Gemm" else ([1, 4, 5, 5], [4, 4, 1, 1])
    residual = helper.make_node("Relu", ["x" if kind == "Gemm" else "b"], ["r"], "relu")
    model = model_of(
        [residual, helper.make_node(kind, ["x", "w", "r"], ["y"], "layer")], shape, tensor("w", *wide), tensor("b", 4)
    )
    layers = [model.graph.node[1]]
    plain = model_of([helper.make_node(kind, ["x", "w"], ["y"], "layer")], shape, *model.graph.initializer)
    seen = collect(plain, [RNG.normal(1, 1, shape).astype(np.float32)]).tensors
    assert set(bias_shifts(plain.graph, plain.graph.node, seen, 8)) == {"layer"}
    assert bias_shifts(model.graph, layers, seen, 8) == {}
    assert len(quantizable_layers(model.graph)) == (kind == "Conv")
    with pytest.raises(PassError, match="shift-bias"):
        ShiftBias(Plan({}, ("layer",), 8, "", 1, {"layer": (1.0,) * 4}))(model)


@pytest.mark.parametrize("shape", [(16,), (1, 16, 8), (2, 16, 8)])
def test_weights_that_are_no_matrix_stay_in_float(shape: tuple[int, ...]) -> None:
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "layer")], [2, 4, 16], tensor("w", *shape))
    assert quantizable_layers(model.graph) == []
    plan = Plan({"x": Range(-1, 1)}, ("layer",), 8, "", 1)
    with pytest.raises(ModelError) as caught:
        WriteQdq(plan, DIALECTS["onnxruntime"])(model)
    assert caught.value.got == f"MatMul with weights [{', '.join(map(str, shape))}]"


@pytest.mark.parametrize(
    ("shape", "quantized"), [((4,), True), ((1, 4), True), ((4, 4), False), ((4, 1), False), ((1,), False), ((), False)]
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_gemm_s_bias_may_have_any_legal_form(
    dialect: str, shape: tuple[int, ...], quantized: bool, tmp_path: Path
) -> None:
    model = model_of(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "layer")], [4, 6], tensor("w", 6, 4), tensor("b", *shape)
    )
    fed = RNG.normal(size=(4, 6)).astype(np.float32)
    plan = calibrate(model, [fed], 8, Quantization(bias_correction=False))
    written = WriteQdq(plan, DIALECTS[dialect])(model)
    assert np.abs(answer(written, fed, tmp_path) - answer(model, fed, tmp_path)).max() < 0.15
    if dialect == "onnxruntime":
        stored = [one for one in written.graph.initializer if one.data_type == TensorProto.INT32]
        assert bool(stored) is quantized


def test_one_mean_for_all_channels_is_none_for_a_layer_of_groups() -> None:
    """Where the middle of a shape is open, the axis of channels is not known."""
    seen = collect(
        model_of([helper.make_node("Conv", ["x", "w"], ["y"], "layer")], [1, 1, 5, 5], tensor("w", 4, 1, 1, 1)),
        [np.ones((1, 1, 5, 5), np.float32)],
    ).tensors
    assert seen["x"].channel_means.size == 1
    for group, known in ((4, False), (1, True)):
        layer = helper.make_node("Conv", ["x", "w"], ["y"], "layer", group=group)
        model = model_of([layer], [1, group, 5, 5], tensor("w", 4, 1, 1, 1))
        assert bool(bias_shifts(model.graph, [layer], seen, 7)) is known


def captured() -> onnx.ModelProto:
    """A layer whose output goes to a ReLU and, with its weights, into a branch."""
    net = Net()
    layer = net.op("Conv", "x", "w", net.normal(4))
    inner = [helper.make_node("Conv", [layer, "v"], ["a"], "inner"), helper.make_node("Add", ["a", "s"], ["b"], "sum")]
    other = [helper.make_node("Relu", [layer], ["c"], "inner_relu")]
    branches = {
        key: helper.make_graph(nodes, key, [], [helper.make_tensor_value_info(out, 1, [None] * 4)])
        for key, nodes, out in (("then_branch", inner, "b"), ("else_branch", other, "c"))
    }
    left = net.op("Relu", layer)
    chosen = net.op("If", net.const(True, bool), **branches)
    sized = net.op("Mul", net.op("ReduceMax", "w", keepdims=0), net.op("ReduceMax", left, keepdims=0))
    nodes = [*net.nodes, helper.make_node("Add", [chosen, sized], ["y"], "end")]
    nodes[0].input[0] = "raw"
    raw = helper.make_tensor_value_info("raw", 1, [1, 8, 6, 6])
    known = [*net.known, tensor("w", 4, 8, 1, 1), tensor("v", 4, 4, 1, 1), tensor("s", 4, 1, 1)]
    graph = helper.make_graph(nodes, "g", [raw], [helper.make_tensor_value_info("y", 1, [None] * 4)], known)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_graphs_within_a_node_take_is_read() -> None:
    model = captured()
    branch = next(node for node in model.graph.node if node.op_type == "If")
    (layer,) = quantizable_layers(model.graph)
    assert {layer.output[0], "v", "s"} <= set(names_read(branch))
    assert Wiring(model.graph).only_reader(layer.output[0]) is None
    assert stand_ins(model.graph) == {}
    assert layer.output[0] not in final_tensors(model.graph)
    ranges = {name: Range(-1, 1) for name in (layer.input[0], layer.output[0])}
    plan = Plan(ranges, (layer.name,), 8, "", 1, {layer.name: (1.0,) * 4})
    for dialect in DIALECTS.values():
        written = WriteQdq(plan, dialect)(model)
        assert {"w", "v", "s"} <= {one.name for one in written.graph.initializer}


def test_a_sum_that_a_branch_looks_behind_takes_no_shift() -> None:
    """The branch would not see it."""
    body = helper.make_graph(
        [helper.make_node("Neg", ["m"], ["n"], "neg")], "b", [], [helper.make_tensor_value_info("n", 1, [None] * 4)]
    )
    product, total = helper.make_node("MatMul", ["x", "w"], ["m"], "layer"), helper.make_node("Add", ["m", "b"], ["y"])
    branch = helper.make_node("If", ["yes"], ["z"], "if", then_branch=body, else_branch=body)
    known = (tensor("w", 6, 4), tensor("b", 4), numpy_helper.from_array(np.array(True), "yes"))
    plain = model_of([product, total], [3, 6], *known)
    seen = collect(plain, [RNG.normal(1, 1, (3, 6)).astype(np.float32)]).tensors
    assert set(bias_shifts(plain.graph, [product], seen, 7)) == {"layer"}
    assert bias_shifts(model_of([product, total, branch], [3, 6], *known).graph, [product], seen, 7) == {}


@pytest.mark.parametrize("bits", [8, 7])
@pytest.mark.parametrize(("kind", "turned"), [("Conv", 0), ("Gemm", 0), ("Gemm", 1), ("MatMul", 0)])
def test_the_noise_of_weights_is_what_the_writer_makes(kind: str, turned: int, bits: int) -> None:
    node = helper.make_node(kind, ["x", "w"], ["y"], **({"transB": turned} if kind == "Gemm" else {}))
    weights = tensor("w", *((6, 4, 3, 3) if kind == "Conv" else (6, 4)))
    values = numpy_helper.to_array(weights)
    found = quantize_weights(weights, node, bits, None, 1.0)
    shape = [-1 if index == found.axis else 1 for index in range(values.ndim)]
    made = np.square(found.stored * found.scale.reshape(shape) - values).sum() / np.square(values).sum()
    assert weight_noise(node, values, bits) == pytest.approx(made, rel=1e-3)


DYNAMIC = {
    "odd (alpha 0.5, transA 1)": (helper.make_node("Gemm", ["x", "w"], ["m"], "odd", alpha=0.5, transA=1), (6, 4)),
    "odd (weights [2, 3, 4])": (helper.make_node("MatMul", ["x", "w"], ["m"], "odd"), (2, 3, 4)),
}


@pytest.mark.parametrize("said", DYNAMIC)
def test_dynamic_int8_leaves_what_it_cannot_write_or_says_why_there_is_nothing(said: str, tmp_path: Path) -> None:
    odd, shape = DYNAMIC[said]
    known = tensor("w", *shape), tensor("v", 4, 4)
    plain = model_of([odd, helper.make_node("MatMul", ["m", "v"], ["y"], "product")], [6, 3], *known)
    plain.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [None] * (2 if odd.op_type == "Gemm" else 3)))
    written, fed = QuantizeDynamically(8)(plain), RNG.normal(size=(6, 3)).astype(np.float32)
    kinds = [node.op_type for node in written.graph.node]
    assert kinds.count("MatMulInteger") == kinds.count(odd.op_type) == 1
    assert np.abs(answer(written, fed, tmp_path) - answer(plain, fed, tmp_path)).max() < 0.3
    with pytest.raises(ModelError) as caught:
        QuantizeDynamically(8)(model_of([odd, helper.make_node("Relu", ["m"], ["y"])], [6, 3], *known))
    assert caught.value.got == said
    assert "leave int8-dynamic out" in caught.value.fix
