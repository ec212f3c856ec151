"""Builds with the real TensorRT-RTX, which needs no GPU for that: plans in the bundle, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tiny_text import tiny_model, write_workshop

from edgemill_converters.build import build
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import export_bundle, import_bundle, open_bundle
from edgemill_core.errors import BudgetError, BundleError, MissingPartError
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import read_facts
from edgemill_runtimes.nvidia.plans import fitting_plan

pytestmark = pytest.mark.slow
trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install edgemill[tensorrt]")
TARGET = {"runtime": "tensorrt_rtx", "compute_capability": ["8.6", "12.0"]}


def gpu(capability: str) -> Gpu:
    return Gpu("GeForce", capability, 8000, False, "13.0")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_workshop(tmp_path_factory.mktemp("rtx"), targets=[TARGET])


@pytest.fixture(scope="module")
def built(workshop: Path) -> BuildResult:
    return build(workshop, workshop.parent / "out")


def test_the_plan_is_content_of_the_bundle_and_fits_the_boxes_that_it_is_for(
    built: BuildResult, tmp_path: Path
) -> None:
    assert built.bundle is not None
    bundle = open_bundle(built.bundle.folder)
    (variant,) = bundle.model.variants
    graph, (plan,) = bundle.path(variant.graph), variant.plans
    facts = read_facts(bundle.path(plan))
    assert facts.compute_capabilities == ("8.6", "12.0")
    assert facts.version == trt.__version__
    assert {plan, f"{plan}.json"} <= set(bundle.manifest.files)
    assert bundle.manifest.schema_version == "1.5"
    assert variant.requires is not None
    assert (variant.requires.least, variant.requires.built_with) == ("1.7", trt.__version__)
    sizes = [bundle.manifest.files[name].bytes for name in variant.files if name != variant.golden.outputs]
    assert variant.requires.disk_bytes == sum(sizes)
    for capability in ("8.6", "12.0"):
        found = fitting_plan(graph, None, "tensorrt_rtx", gpu(capability), trt.__version__)
        assert found == bundle.path(plan)
    with pytest.raises(MissingPartError):
        fitting_plan(graph, None, "tensorrt_rtx", gpu("8.9"), trt.__version__)
    export_bundle(bundle, tmp_path / "b.edgemill")
    assert import_bundle(tmp_path / "b.edgemill", tmp_path).manifest == bundle.manifest


def test_the_least_weights_ship_whatever_the_plans_take(built: BuildResult) -> None:
    assert built.choice.shipped == ("tensorrt_rtx-gpu-int8",)
    assert all(variant.plan is not None for variant in built.variants)


def test_built_again_from_nothing_it_is_the_same_to_the_last_byte(built: BuildResult, workshop: Path) -> None:
    again = build(workshop, workshop.parent / "again", fresh=True)
    assert again.bundle is not None
    assert built.bundle is not None
    assert again.bundle.manifest.content_digest == built.bundle.manifest.content_digest


def test_other_boxes_need_another_plan_and_nothing_else_is_done_again(built: BuildResult, workshop: Path) -> None:
    recipe = workshop.parent / "other.yaml"
    recipe.write_text(workshop.read_text().replace("'12.0'", "'8.9'"))
    other = build(recipe, workshop.parent / "out", cache=workshop.parent / "out" / ".edgemill-cache")
    made = {name for name in other.seconds if name not in other.cached}
    assert made == {"render", "compile tensorrt_rtx-gpu-fp32", "compile tensorrt_rtx-gpu-int8"}


def test_an_altered_plan_is_refused(built: BuildResult, tmp_path: Path) -> None:
    import shutil

    assert built.bundle is not None
    shutil.copytree(built.bundle.folder, tmp_path / "b")
    plan = next((tmp_path / "b").rglob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"engine\.plan in the bundle was altered"):
        open_bundle(tmp_path / "b")


def test_a_graph_that_has_no_plan_is_a_target_without_a_variant(tmp_path: Path) -> None:
    recipe = write_workshop(tmp_path, targets=[{**TARGET, "precisions": ["fp32"]}])
    onnx.save(with_suppression(tiny_model()), tmp_path / "tiny.onnx")
    with pytest.raises(BudgetError, match="tensorrt_rtx-GPU") as caught:
        build(recipe, tmp_path / "out")
    assert "no plan of it can be built" in str(caught.value)
    assert "NonMaxSuppression" in str(caught.value)


def with_suppression(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same outputs, by way of an operator that TensorRT-RTX parses and cannot build."""
    known = {
        "boxes": np.array([[[0, 0, 1, 1]]], np.float32),
        "most": np.array([1], np.int64),
        "axes": np.array([0, 1], np.int64),
        "flat": np.array([1, 1, -1], np.int64),
        "none": np.array([0], np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in known.items())
    for node in model.graph.node:
        node.output[:] = ["p0" if name == "p" else name for name in node.output]
    model.graph.node.extend(
        [
            helper.make_node("Reshape", ["p0", "flat"], ["line"], "line"),
            helper.make_node("ReduceMax", ["line"], ["score"], "score", axes=[2], keepdims=1),
            helper.make_node("NonMaxSuppression", ["boxes", "score", "most"], ["kept"], "nms"),
            helper.make_node("Cast", ["kept"], ["number"], "number", to=1),
            helper.make_node("ReduceSum", ["number", "axes"], ["sum"], "sum", keepdims=0),
            helper.make_node("Mul", ["sum", "none"], ["nothing"], "nothing"),
            helper.make_node("Add", ["p0", "nothing"], ["p"], "add"),
        ]
    )
    return model
