"""Detectors, segmenters and classifiers: what a model gives becomes what the task reads, and whole builds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_boards import CELL, SIDE, board, detector, marker, namer, write_board_recipe

import edgemill
from edgemill_converters.bake import bake
from edgemill_converters.build import build
from edgemill_converters.candidates import candidates
from edgemill_converters.importers import import_model
from edgemill_converters.passes.activate import Activate, activated
from edgemill_converters.passes.detection_head import DetectionHead, detections_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.recipe import read_recipe
from edgemill_core.budget import Outcome
from edgemill_core.errors import ModelError
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision
from edgemill_runtimes.engines import load

HEADS = ("yolov8", "yolov5", "boxes-scores", "detections")
CLASSES = ["short", "open"]
TASKS: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "detection": (detector("yolov8"), {"name": "object-detection", "classes": CLASSES, "head": "yolov8"}),
    "segmentation": (marker(), {"name": "segmentation", "classes": CLASSES, "head": "independent"}),
    "classification": (
        namer(),
        {"name": "image-classification", "classes": [*CLASSES, "clean"], "fit": ["clean"], "head": "logits"},
    ),
}


def ran(model: onnx.ModelProto, feed: Array, folder: Path) -> list[Array]:
    onnx.save(model, folder / "m.onnx")
    with load("onnxruntime", folder / "m.onnx") as engine:
        return list(engine.run({engine.inputs[0].name: feed}).values())


def a_board() -> Array:
    picture = board([(2, 5, "short"), (7, 0, "open")], np.random.default_rng(1))
    return np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255), dtype=np.float32)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_the_same_boxes_in_the_graph_and_by_hand(head: str, tmp_path: Path) -> None:
    model = detector(head)
    (in_graph,) = ran(DetectionHead(head, 2, (SIDE, SIDE), "detections")(model), a_board(), tmp_path)
    by_hand = detections_of(head, ran(model, a_board(), tmp_path), (SIDE, SIDE))
    assert in_graph == pytest.approx(by_hand, abs=1e-6)
    assert in_graph.shape == (1, (SIDE // CELL) ** 2, 6)
    best = in_graph[0, in_graph[0, :, 4].argmax()]
    assert best[:4] * SIDE / CELL == pytest.approx([2, 5, 3, 6])
    assert best[4] > 0.85


@pytest.mark.parametrize("size", [(SIDE, SIDE), (SIDE, SIDE // 2)])
def test_width_and_height_are_not_confused(size: tuple[int, int]) -> None:
    rows = np.array([[[10.0, 20.0, 4.0, 8.0, 0.5]]])
    found = detections_of("yolov8", [rows.transpose(0, 2, 1)], size)[0, 0]
    assert found == pytest.approx([8 / size[0], 16 / size[1], 12 / size[0], 24 / size[1], 0.5])


@pytest.mark.parametrize("head", HEADS)
def test_a_model_of_another_head_is_refused_with_what_it_gives(head: str) -> None:
    for other in set(HEADS) - {head, "detections"}:
        with pytest.raises(ModelError, match="does not give what head") as caught:
            DetectionHead(other, 2, (SIDE, SIDE), "detections")(detector(head))
        assert "64" in str(caught.value.got)
    with pytest.raises(ModelError, match="with 3 classes"):
        DetectionHead(head, 3, (SIDE, SIDE), "detections")(detector(head))


@pytest.mark.parametrize("head", ["logits", "independent", "scores"])
def test_activation_in_the_graph_and_by_hand(head: str, tmp_path: Path) -> None:
    model = marker()
    (found,) = ran(Activate(head, "map")(model), a_board(), tmp_path)
    assert found == pytest.approx(activated(head, ran(model, a_board(), tmp_path)[0]), abs=1e-6)


def test_boxes_and_scores_are_not_made_by_what_gets_quantized() -> None:
    added = DetectionHead("yolov8", 2, (SIDE, SIDE), "detections")(detector("yolov8"))
    layers = {node.name for node in added.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")}
    assert layers == {"conv"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
def test_a_build_finds_names_and_marks_as_the_untouched_model_does(kind: str, tmp_path: Path) -> None:
    model, task = TASKS[kind]
    built = build(write_board_recipe(tmp_path, model, task), tmp_path / "out")
    assert {variant.ruling.outcome for variant in built.variants} == {Outcome.PASS}
    assert len(built.variants) == 4
    judged = [(sample.truth, verdict) for sample, verdict in zip(built.samples, built.reference, strict=True)]
    assert all(truth is not None and truth.good == (said.decision is Decision.PASS) for truth, said in judged)
    if kind == "classification":
        assert all(truth is not None and truth.class_name == said.reading["class"] for truth, said in judged)
    assert built.bundle is not None
    bundle = edgemill.open_bundle(built.bundle.folder)
    for variant in bundle.model.variants:
        assert edgemill.prove(bundle, variant).holds
    with edgemill.open_pipeline(bundle) as inspect:
        for sample, verdict in list(zip(built.samples, built.reference, strict=True))[:12]:
            assert inspect(sample.picture).decision is verdict.decision


def test_classes_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    model, task = TASKS["classification"]
    recipe = write_board_recipe(tmp_path, model, {**task, "classes": ["short", "clean"]}, judge=4)
    with pytest.raises(ModelError, match="does not give what task 'image-classification' reads") as caught:
        build(recipe, tmp_path / "out")
    assert "[1, 3]" in str(caught.value.got)


def test_a_segmenter_is_no_classifier_and_two_outputs_are_not_one(tmp_path: Path) -> None:
    _, task = TASKS["classification"]
    with pytest.raises(ModelError, match="does not give what task"):
        build(write_board_recipe(tmp_path, marker(), {**task, "classes": CLASSES, "fit": ["open"]}, judge=4))
    twice = namer()
    twice.graph.output.append(helper.make_tensor_value_info("two", TensorProto.FLOAT, [1, 2]))
    onnx.save(twice, tmp_path / "boards.onnx")
    with pytest.raises(ModelError, match="several outputs"):
        build(tmp_path / "recipe.yaml")


def test_a_convolution_right_behind_the_input_can_be_quantized_for_every_runtime(tmp_path: Path) -> None:
    weights = [
        numpy_helper.from_array(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32) / 8, "w"),
        numpy_helper.from_array(np.zeros(2, np.float32), "b"),
    ]
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, SIDE // CELL, SIDE // CELL])
    graph = helper.make_graph([node], "first", [taken], [given], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    recipe = read_recipe(write_board_recipe(tmp_path, model, TASKS["segmentation"][1], judge=1))
    baked = bake(import_model(recipe), recipe.input, recipe.make_task())
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for _ in range(2)]
    plan = calibrate(baked.graph, pictures, 7)
    found = []
    for candidate in candidates(recipe, baked, plan):
        onnx.save(candidate.graph, tmp_path / "m.onnx")
        with load(candidate.target.runtime, tmp_path / "m.onnx") as engine:
            found.append(engine.run({"picture": pictures[1]})["map"])
    assert len(found) == 4
    assert np.ptp(np.stack(found), axis=0).max() < 0.05
