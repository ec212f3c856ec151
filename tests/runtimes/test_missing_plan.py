"""GPU and TensorRT are here and only the plan is missing: nothing slower takes its place without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_bundle import FILES, make_bundle
from stand_in_cuda import StandIn
from stand_in_engines import LIMITS
from stand_in_tensorrt import write_plan
from tiny_text import tiny_model

from edgemill.cli.bench import BenchSettings, _of_graph, _time
from edgemill.cli.check import _prove_all
from edgemill_core.bundle import Bundle
from edgemill_core.errors import MissingPartError, NoPlanError
from edgemill_runtimes.benching import Subject
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.engines.tensorrt import TensorRtEngine
from edgemill_runtimes.pipeline import open_pipeline

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """For TensorRT, and for ONNX Runtime behind it."""
    made = make_bundle(tmp_path, {FILES[0]: tiny_model().SerializeToString()}, runtime="tensorrt", device="GPU")
    (model,) = made.manifest.models
    (first,) = model.variants
    other = first.model_copy(update={"name": "o", "runtime": "onnxruntime", "device": "CPU"})
    model = model.model_copy(update={"variants": (first, other)})
    return replace(made, manifest=made.manifest.model_copy(update={"models": (model,)}))


@pytest.mark.parametrize("isolated", [False, True])
def test_the_next_variant_is_not_taken_for_it(bundle: Bundle, isolated: bool) -> None:
    with pytest.raises(NoPlanError, match="no plan of graph") as caught:
        open_pipeline(bundle, isolated=isolated)
    assert caught.value.exit_code == 3
    assert "edgemill agent compile" in str(caught.value.fix)
    assert "another runtime" in str(caught.value.fix)
    with open_pipeline(bundle, "onnxruntime") as pipeline:
        assert pipeline.runtime == "onnxruntime"


def test_with_its_plan_it_is_taken_and_without_a_driver_it_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, cuda: StandIn
) -> None:
    write_plan(bundle.path(FILES[0]), "tensorrt", LIMITS)
    with open_pipeline(bundle) as pipeline:
        assert pipeline.runtime == "tensorrt"
    monkeypatch.setattr(TensorRtEngine, "library", "libcuda-that-is-not-there.so.1")
    with open_pipeline(bundle) as pipeline:
        assert pipeline.runtime == "onnxruntime"
    assert cuda.open() == {}


@pytest.mark.parametrize(("runtime", "device"), [("tensorrt", "GPU"), ("tensorrt_rtx", "GPU"), ("onnxruntime", "CPU")])
def test_bench_takes_the_device_that_a_runtime_has(tmp_path: Path, runtime: str, device: str) -> None:
    told = BenchSettings(tmp_path / "graph.onnx", runtime, "latency", None, None, (), None, 1.0, False)
    (one,) = _of_graph(told).values()
    assert one.settings.device == device
    (one,) = _of_graph(replace(told, device="GPU.1")).values()
    assert one.settings.device == "GPU.1"


def test_who_looks_at_all_variants_names_it_and_goes_on(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``check`` and ``bench``."""
    first, other = bundle.model.variants
    _, missing = _prove_all(bundle, [first], 0, None)
    assert isinstance(missing["v"], NoPlanError)
    graph = bundle.path(FILES[0])
    sizes = {"x": (1, 3, 8, 32)}
    asked = {one.name: Subject(one.runtime, graph, EngineSettings(one.device), shapes=sizes) for one in (first, other)}
    results, named = _time(asked, tmp_path, 0.05, lambda _: None, passes_over=True)
    assert (list(results), list(named)) == (["o"], ["v"])
    for passes_over in (True, False):
        with pytest.raises(MissingPartError):
            _time({"v": asked["v"]}, tmp_path, 0.05, lambda _: None, passes_over)
