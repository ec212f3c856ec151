"""Each precision computes what it says, ships what it needs to be told, and is refused where it cannot be had."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from agent_box import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, numpy_helper
from tiny_text import tiny_model, write_set, write_workshop
from wide_text import wide_model

from edgemill_converters.bake import bake
from edgemill_converters.build import build
from edgemill_converters.comparing.sides import read_side
from edgemill_converters.importers import ImportedModel
from edgemill_converters.precisions import PRECISIONS, Given, check_box, precision_for
from edgemill_converters.precisions.int8_weights import quantized
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle, ModelEntry, schema_version
from edgemill_core.errors import MissingPartError, ModelError, RecipeError
from edgemill_core.picture_input import Normalise, PictureInput
from edgemill_core.tasks import TextRecognition
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.engines.onnxruntime import write_optimised
from edgemill_runtimes.machine import Machine, this_machine
from edgemill_runtimes.pipeline import ModelPipeline, open_model, open_pipeline, variant_for
from edgemill_runtimes.proof import prove

HERE = this_machine()
PLAIN = replace(HERE, features=("avx2",))
needs_bf16 = pytest.mark.skipif(not HERE.bf16, reason="THIS PROCESSOR HAS NO BF16: nothing of BF16 was tested here")
RUNTIMES = ("onnxruntime", "openvino")
PICTURES = np.random.default_rng(7).integers(0, 256, (6, 1, 8, 32, 3)).astype(np.uint8)
GRAPH_ALONE = EngineSettings()
WORDS = ("fp32", "fp16", "int8-dynamic", "int8-weights")


def baked(model: onnx.ModelProto) -> onnx.ModelProto:
    declared = PictureInput(size=(32, 8), normalise=Normalise(mean=(0,), std=(255,)))
    return bake(ImportedModel(Path(), "", model, ("A", "B")), declared, TextRecognition(alphabet="AB")).graph


FLOAT = baked(wide_model())


def made(precision: str, runtime: str, machine: Machine = HERE, model: onnx.ModelProto = FLOAT) -> onnx.ModelProto:
    return precision_for(precision, runtime).render(Given(runtime, model, None, machine)).graph


def answers(
    graph: onnx.ModelProto, runtime: str, folder: Path, told: EngineSettings = GRAPH_ALONE
) -> tuple[np.ndarray, dict[str, int]]:
    """Outputs for all pictures, and what the layers compute in."""
    onnx.save(graph, folder / "graph.onnx")
    with load(runtime, folder / "graph.onnx", told) as engine:
        found = [next(iter(engine.run({"picture": one}).values())) for one in PICTURES]
        return np.concatenate(found), dict(engine.facts().layers)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return answers(FLOAT, "onnxruntime", tmp_path_factory.mktemp("exact"))[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_fp16_is_half_the_size_and_facts_tell_that_a_cpu_computes_it_in_fp32(
    runtime: str, exact: np.ndarray, tmp_path: Path
) -> None:
    graph = made("fp16", runtime)
    assert graph.ByteSize() < 0.65 * FLOAT.ByteSize()
    found, layers = answers(graph, runtime, tmp_path)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < PRECISIONS["fp16"].tolerance
    assert layers == {"fp32": 2}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_in_int8_are_computed_in_float_on_either_runtime(runtime: str, tmp_path: Path) -> None:
    graph = made("int8-weights", runtime)
    by_hand = onnx.ModelProto()
    by_hand.CopyFrom(FLOAT)
    for tensor in by_hand.graph.initializer:
        if tensor.name in ("spread", "gather"):
            stored, scales = quantized(numpy_helper.to_array(tensor), 0 if tensor.name == "spread" else 1)
            tensor.CopyFrom(numpy_helper.from_array(stored * scales, tensor.name))
    found, layers = answers(graph, runtime, tmp_path)
    expected, _ = answers(by_hand, runtime, tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert layers == {"fp32": 2}


def test_onnx_runtime_makes_stored_weights_float_once_and_not_at_each_run(tmp_path: Path) -> None:
    onnx.save(made("int8-weights", "onnxruntime"), tmp_path / "graph.onnx")
    write_optimised(tmp_path / "graph.onnx", tmp_path / "seen.onnx")
    seen = onnx.load(tmp_path / "seen.onnx").graph
    assert not {"spread_int8", "gather_int8"} & {name for node in seen.node for name in node.input}
    dequantize = {n.op_type for n in made("int8-weights", "openvino").graph.node}
    assert "DequantizeLinear" in dequantize


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e4, 1e4, width=32)),
    st.integers(0, 1),
)
def test_stored_weights_are_at_most_half_a_scale_off(weights: np.ndarray, axis: int) -> None:
    stored, scales = quantized(weights, axis)
    assert stored.dtype == np.int8
    assert scales.shape == tuple(size if index == axis else 1 for index, size in enumerate(weights.shape))
    assert (np.abs(stored * scales - weights) <= scales * np.float32(0.5001)).all()


def test_dynamic_int8_multiplies_in_int8_and_leaves_convolutions_alone(exact: np.ndarray, tmp_path: Path) -> None:
    found, layers = answers(made("int8-dynamic", "onnxruntime"), "onnxruntime", tmp_path)
    assert layers == {"fp32": 1, "int8": 1}
    assert 0 < np.abs(found - exact).max() < PRECISIONS["int8-dynamic"].tolerance


@pytest.mark.parametrize(
    ("machine", "least", "most"), [(PLAIN, 40, 64), (replace(PLAIN, features=("vnni",)), 100, 127)]
)
def test_dynamic_int8_keeps_weights_to_seven_bits_where_sums_saturate(machine: Machine, least: int, most: int) -> None:
    graph = made("int8-dynamic", "onnxruntime", machine).graph
    weights = [numpy_helper.to_array(t).astype(int) for t in graph.initializer if t.data_type == TensorProto.INT8]
    assert least < max(np.abs(one).max() for one in weights) <= most


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-weights"])
def test_a_model_with_nothing_to_quantize_so_is_refused(precision: str) -> None:
    with pytest.raises(ModelError, match=f"leave {precision} out") as caught:
        made(precision, "onnxruntime", model=baked(tiny_model()))
    assert caught.value.exit_code == 2


@needs_bf16
def test_bf16_is_computed_where_it_is_told_and_nowhere_else(exact: np.ndarray, tmp_path: Path) -> None:
    told = EngineSettings(precision_hint="bf16")
    found, layers = answers(made("bf16", "openvino"), "openvino", tmp_path, told)
    assert layers == {"bf16": 2}
    assert 1e-4 < np.abs(found - exact).max() < PRECISIONS["bf16"].tolerance
    with load("openvino", tmp_path / "graph.onnx", told, isolated=True) as outside:
        assert outside.facts().layers == layers
        assert next(iter(outside.run({"picture": PICTURES[0]}).values())).tobytes() == found[:1].tobytes()
    assert answers(FLOAT, "openvino", tmp_path)[1] == {"fp32": 2}


@needs_bf16
@pytest.mark.parametrize(("runtime", "device"), [("onnxruntime", "CPU"), ("openvino", "AUTO")])
@pytest.mark.parametrize("isolated", [False, True])
def test_a_hint_that_would_not_be_followed_is_an_error(
    runtime: str, device: str, isolated: bool, tmp_path: Path
) -> None:
    onnx.save(FLOAT, tmp_path / "graph.onnx")
    with pytest.raises(MissingPartError, match="does not compute in bf16") as caught:
        load(runtime, tmp_path / "graph.onnx", EngineSettings(device, precision_hint="bf16"), isolated)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("runtime", [*RUNTIMES, "tensorrt", "abacus"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_is_had_or_the_error_names_those_that_are(precision: str, runtime: str) -> None:
    if PRECISIONS[precision].can_run_on(runtime):
        assert precision_for(precision, runtime).name == precision
        return
    with pytest.raises(RecipeError, match=f"{precision} cannot be rendered for runtime '{runtime}'") as caught:
        precision_for(precision, runtime)
    named = caught.value.fix.partition("[")[2].partition("]")[0].split(", ")
    assert named == [one for one in PRECISIONS if one != "fp64" and PRECISIONS[one].can_run_on(runtime)]
    assert "fp32" in named


@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "bf16"), ("openvino", "int8-dynamic")])
def test_a_recipe_that_asks_for_what_a_runtime_cannot_do_is_refused_with_the_line(
    tmp_path: Path, runtime: str, precision: str
) -> None:
    recipe = write_workshop(tmp_path, judge=2, targets=[{"runtime": runtime, "precisions": ["fp32", precision]}])
    with pytest.raises(RecipeError, match=rf"recipe\.yaml, line \d+: {precision} cannot be rendered"):
        read_recipe(recipe)


def test_a_build_machine_without_bf16_is_told_so_before_anything_is_read() -> None:
    check_box([("fp32", "CPU"), ("bf16", "CPU")], replace(PLAIN, features=("amx_bf16",)))
    check_box([("bf16", "GPU.0")], PLAIN)  # OpenVINO says at loading what that device can
    with pytest.raises(MissingPartError, match="does not compute in BF16") as caught:
        check_box([("fp32", "CPU"), ("bf16", "CPU")], PLAIN)
    assert PLAIN.cpu in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A bundle with BF16 on OpenVINO, and on ONNX Runtime whatever is fastest of four."""
    if not HERE.bf16:
        pytest.skip("THIS PROCESSOR HAS NO BF16: nothing of BF16 was tested here")
    folder = tmp_path_factory.mktemp("everything")
    targets = [{"runtime": "openvino", "precisions": ["bf16"]}, {"runtime": "onnxruntime", "precisions": list(WORDS)}]
    # Three rivals for one target share the error: 150 parts show less than they would of one.
    budget = [{"metric": metric, "max_drop": 0.08} for metric in ("escape_rate", "overkill_rate")]
    recipe = write_workshop(folder, targets=targets, data={"judge": {"labels": "judge"}}, budget=budget)
    onnx.save(wide_model(), folder / "tiny.onnx")
    return build(recipe, folder / "out")


@pytest.fixture
def bundle(everything: BuildResult) -> Bundle:
    assert everything.bundle is not None
    return everything.bundle


def test_all_of_them_are_measured_and_judged_without_calibration(everything: BuildResult) -> None:
    assert everything.plan is None
    names = {"openvino-cpu-bf16", "openvino-cpu-fp32", *(f"onnxruntime-cpu-{word}" for word in WORDS)}
    assert {variant.name for variant in everything.variants} == names
    for variant in everything.variants:
        assert variant.ruling.outcome.value == "pass", variant.name
    assert everything.variant("openvino-cpu-bf16").measurement.layers == {"bf16": 2}
    assert everything.variant("onnxruntime-cpu-int8-dynamic").measurement.layers == {"int8": 1, "fp32": 1}
    assert "the engine is told bf16" in everything.variant("openvino-cpu-bf16").steps
    assert "to-float16" in everything.variant("onnxruntime-cpu-fp16").steps


def test_the_bundle_says_what_its_engine_must_be_told(
    bundle: Bundle, edgemill_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    raw = json.loads((bundle.folder / "manifest.json").read_bytes())
    hints = {one["runtime"]: one.get("precision_hint", "none") for one in raw["models"][0]["variants"]}
    assert hints == {"openvino": "bf16", "onnxruntime": "none"}
    assert raw["schema_version"] == schema_version(bundle.manifest.models) == "1.4"
    assert schema_version([before(bundle, "requires")]) == "1.2"
    assert schema_version([before(bundle, "requires", "precision_hint")]) == "1.0"
    assert schema_version([before(bundle, "requires", "precision_hint")], chain=True) == "1.1"
    done = edgemill_command("check", bundle.folder, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["holds"]
    assert {proof["variant"] for proof in told["proofs"]} == {one.name for one in bundle.model.variants}


def before(bundle: Bundle, *keys: str) -> ModelEntry:
    """The model as it was said before there were these keys."""
    plain = [one.model_copy(update=dict.fromkeys(keys)) for one in bundle.model.variants]
    return bundle.model.model_copy(update={"variants": tuple(plain)})


def test_golden_samples_find_out_an_engine_that_was_not_told(bundle: Bundle) -> None:
    variant = variant_for(bundle, "openvino")
    right = prove(bundle, variant)
    wrong = prove(bundle, variant.model_copy(update={"precision_hint": None}))
    assert right.largest_difference < 1e-4 < wrong.largest_difference


def test_whoever_opens_the_bundle_gets_its_own_precision(bundle: Bundle) -> None:
    own = EngineSettings(threads=1)
    with open_pipeline(bundle, "openvino", own) as pipeline, open_model(bundle, bundle.model.variants[0]) as model:
        assert pipeline.facts().as_dict()["layers"] == {"bf16": 2}
        assert model.engine.settings.precision_hint == bundle.model.variants[0].precision_hint
    assert read_side(f"{bundle.folder}@openvino").precision_hint == "bf16"
    assert EngineSettings.for_variant(variant_for(bundle, "openvino"), 2).precision_hint == "bf16"


def test_a_box_without_bf16_takes_the_next_variant_unless_it_was_named(bundle: Bundle) -> None:
    ranked = sorted(bundle.model.variants, key=lambda one: one.runtime != "openvino")
    model = bundle.model.model_copy(update={"variants": tuple(ranked)})
    first = Bundle(bundle.folder, bundle.manifest.model_copy(update={"models": (model,)}))
    with open_pipeline(first) as pipeline:
        assert pipeline.runtime == "openvino"
    with open_pipeline(first, machine=PLAIN) as pipeline:
        assert pipeline.runtime == "onnxruntime"
    with pytest.raises(MissingPartError, match="does not compute in BF16") as caught:
        open_pipeline(first, "openvino", machine=PLAIN)
    assert caught.value.exit_code == 3
    alone = Bundle(
        bundle.folder,
        bundle.manifest.model_copy(update={"models": (model.model_copy(update={"variants": (ranked[0],)}),)}),
    )
    with pytest.raises(MissingPartError, match=r"(?s)none of the bundle's runtimes.*does not compute in BF16"):
        open_pipeline(alone, machine=PLAIN)


def test_a_variant_is_not_passed_over_for_another_of_its_runtime(bundle: Bundle) -> None:
    """E.g. FP32 on a GPU beside BF16 on the CPU."""
    hinted = next(one for one in bundle.model.variants if one.precision_hint is not None)
    second = hinted.model_copy(update={"precision_hint": None, "name": "second"})
    model = bundle.model.model_copy(update={"variants": (hinted, second)})
    both = Bundle(bundle.folder, bundle.manifest.model_copy(update={"models": (model,)}))
    with open_pipeline(both, machine=PLAIN) as pipeline:
        assert isinstance(pipeline, ModelPipeline)
        assert pipeline.engine.settings.precision_hint is None


@pytest.fixture
def box(tmp_path: Path, bundle: Bundle) -> Iterator[Box]:
    """A box that runs BF16 over six pictures."""
    write_set(tmp_path / "pictures", 6, 5)
    source = {"folder": "pictures", "labels": "pictures/labels.csv", "once": True, "max_frame_bytes": 65536}
    station = {"name": "cell", "bundle": str(bundle.folder), "runtime": "openvino", "source": source}
    made = Box(tmp_path, {"device": {"id": "box-1"}, "stations": [station]})
    yield made
    made.clear()


def test_the_agent_runs_a_bf16_bundle(box: Box, bundle: Bundle) -> None:
    assert box.run()["stations"]["cell"]["decisions"] == {"pass": 3, "reject": 3}
    with open_pipeline(bundle, "openvino") as told, open_pipeline(bundle, "onnxruntime") as float32:
        for record in box.verdicts():
            assert record.payload is not None
            content = record.payload.content()
            verdicts = [one(box.folder / "pictures" / content["item"], content["context"]) for one in (told, float32)]
            assert content["verdict"] == verdicts[0].as_dict()
            assert content["verdict"] != verdicts[1].as_dict()  # its numbers are those of BF16
    shutil.rmtree(box.state)
