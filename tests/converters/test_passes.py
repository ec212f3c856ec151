"""Passes keep their promises, or are found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_text import tiny_model

from edgemill_converters.bake import bake, reference_feeds, reference_output
from edgemill_converters.importers import ImportedModel
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.bake_tensors import BakeTensors
from edgemill_converters.passes.base import Pass, Sequential, copy_of, rename_tensor
from edgemill_converters.passes.fix_shape import FixShape, picture_input
from edgemill_converters.passes.fix_shapes import FixShapes
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.select_classes import SelectClasses, text_classes
from edgemill_converters.passes.upgrade_opset import UpgradeOpset, opset_of
from edgemill_converters.quantization.calibration import calibrate, quantizable_layers
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.plan import Plan
from edgemill_core.errors import DataError, ModelError, PassError
from edgemill_core.picture_input import Colour, Layout, Normalise, PictureInput
from edgemill_core.tasks import TextRecognition
from edgemill_runtimes.engines import load

INPUT = PictureInput(size=(32, 8), normalise=Normalise(mean=(10, 20, 30), std=(50, 60, 70)))


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    return np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])


class Stamp(Pass):
    """A pass that can be told to misbehave."""

    name = "stamp"

    def __init__(self, way: str) -> None:
        self._way = way

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = model if self._way == "in place" else copy_of(model)
        result.producer_name = "stamped"
        if self._way == "invalid":
            result.graph.node[0].op_type = "NoSuchOperator"
        if self._way == "raises":
            raise RuntimeError("out of ink")
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if self._way == "unkept":
            raise self._broken("a stamp", "none")


@pytest.mark.parametrize(
    ("way", "part"),
    [
        ("in place", "edited it in place"),
        ("invalid", "NoSuchOperator"),
        ("raises", "out of ink"),
        ("unkept", "broke its promise"),
    ],
)
def test_a_pass_that_misbehaves_is_found_out(way: str, part: str) -> None:
    with pytest.raises(PassError) as caught:
        Stamp(way)(tiny_model())
    assert part in str(caught.value)
    assert "'stamp'" in str(caught.value)


EMPTY_PLAN = Plan({}, ("conv",), 8, "none", 1)


@pytest.mark.parametrize(
    "honest",
    [
        FixShape(INPUT),
        UpgradeOpset(),
        BakeInput(INPUT),
        SelectClasses([0], "probabilities"),
        WriteQdq(EMPTY_PLAN, DIALECTS["tensorrt"]),
    ],
    ids=lambda honest: honest.name,
)
def test_a_pass_that_does_nothing_breaks_its_promise(honest: Pass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(honest), "_apply", lambda self, model: copy_of(model))
    with pytest.raises(PassError) as caught:
        honest(tiny_model())
    assert f"pass '{honest.name}' broke its promise" in str(caught.value)
    for field in (caught.value.expected, caught.value.got, caught.value.fix):
        assert field


def test_folding_leaves_no_operator_of_a_single_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def foreign(self: Fold, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        result.graph.node[0].domain = "com.microsoft"
        result.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        return result

    monkeypatch.setattr(Fold, "_apply", foreign)
    with pytest.raises(PassError, match="'fold' broke its promise"):
        Fold()(tiny_model())


def test_no_pass_edits_the_model_it_was_given() -> None:
    model = tiny_model()
    before = model.SerializeToString(deterministic=True)
    shaped = FixShape(INPUT)(model)
    assert model.SerializeToString(deterministic=True) == before
    for step in (UpgradeOpset(), SelectClasses([0, 1], "probabilities"), BakeInput(INPUT), Fold()):
        given = shaped.SerializeToString(deterministic=True)
        step(shaped)
        assert shaped.SerializeToString(deterministic=True) == given


def test_a_sequence_says_what_ran_before_the_failure() -> None:
    with pytest.raises(PassError) as caught:
        Sequential([UpgradeOpset(), Stamp("fine"), Stamp("raises")])(tiny_model())
    assert "after: upgrade-opset, stamp" in str(caught.value)


@pytest.mark.parametrize("colour", [Colour.RGB, Colour.BGR])
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_the_baked_graph_takes_pictures_and_computes_the_same(colour: Colour, opset: int) -> None:
    declared = INPUT.model_copy(update={"colour": colour})
    model = FixShape(declared)(tiny_model(max(opset, 13)))
    baked = Sequential([UpgradeOpset(), BakeInput(declared), Fold()])(model)
    picture = np.random.default_rng(0).integers(0, 256, (1, 8, 32, 3)).astype(np.uint8)
    ordered = picture[..., ::-1] if colour is Colour.RGB else picture
    x = ((ordered - np.array([10, 20, 30])) / np.array([50, 60, 70])).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(run(baked, {"picture": picture}), run(model, {"x": x}), atol=1e-5)
    assert opset_of(baked) >= 17


def test_models_that_want_channels_last_get_them() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "h", "w", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    declared = PictureInput(
        size=(3, 2), colour=Colour.GREY, layout=Layout.NHWC, normalise=Normalise(mean=(1,), std=(2,))
    )
    baked = BakeInput(declared)(FixShape(declared)(model))
    picture = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    np.testing.assert_allclose(run(baked, {"picture": picture}), (picture - 1.0) / 2)


@pytest.mark.parametrize("colour", [Colour.RGB, Colour.BGR])
@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("opset", [9, 13])
def test_baking_agrees_with_normalising_on_the_host(tmp_path: Path, colour: Colour, layout: Layout, opset: int) -> None:
    declared = INPUT.model_copy(update={"colour": colour, "layout": layout})
    model = ImportedModel(tmp_path, "", reader(layout, opset), ("A", "B"))
    task = TextRecognition(alphabet="BA")
    baked = bake(model, declared, task)
    pictures = np.random.default_rng(4).integers(0, 256, (5, 8, 32, 3)).astype(np.uint8)
    onnx.save(baked.graph, tmp_path / "baked.onnx")
    onnx.save(baked.reference, tmp_path / "reference.onnx")
    with load("onnxruntime", tmp_path / "baked.onnx") as ours, load("onnxruntime", tmp_path / "reference.onnx") as host:
        assert [str(spec) for spec in ours.inputs] == ["picture: uint8[1, 8, 32, 3]"]
        assert [spec.name for spec in ours.outputs] == [task.output]
        for picture in pictures:
            feeds = reference_feeds(baked, picture[None], declared)
            exact = reference_output(baked, list(host.run(feeds).values()))
            assert exact.std() > 0.01
            np.testing.assert_allclose(ours.run({"picture": picture[None]})[task.output], exact, atol=1e-5)


def reader(layout: Layout, opset: int) -> onnx.ModelProto:
    """Row means of all channels, weighed apart, to three classes: ``x`` in ``layout`` to ``[1, 32, 3]``."""
    weights = np.random.default_rng(8).normal(size=(3, 3)).astype(np.float32)
    channels_last = layout is Layout.NHWC
    shape = [1, "h", "w", 3] if channels_last else [1, 3, "h", "w"]
    nodes = [
        helper.make_node("Transpose", ["x"], ["nwhc"], perm=[0, 2, 1, 3] if channels_last else [0, 3, 2, 1]),
        helper.make_node("ReduceMean", ["nwhc"], ["columns"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["columns", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "reader",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [1, "w", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def renamed(model: onnx.ModelProto, **names: str) -> onnx.ModelProto:
    for old, new in names.items():
        rename_tensor(model.graph, old, new)
    return model


@pytest.mark.parametrize(("given", "inner"), [("picture", "mean"), ("x", "picture"), ("x", "probabilities")])
@pytest.mark.parametrize("output", ["probabilities", "p"])
def test_a_model_may_have_our_names_already(tmp_path: Path, given: str, inner: str, output: str) -> None:
    output = "p" if inner == "probabilities" else output
    model = renamed(tiny_model(), x=given, mean=inner, p=output)
    baked, plain = (
        bake(ImportedModel(tmp_path, "", m, ("A", "B")), INPUT, TextRecognition(alphabet="AB")).graph
        for m in (model, tiny_model())
    )
    picture = np.random.default_rng(2).integers(0, 256, (1, 8, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(run(baked, {"picture": picture}), run(plain, {"picture": picture}), atol=1e-6)


def test_a_tensor_is_renamed_where_inner_graphs_read_it_too() -> None:
    inner = []
    for kind in ("Neg", "Abs"):
        result = helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)
        inner.append(helper.make_graph([helper.make_node(kind, ["x"], [kind])], kind, [], [result]))
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], then_branch=inner[0], else_branch=inner[1])],
        "g",
        [helper.make_tensor_value_info("x", 1, [2]), helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", 1, None)],
    )
    rename_tensor(graph, "x", "z")
    assert [list(attribute.g.node[0].input) for attribute in graph.node[0].attribute] == [["z"], ["z"]]
    assert graph.input[0].name == "z"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert run(model, {"z": np.array([1, -2], np.float32), "flag": np.array(True)}).tolist() == [-1, 2]


def test_nodes_without_names_get_one_and_are_quantized_alone() -> None:
    model = FixShape(INPUT)(tiny_model())
    for node in model.graph.node:
        node.name = ""
    folded = Sequential([UpgradeOpset(), BakeInput(INPUT), Fold()])(model)
    names = [node.name for node in folded.graph.node]
    assert len(set(names)) == len(names)
    assert "" not in names
    plan = calibrate(folded, iter([np.zeros((1, 8, 32, 3), np.uint8)]), 8)
    quantized_layers = WriteQdq(plan, DIALECTS["onnxruntime"])(folded)
    assert sum(node.op_type == "QuantizeLinear" for node in quantized_layers.graph.node) == 2


def test_a_model_with_two_inputs_or_outputs_is_refused() -> None:
    two = tiny_model()
    two.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelError, match="one batch of pictures"):
        picture_input(two)
    outputs = tiny_model()
    outputs.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="several outputs"):
        SelectClasses([0], "probabilities")(outputs)


def test_text_classes_follow_paddle_s_order() -> None:
    assert text_classes("BA", ["A", "B"], 3) == [0, 2, 1]
    assert text_classes("A ", ["A", "B"], 4) == [0, 1, 3]
    with pytest.raises(ModelError, match="no class for: ' '"):
        text_classes("A ", ["A", "B"], 3)


def quantized(dialect: str, bits: int = 8) -> tuple[onnx.ModelProto, Plan]:
    model = Sequential([UpgradeOpset(), BakeInput(INPUT), Fold()])(FixShape(INPUT)(tiny_model()))
    rng = np.random.default_rng(1)
    plan = calibrate(model, (rng.integers(0, 256, (1, 8, 32, 3)).astype(np.uint8) for _ in range(5)), bits)
    return WriteQdq(plan, DIALECTS[dialect])(model), plan


def types(model: onnx.ModelProto, kind: str) -> list[int]:
    """Element types of the zero points of all nodes of ``kind``."""
    table = {t.name: t for t in model.graph.initializer}
    return [table[n.input[2]].data_type for n in model.graph.node if n.op_type == kind]


@pytest.mark.parametrize(("dialect", "quantized_bias"), [("onnxruntime", True), ("openvino", False)])
def test_the_cpu_dialects_have_unsigned_activations(dialect: str, quantized_bias: bool) -> None:
    model, _ = quantized(dialect)
    assert set(types(model, "QuantizeLinear")) == {TensorProto.UINT8}
    assert (TensorProto.INT32 in {t.data_type for t in model.graph.initializer}) == quantized_bias


def test_the_tensorrt_dialect_is_symmetric_and_keeps_its_bias_in_float() -> None:
    model, _ = quantized("tensorrt")
    assert set(types(model, "QuantizeLinear")) == {TensorProto.INT8}
    table = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not table[node.input[2]].any()
            assert table[node.input[2]].dtype != np.int32


def test_seven_bit_weights_stay_within_64() -> None:
    for bits, limit in ((8, 127), (7, 64)):
        model, _ = quantized("onnxruntime", bits)
        weights = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.INT8]
        largest = max(np.abs(w.astype(int)).max() for w in weights)
        assert limit // 2 < largest <= limit


def test_the_quantized_graph_still_reads_like_the_float_one(tmp_path: Path) -> None:
    model, _ = quantized("onnxruntime")
    plain = Sequential([UpgradeOpset(), BakeInput(INPUT), Fold()])(FixShape(INPUT)(tiny_model()))
    picture = np.random.default_rng(9).integers(0, 256, (1, 8, 32, 3)).astype(np.uint8)
    onnx.save(model, tmp_path / "q.onnx")
    with load("onnxruntime", tmp_path / "q.onnx") as engine:
        found = engine.run({"picture": picture})["p"]
    assert np.abs(found - run(plain, {"picture": picture})).max() < 0.1


def test_ranges_are_the_mean_of_each_picture_s_extremes() -> None:
    model = FixShape(INPUT)(tiny_model(17))
    pictures = [np.random.default_rng(i).random((1, 3, 8, 32)).astype(np.float32) for i in range(4)]
    plan = calibrate(model, iter(pictures), 8)
    means = [p[0].reshape(3, 1, 8, 4, 8).mean(axis=(2, 4)) for p in pictures]
    assert plan.ranges["mean"].high == pytest.approx(np.mean([m.max() for m in means]), rel=1e-5)
    assert plan.ranges["mean"].low == 0
    assert (plan.samples, plan.layers) == (4, ("conv",))
    assert plan.with_ranges_scaled(2).ranges["mean"].high == pytest.approx(2 * plan.ranges["mean"].high)
    assert plan.digest != plan.with_ranges_scaled(2).digest


def test_calibration_refuses_nothing_and_nan() -> None:
    model = FixShape(INPUT)(tiny_model(17))
    with pytest.raises(DataError, match="nothing to calibrate on"):
        calibrate(model, iter([]), 8)
    broken = np.full((1, 3, 8, 32), np.nan, np.float32)
    with pytest.raises(DataError, match="not numbers"):
        calibrate(model, iter([broken]), 8)


def test_a_model_without_weights_to_quantize_is_refused() -> None:
    plan = Plan({}, (), 8, "none", 1)
    with pytest.raises(ModelError, match="no layer that can be quantized"):
        WriteQdq(plan, DIALECTS["openvino"])(tiny_model(17))
    assert [n.name for n in quantizable_layers(tiny_model().graph)] == ["conv"]


def test_tensors_of_any_shape_are_taken_from_one_row() -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [3, "m"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    fixed = FixShapes({"a": (2, 3), "b": (3, 4)})(model)
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [2, 4]
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(12, dtype=np.float32).reshape(3, 4)
    row = np.concatenate([b.ravel(), a.ravel()])[None]
    np.testing.assert_array_equal(run(BakeTensors("tensors", "float32", ("b", "a"))(fixed), {"tensors": row}), a @ b)
