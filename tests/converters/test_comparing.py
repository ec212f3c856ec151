"""Where two engines part: the figures, the layer, the verdicts, and what cannot be compared."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_trees import write_table, write_tree_recipe

from edgemill_converters.build import build
from edgemill_converters.comparing.compare import compare
from edgemill_converters.comparing.differences import Tally, pairs
from edgemill_converters.comparing.layers import attributed, read_graph, shared_tensors, steepest, watched
from edgemill_converters.comparing.sides import Side, read_side
from edgemill_converters.report.comparison import comparison_page, part, sentence, watching_note
from edgemill_converters.report.flips import Kind
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle
from edgemill_core.errors import BundleError, DataError, EngineError, InputError, ModelError
from edgemill_core.picture_input import Region


def tally(*samples: tuple[Any, Any]) -> Tally:
    found = Tally("y")
    for a, b in samples:
        found.add(np.asarray(a, np.float32), np.asarray(b, np.float32))
    return found


def test_differences_are_those_of_all_samples_at_once() -> None:
    rng = np.random.default_rng(0)
    a = [rng.standard_normal((1, 3, count)) for count in (2, 5, 1)]
    b = [one + rng.standard_normal(one.shape) * 0.1 for one in a]
    both = Tally("y")
    for one, other in zip(a, b, strict=True):
        both.add(one, other)
    found = both.difference()
    ours, theirs = (np.concatenate([one.ravel() for one in side]) for side in (a, b))
    assert found.most == pytest.approx(np.abs(ours - theirs).max())
    assert found.mean == pytest.approx(np.abs(ours - theirs).mean())
    assert found.relative == pytest.approx(np.linalg.norm(ours - theirs) / np.linalg.norm(ours))
    assert found.by_sample == pytest.approx([np.abs(one - other).max() for one, other in zip(a, b, strict=True)])


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("a", "b", "most"),
    [
        ([1.0], [1.0], 0.0),
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([INF, -INF], [INF, -INF], 0.0),
        ([1.0], [NAN], INF),
        ([NAN], [1.0], INF),
        ([INF], [1.0], INF),
        ([INF], [-INF], INF),
        ([INF], [NAN], INF),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
    ],
)
def test_what_is_no_number_agrees_only_with_its_like(a: list[float], b: list[float], most: float) -> None:
    found = tally((a, b)).difference()
    assert found.most == most
    assert found.relative == most
    assert found.as_dict()["max"] == (None if most else 0.0)


def test_a_difference_from_zeros_is_endless_in_proportion_and_another_shape_is_refused() -> None:
    found = tally(([0.0], [1.0])).difference()
    assert (found.most, found.relative) == (1.0, INF)
    assert found.as_dict() == {"tensor": "y", "max": 1.0, "mean": 1.0, "relative": None}
    with pytest.raises(InputError, match="another shape"):
        tally(([1.0], [1.0, 2.0]))


def test_outputs_belong_together_by_name_or_because_they_are_alone() -> None:
    assert pairs(["a", "b"], ["b", "c"]) == {"b": "b"}
    assert pairs(["a"], ["z"]) == {"a": "z"}
    with pytest.raises(InputError, match="no output in common"):
        pairs(["a", "b"], ["c", "d"])


WIDTHS = ("first", "second", "third", "fourth")


def chain(path: Path, spoil: str | None = None, by: float = 0.05, names: str = "") -> Path:
    """Four products with ReLU between them; one may be spoiled."""
    rng = np.random.default_rng(1)
    nodes, known, flowing = [], [], "x"
    for layer in WIDTHS:
        weights = rng.standard_normal((8, 8)).astype(np.float32)
        noise = rng.standard_normal((8, 8)).astype(np.float32) * by
        known.append(numpy_helper.from_array(weights + (noise if layer == spoil else 0), f"{layer}.w"))
        nodes.append(helper.make_node("MatMul", [flowing, f"{layer}.w"], [f"{names}{layer}.y"], layer))
        nodes.append(helper.make_node("Relu", [f"{names}{layer}.y"], [f"{names}{layer}.r"], f"{layer}.relu"))
        flowing = f"{names}{layer}.r"
    nodes.append(helper.make_node("Identity", [flowing], ["y"], "end"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in "xy"]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], known)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("spoiled", "runtime"), [*((name, "onnxruntime") for name in WIDTHS), ("second", "openvino")])
def test_the_layer_that_was_spoiled_is_named(tmp_path: Path, spoiled: str, runtime: str) -> None:
    right, wrong = chain(tmp_path / "a.onnx"), chain(tmp_path / "b.onnx", spoiled)
    found = compare(read_side(str(right)), read_side(f"{wrong}@{runtime}"), tmp_path, shapes={"x": (4, 8)}, layers=True)
    assert found.layers is not None
    assert steepest(found.layers, 1)[0].layer == spoiled
    assert f"{spoiled} (MatMul) adds most" in part(found.layers)
    clean = [
        one
        for one in found.layers
        if WIDTHS.index(one.layer.partition(".")[0].replace("end", "fourth")) < WIDTHS.index(spoiled)
    ]
    assert all(one.difference.relative < 1e-5 for one in clean)
    assert found.flips is None
    assert watching_note(found) == ""
    assert found.outputs[0].relative > 0.001
    told = found.as_dict()
    assert told["samples"] == 8
    assert len(told["layers"]) == 9  # type: ignore[arg-type]


def test_the_same_twice_differs_nowhere(tmp_path: Path) -> None:
    side = read_side(str(chain(tmp_path / "a.onnx")))
    found = compare(side, side, tmp_path, shapes={"x": (1, 8)}, layers=True)
    assert found.layers is not None
    assert part(found.layers) == "No layer of 9 differs."
    assert found.outputs[0].most == 0
    assert "differ by at most 0 (0.000% of their size)" in sentence(found)


def test_a_rise_is_what_a_layer_adds_to_what_arrived() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["c"], "sum"), helper.make_node("Relu", ["c"], ["d"], "relu")]
    nodes.append(helper.make_node("Relu", ["hidden"], ["e"], ""))
    nodes.insert(1, helper.make_node("Relu", ["c"], ["hidden"], "unwatched"))
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    known = {name: tally(([1.0], [1 + value])).difference() for name, value in (("c", 0.5), ("d", 0.25), ("e", 0.75))}
    found = {one.layer: one for one in attributed(model, known)}
    assert {name: (one.arrived, one.rise) for name, one in found.items()} == {
        "sum": (0.0, 0.5),
        "relu": (0.5, 0.0),
        "e": (0.5, 0.25),  # through a layer that is not watched
    }
    broken = {"c": tally(([1.0], [NAN])).difference(), "d": tally(([1.0], [NAN])).difference()}
    assert [one.rise for one in attributed(model, broken)] == [INF, 0.0]


def test_graphs_that_have_nothing_in_common_are_refused(tmp_path: Path) -> None:
    a, b = chain(tmp_path / "a.onnx"), chain(tmp_path / "b.onnx", names="other.")
    assert shared_tensors(read_graph(a), read_graph(b)) == ["y"]
    renamed = read_graph(b)
    renamed.graph.node[-1].output[0] = renamed.graph.output[0].name = "z"
    with pytest.raises(InputError, match="no tensor in common"):
        shared_tensors(read_graph(a), renamed)
    (tmp_path / "broken.onnx").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="cannot be read"):
        read_graph(tmp_path / "broken.onnx")


@pytest.fixture
def bundle(built: BuildResult) -> Bundle:
    assert built.bundle is not None
    return built.bundle


def spoiled_graph(bundle: Bundle, folder: Path) -> Path:
    """The bundle's first graph with its convolution turned round."""
    model = read_graph(bundle.path(bundle.model.variants[0].graph))
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] > 1:
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, folder / "spoiled.onnx")
    return folder / "spoiled.onnx"


def test_two_variants_of_a_bundle_agree_on_its_golden_samples(bundle: Bundle, tmp_path: Path) -> None:
    sides = [read_side(f"{bundle.folder}@{runtime}") for runtime in ("onnxruntime", "openvino")]
    found = compare(sides[0], sides[1], tmp_path)
    assert found.over == "32 golden samples of tiny"
    assert found.flips == ()
    assert "0 of 32 decisions flip" in sentence(found)
    assert "No flips: all 32 verdicts are the same." in comparison_page(found)


def test_flips_on_a_labelled_set_are_named_and_shown(built: BuildResult, bundle: Bundle, tmp_path: Path) -> None:
    a, b = read_side(str(bundle.folder)), read_side(str(spoiled_graph(bundle, tmp_path)))
    data = built.samples[0].picture.parent
    found = compare(a, b, tmp_path, data=data)
    assert found.flips
    assert found.flips[0].kind is Kind.WORSE
    page = comparison_page(found)
    assert page.count("data:image/jpeg") == 8
    assert "verdicts differ between A and B" in page
    golden = compare(a, b, tmp_path)
    assert golden.flips
    assert all(flip.sample.id.startswith("golden ") for flip in golden.flips)
    assert comparison_page(golden).count("data:image/jpeg") == min(8, len(golden.flips))
    assert golden.as_dict()["flips"][0]["a"]["decision"] == "pass"  # type: ignore[index]
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(data / "0000.png", bare / "0000.png")
    assert compare(a, b, tmp_path, data=bare).over == f"1 samples of {bare}"


def test_verdicts_that_are_figures_cannot_flip(tmp_path: Path) -> None:
    bundle = build(write_tree_recipe(tmp_path), tmp_path / "out").bundle
    assert bundle is not None
    side = read_side(str(bundle.folder))
    table = write_table(tmp_path / "more.csv", 20, 5)
    found = compare(side, side, tmp_path, data=table)
    assert found.flips is None
    assert found.outputs[0].most == 0
    assert "20 samples" in sentence(found)
    assert len(compare(side, side, tmp_path).samples) == 32


def test_a_side_is_read_from_its_name(bundle: Bundle, tmp_path: Path) -> None:
    graph = chain(tmp_path / "a@b.onnx")
    assert (read_side(str(graph)).runtime, read_side(str(graph)).device) == ("onnxruntime", "CPU")
    other = read_side(f"{graph}@openvino:GPU.1")
    assert (other.graph, other.runtime, other.device) == (graph, "openvino", "GPU.1")
    named = bundle.model.variants[1]
    assert read_side(f"{bundle.folder}@{named.name}").graph == bundle.path(named.graph)
    assert read_side(f"{bundle.folder}@:GPU").device == "GPU"
    with pytest.raises(EngineError, match="no variant 'tensorrt'"):
        read_side(f"{bundle.folder}@tensorrt")
    with pytest.raises(BundleError):
        read_side(str(tmp_path))


def test_what_cannot_be_compared_is_said(bundle: Bundle, tmp_path: Path) -> None:
    graph, empty = read_side(str(chain(tmp_path / "a.onnx"))), tmp_path / "empty"
    side = read_side(str(bundle.folder))
    empty.mkdir()
    with pytest.raises(InputError, match="--shape x=1x8"):
        compare(graph, graph, tmp_path)
    with pytest.raises(InputError, match="two bare graphs do not say"):
        compare(graph, graph, tmp_path, data=empty)
    with pytest.raises(InputError, match="brings its own samples"):
        compare(side, side, tmp_path, shapes={"x": (1, 8)})
    with pytest.raises(DataError, match="nothing in"):
        compare(side, side, tmp_path, data=empty)
    with pytest.raises(DataError, match="no folder of pictures"):
        compare(side, side, tmp_path, data=tmp_path / "gone")
    with pytest.raises(InputError, match="does not fit"):
        compare(side, graph, tmp_path)
    with pytest.raises(ModelError, match="no graph at"):
        compare(graph, read_side(str(tmp_path / "gone.onnx")), tmp_path)


def changed(side: Side, **model: Any) -> Side:
    """The same, had its recipe said something else."""
    assert side.bundle is not None
    manifest = side.bundle.manifest
    models = (manifest.models[0].model_copy(update=model),)
    return replace(side, bundle=replace(side.bundle, manifest=manifest.model_copy(update={"models": models})))


def test_bundles_that_look_elsewhere_are_compared_on_pictures_alone(built: BuildResult, tmp_path: Path) -> None:
    assert built.bundle is not None
    side, data = read_side(str(built.bundle.folder)), built.samples[0].picture.parent
    region = Region(x=8, y=0, width=16, height=8)
    assert side.bundle is not None
    other = changed(side, input=side.bundle.model.input.model_copy(update={"region": region}))
    with pytest.raises(InputError, match="in different ways"):
        compare(side, other, tmp_path)
    assert compare(side, other, tmp_path, data=data).flips
    found = compare(other, side, tmp_path, data=data)
    assert found.region == region
    assert compare(side, other, tmp_path, data=data).region is None


def test_each_bundle_decides_by_its_own_rules(built: BuildResult, tmp_path: Path) -> None:
    assert built.bundle is not None
    side = read_side(str(built.bundle.folder))
    other = changed(side, task={**built.bundle.model.task, "alphabet": "BA"})
    found = compare(side, other, tmp_path)
    assert found.flips
    assert {flip.before.reading["text"] for flip in found.flips} & {"AA", "AB"}
    assert all(flip.after.reading != flip.before.reading for flip in found.flips)


def test_watching_that_changes_an_output_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_side(str(chain(tmp_path / "a.onnx")))

    def spoiled(model: onnx.ModelProto, tensors: list[str], path: Path) -> Path:
        return watched(read_graph(chain(path, "fourth" if path.name == "1.onnx" else None)), tensors, path)

    monkeypatch.setattr(sys.modules["edgemill_converters.comparing.compare"], "watched", spoiled)
    found = compare(graph, graph, tmp_path, shapes={"x": (1, 8)}, layers=True)
    assert found.watching is not None
    assert found.watching[0] == 0
    assert found.watching[1] > 0.005
    assert watching_note(found).startswith("Watching its layers changed the outputs of B by ")
    assert "Watching its layers" in comparison_page(found)


def test_the_page_escapes_names_and_loads_nothing(tmp_path: Path) -> None:
    hostile = tmp_path / "<script>&.onnx"
    side = read_side(str(chain(hostile)))
    page = comparison_page(compare(side, side, tmp_path, shapes={"x": (1, 8)}, layers=True))
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;.onnx" in page
    assert "http" not in page.replace("http-equiv", "")
