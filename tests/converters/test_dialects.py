"""What every dialect owes: from one plan a valid graph that its runtime fuses whole and that stays near FP32."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_layers import KINDS, Net, tiny_layers

from edgemill_converters.passes.base import copy_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, Dialect, WriteQdq, unfused_of
from edgemill_converters.quantization.dialects.base import Encoding
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_core.errors import ModelError, PassError
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

RNG = np.random.default_rng(3)
FEEDS = [RNG.standard_normal((1, 8, 16, 16)).astype(np.float32) for _ in range(4)]


@cache
def planned(kind: str) -> tuple[onnx.ModelProto, Plan]:
    """Ranges a third wider than the mean of the extremes, which would clip the extremes of noise."""
    model = tiny_layers(kind)
    return model, calibrate(model, FEEDS, 8).with_ranges_scaled(4 / 3)


@cache
def exact(kind: str, folder: Path) -> Array:
    return answers(planned(kind)[0], "onnxruntime", folder)


def answers(model: onnx.ModelProto, runtime: str, folder: Path) -> Array:
    onnx.save(model, folder / "graph.onnx")
    with load(runtime, folder / "graph.onnx") as engine:
        return np.concatenate([engine.run({"raw": x})["y"] for x in FEEDS])


def off(found: Array, known: Array) -> float:
    """Largest difference as a share of the largest value."""
    return float(np.abs(found - known).max() / np.abs(known).max())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialects")


class DialectContract:
    """The dialect ``runtime`` names, run by ``runs_on``."""

    runtime: str
    runs_on: str

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_stays_near_fp32(self, kind: str, folder: Path) -> None:
        model, plan = planned(kind)
        written = WriteQdq(plan, DIALECTS[self.runtime])(model)
        found, known = answers(written, self.runs_on, folder), exact(kind, folder)
        assert found.shape == known.shape
        assert 0 < off(found, known) < 0.05

    def test_layers_that_the_plan_leaves_out_stay_in_float(self) -> None:
        model, plan = planned("depthwise")
        written = WriteQdq(replace(plan, layers=plan.layers[:1]), DIALECTS[self.runtime])(model)
        floats = {tensor.name for tensor in written.graph.initializer if tensor.data_type == TensorProto.FLOAT}
        plain = [node.name for node in written.graph.node if node.op_type == "Conv" and node.input[1] in floats]
        assert plain == list(plan.layers[1:])

    def test_the_same_plan_gives_the_same_graph(self) -> None:
        model, plan = planned("residual")
        first, second = (WriteQdq(plan, DIALECTS[self.runtime])(model) for _ in range(2))
        assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


class FusingContract(DialectContract):
    """A dialect whose runtime is here and tells what it made of the graph."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_layer_of_the_plan_is_fused(self, kind: str, folder: Path) -> None:
        model, plan = planned(kind)
        onnx.save(WriteQdq(plan, DIALECTS[self.runtime])(model), folder / "fused.onnx")
        with load(self.runtime, folder / "fused.onnx") as engine:
            facts = engine.facts()
        assert unfused_of(facts, plan) == ()
        assert facts.layers["int8"] >= len(plan.layers)


class TestOnnxRuntime(FusingContract):
    runtime = runs_on = "onnxruntime"

    def test_gelu_and_the_mean_over_a_plane_stay_whole(self, folder: Path) -> None:
        for kind, idiom in (("gelu", "Gelu"), ("squeeze_excite", "GlobalAveragePool")):
            model, plan = planned(kind)
            written = WriteQdq(plan, DIALECTS["onnxruntime"])(model)
            kinds = [node.op_type for node in written.graph.node]
            assert idiom in kinds
            assert not {"Erf", "ReduceMean"} & set(kinds)

    def test_logits_are_not_rounded(self) -> None:
        model, plan = planned("pooling")
        last = WriteQdq(plan, DIALECTS["onnxruntime"])(model).graph.node[-1]
        assert (last.op_type, list(last.output)) == ("Gemm", ["y"])

    @pytest.mark.parametrize("number", ["half", "one", "root"])
    def test_what_only_looks_like_gelu_is_left_alone(self, number: str) -> None:
        net = Net()
        half, one, root = (value + (0.1 if number == name else 0) for name, value in
                           (("half", 0.5), ("one", 1.0), ("root", 2**0.5)))  # fmt: skip
        x = net.conv("x")
        plus = net.op("Add", net.op("Erf", net.op("Div", x, net.const(root))), net.const(one))
        model = net.model(net.op("Mul", net.op("Mul", x, plus), net.const(half)))
        written = WriteQdq(calibrate(model, FEEDS, 8), DIALECTS["onnxruntime"])(model)
        assert "Erf" in [node.op_type for node in written.graph.node]

    def test_gelu_written_with_the_half_first_is_known_as_well(self) -> None:
        net = Net()
        x = net.conv("x")
        plus = net.op("Add", net.op("Erf", net.op("Mul", x, net.const(0.5**0.5))), net.const(1))
        model = net.model(net.op("Mul", net.op("Mul", x, net.const(0.5)), plus))
        written = WriteQdq(calibrate(model, FEEDS, 8), DIALECTS["onnxruntime"])(model)
        assert [node.op_type for node in written.graph.node if node.domain] == ["Gelu"]


class TestOpenVino(FusingContract):
    runtime = runs_on = "openvino"

    def test_a_residual_sum_is_done_on_a_layers_way(self, folder: Path) -> None:
        """No kernel of its own, as there is where one of its sides stays in float."""
        model, plan = planned("residual")
        kernels = {}
        for sums, dialect in ((True, DIALECTS["openvino"]), (False, replace(DIALECTS["openvino"], sums=False))):
            onnx.save(WriteQdq(plan, dialect)(model), folder / "sum.onnx")
            compiled = openvino.Core().compile_model(folder / "sum.onnx", "CPU")
            kinds = [node.get_rt_info()["layerType"] for node in compiled.get_runtime_model().get_ops()]
            kernels[sums] = sum(kind in ("Subgraph", "Eltwise") for kind in kinds)
        assert kernels[True] == kernels[False] - 1

    def test_a_sum_of_what_has_no_range_is_left_alone(self) -> None:
        """A convolution that is read twice: what is behind its activation was not watched."""
        net = Net()
        twice = net.conv("x")
        first = net.op("Relu", net.conv("x"))
        both = net.op("Add", net.op("Relu", twice), first)
        model = net.model(net.op("Add", net.conv(both), net.op("Add", net.conv(first), twice)))
        plan = calibrate(model, FEEDS, 8)
        onnx.checker.check_model(WriteQdq(plan, DIALECTS["openvino"])(model))

    def test_a_sum_with_what_no_layer_writes_is_left_alone(self) -> None:
        net = Net()
        pooled = net.op("AveragePool", "x", kernel_shape=[3, 3], pads=[1] * 4)
        model = net.model(net.conv(net.op("Add", net.op("Relu", net.conv("x")), pooled)))
        plan = calibrate(model, FEEDS, 8)
        written = WriteQdq(plan, DIALECTS["openvino"])(model)
        pairs = sum(node.op_type == "QuantizeLinear" for node in written.graph.node)
        assert pairs == len({node.input[0] for node in model.graph.node if node.op_type == "Conv"})


class TestTensorRt(DialectContract):
    runtime, runs_on = "tensorrt", "onnxruntime"

    @pytest.mark.parametrize("kind", KINDS)
    def test_int8_is_symmetric_throughout_and_the_bias_stays_in_float(self, kind: str) -> None:
        model, plan = planned(kind)
        written = WriteQdq(plan, DIALECTS["tensorrt"])(model)
        known = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
        made = {node.output[0]: node.op_type for node in written.graph.node}
        reading = [node for node in written.graph.node if node.op_type == "DequantizeLinear"]
        assert len(reading) > len(plan.layers)
        for node in reading:
            assert known[node.input[2]].dtype == np.int8
            assert not known[node.input[2]].any()
            assert made[node.input[0]] == "QuantizeLinear"

    @pytest.mark.parametrize("kind", ["residual", "squeeze_excite"])
    def test_tensorrt_rtx_builds_it(self, kind: str) -> None:
        trt = pytest.importorskip(
            "tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install edgemill[tensorrt]"
        )
        model, plan = planned(kind)
        log = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(log)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log)
        assert parser.parse(WriteQdq(plan, DIALECTS["tensorrt"])(model).SerializeToString())
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM89, 0)
        assert builder.build_serialized_network(network, config) is not None


def test_the_dialects_agree(folder: Path) -> None:
    for kind in ("residual", "depthwise", "pooling"):
        model, plan = planned(kind)
        ours, theirs = (
            answers(WriteQdq(plan, DIALECTS[name])(model), name, folder) for name in ("onnxruntime", "openvino")
        )
        assert off(ours, theirs) < 0.05
        assert np.mean(ours.reshape(4, -1).argmax(1) == theirs.reshape(4, -1).argmax(1)) >= 0.75


@settings(deadline=None)
@given(
    low=st.floats(-1e4, 1e4, width=32),
    high=st.floats(-1e4, 1e4, width=32),
    name=st.sampled_from(sorted(DIALECTS)),
)
def test_an_encoding_holds_zero_exactly_and_its_range_to_half_a_step(low: float, high: float, name: str) -> None:
    found = Range(min(low, high), max(low, high))
    encoding = DIALECTS[name].encoding(found)
    limits = np.iinfo(encoding.dtype)
    assert limits.min <= encoding.zero_point <= limits.max
    for value in (0.0, found.low, found.high):
        stored = np.clip(np.rint(value / encoding.scale) + encoding.zero_point, limits.min, limits.max)
        # The zero point is rounded as well, so that an end may be one step off.
        assert abs((stored - encoding.zero_point) * encoding.scale - value) <= (value != 0) * encoding.scale * 1.001
    scale, zero_point = encoding.operands
    assert (scale.dtype, zero_point.dtype, scale.shape) == (np.float32, encoding.dtype, ())


def test_a_tensor_that_is_always_zero_has_a_scale() -> None:
    assert DIALECTS["openvino"].encoding(Range(0, 0)) == Encoding(1 / 255, 0, "uint8")


def test_a_bias_far_greater_than_its_weights_is_not_cut(folder: Path) -> None:
    net = Net()
    weights = np.full((8, 8, 1, 1), 1e-9, np.float32)
    model = net.model(net.op("Relu", net.op("Conv", "x", net.const(weights), net.const(np.arange(8) + 1.0))))
    plan = calibrate(model, FEEDS, 8)
    found = answers(WriteQdq(plan, DIALECTS["onnxruntime"])(model), "onnxruntime", folder)
    np.testing.assert_allclose(found[:, :, 0, 0], np.tile(np.arange(8) + 1.0, (4, 1)), atol=0.05)


def test_a_layer_that_is_the_output_keeps_the_output_s_name() -> None:
    model, plan = planned("direct_output")
    written = WriteQdq(plan, DIALECTS["onnxruntime"])(model)
    assert [value.name for value in written.graph.output] == ["y"]
    assert written.graph.node[-1].op_type == "DequantizeLinear"


def test_weights_are_stored_once_and_in_int8() -> None:
    model, plan = planned("depthwise")
    sizes = {name: len(WriteQdq(plan, dialect)(model).SerializeToString()) for name, dialect in DIALECTS.items()}
    floats = sum(numpy_helper.to_array(t).nbytes for t in model.graph.initializer if len(t.dims) == 4)
    assert sizes["tensorrt"] - sizes["openvino"] > 0.7 * floats


def test_a_layer_that_no_dialect_can_quantize_is_named() -> None:
    model, plan = planned("attention")
    products = [n for n in model.graph.node if n.op_type == "MatMul" and n.name not in plan.layers]
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    for layer, said in ((softmax, "Softmax"), (products[0], "MatMul without constant weights")):
        with pytest.raises(ModelError, match=f"no dialect can quantize layer '{layer.name}'") as caught:
            WriteQdq(replace(plan, layers=(layer.name,)), DIALECTS["openvino"])(model)
        assert said in str(caught.value)
    with pytest.raises(ModelError, match="no such layer in the graph"):
        WriteQdq(replace(plan, layers=("gone",)), DIALECTS["openvino"])(model)


def test_a_plan_without_a_tensor_s_range_names_tensor_and_layer() -> None:
    model, plan = planned("depthwise")
    last = next(node for node in model.graph.node if node.name == plan.layers[-1])
    ranges = {name: found for name, found in plan.ranges.items() if name != last.input[0]}
    with pytest.raises(ModelError, match=f"no range for tensor '{last.input[0]}'") as caught:
        WriteQdq(replace(plan, ranges=ranges), DIALECTS["openvino"])(model)
    assert last.name in str(caught.value)


def test_a_dialect_that_is_not_symmetric_as_it_says_breaks_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    model, plan = planned("residual")
    monkeypatch.setattr(Dialect, "encoding", lambda self, found: Encoding(0.1, 3, "int8"))
    with pytest.raises(PassError, match="symmetric int8 throughout"):
        WriteQdq(plan, DIALECTS["tensorrt"])(model)


def test_a_graph_in_another_dialect_has_its_unfused_layers_named(folder: Path) -> None:
    model, plan = planned("depthwise")
    onnx.save(WriteQdq(plan, DIALECTS["openvino"])(model), folder / "foreign.onnx")
    with load("onnxruntime", folder / "foreign.onnx") as engine:
        found = unfused_of(engine.facts(), plan)
    assert found
    assert set(found) <= set(plan.layers)


def test_the_given_graph_s_own_names_are_not_taken_twice() -> None:
    """A model that was quantized and dequantized before may carry the very names that we give."""
    model, plan = planned("conv_norm_relu")
    crowded = copy_of(model)
    crowded.graph.initializer.append(numpy_helper.from_array(np.float32(1), "x_dequantized_scale"))
    crowded.graph.node.append(helper.make_node("Neg", ["x_dequantized_scale"], ["unread"], "neg"))
    names = [tensor.name for tensor in WriteQdq(plan, DIALECTS["openvino"])(crowded).graph.initializer]
    assert len(set(names)) == len(names)
