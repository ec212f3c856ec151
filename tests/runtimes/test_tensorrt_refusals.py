"""The TensorRT engines where something is not as it should be: over stand-ins, and with what this machine has."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import stand_in_tensorrt
from stand_in_cuda import StandIn
from stand_in_engines import LIMITS, X, opened, refused
from stand_in_tensorrt import write_plan
from tiny_text import tiny_model

from edgemill_core.errors import (
    BundleError,
    EdgemillError,
    EngineError,
    EngineTimeout,
    MissingPartError,
    ModelError,
)
from edgemill_runtimes.engines import EngineSettings, engine_class, load
from edgemill_runtimes.engines.tensorrt import TensorRtEngine
from edgemill_runtimes.isolation import Isolation
from edgemill_runtimes.nvidia import plans
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside, read_facts
from edgemill_runtimes.nvidia.plans import graph_digest

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(tiny_model(), tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


class TestWrongBox:
    """Refused before TensorRT has made a single object."""

    @pytest.fixture(autouse=True)
    def nothing_of_tensorrt(self, stand_ins: None, cuda: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        import tensorrt

        monkeypatch.setattr(tensorrt, "Runtime", None)
        yield
        assert cuda.open() == {}

    def test_no_plan(self, graph: Path) -> None:
        refused(graph, MissingPartError, "no plan of graph.onnx", "edgemill agent compile", "compute capability 8.7")

    def test_another_compute_capability(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", capability="8.6")
        refused(graph, MissingPartError, "compute capability 8.6", "8.7")

    def test_another_version(self, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(stand_in_tensorrt.VERSIONS, "tensorrt", "10.13.3")
        write_plan(graph, "tensorrt")
        refused(graph, MissingPartError, "tensorrt 10.13.3", "10.3.0")

    def test_a_plan_of_the_other_runtime(self, graph: Path) -> None:
        write_plan(graph, "tensorrt_rtx")
        refused(graph, MissingPartError, "no plan")

    @pytest.mark.parametrize("harm", ["cut", "flip"])
    def test_a_damaged_plan(self, graph: Path, harm: str) -> None:
        plan = write_plan(graph, "tensorrt")
        content = bytearray(plan.read_bytes())
        content[200] ^= 1
        plan.write_bytes(content if harm == "flip" else content[:-1])
        refused(graph, BundleError, "damaged", "edgemill agent compile")

    def test_a_graph_that_changed_since(self, graph: Path) -> None:
        write_plan(graph, "tensorrt")
        model = tiny_model()
        model.doc_string = "another"
        onnx.save(model, graph)
        refused(graph, MissingPartError, "no plan")

    @pytest.mark.parametrize(
        ("place", "value", "part"), [(0, b"ptrt", "no plan of TensorRT"), (25, b"\x0d", "one of 10.13.0.0")]
    )
    def test_a_header_that_says_otherwise_than_what_is_written_beside_it(
        self, graph: Path, place: int, value: bytes, part: str
    ) -> None:
        plan = write_plan(graph, "tensorrt")
        content = bytearray(plan.read_bytes())
        content[place : place + len(value)] = value
        plan.write_bytes(content)
        facts = read_facts(plan).model_copy(update={"plan": hashlib.sha256(content).hexdigest()})
        facts_beside(plan).write_text(facts.model_dump_json())
        refused(graph, BundleError, part, "edgemill agent compile")

    @pytest.mark.parametrize("device", ["CPU", "GPU.x", "gpu", "DLA", "GPU.100", "", "GPU.0.1"])
    def test_a_device_that_it_does_not_have(self, graph: Path, device: str) -> None:
        refused(graph, MissingPartError, "has no device", "GPU | GPU.1", "DLA.0", device=device)

    def test_rtx_has_no_accelerator(self, graph: Path) -> None:
        with pytest.raises(MissingPartError, match=r"tensorrt_rtx has no device 'DLA\.0'"):
            load("tensorrt_rtx", graph, EngineSettings("DLA.0"))

    def test_a_gpu_too_many(self, graph: Path) -> None:
        refused(graph, MissingPartError, "no GPU.1 here", "GPU.0 (Stand-in)", device="GPU.1")


def test_without_a_gpu_not_even_the_bindings_are_imported(
    graph: Path, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plan(graph, "tensorrt")
    (tmp_path / "crash").mkdir()
    (tmp_path / "crash" / "tensorrt.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path / "crash")
    monkeypatch.setattr(TensorRtEngine, "library", "libcuda-that-is-not-there.so.1")
    refused(graph, MissingPartError, "no NVIDIA driver")
    assert engine_class("tensorrt") is TensorRtEngine
    assert "tensorrt" not in sys.modules


def test_a_plan_from_the_box_s_own_store(graph: Path, tmp_path: Path) -> None:
    digest = graph_digest(graph)
    (tmp_path / "store" / digest / "any").mkdir(parents=True)
    write_plan(graph, "tensorrt", LIMITS, plan=tmp_path / "store" / digest / "any" / "engine.plan")
    refused(graph, MissingPartError, "no plan")
    with opened(graph, cache=tmp_path / "store") as engine:
        assert engine.run({"x": X})["p"].shape == (1, 4, 3)


def test_what_was_found_whole_is_what_tensorrt_gets(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file is exchanged right after it was looked at."""
    plan, checked = write_plan(graph, "tensorrt", LIMITS), plans.check_whole

    def exchange(where: Path, facts: PlanFacts) -> bytes:
        found = checked(where, facts)
        plan.write_bytes(plan.read_bytes()[:64] + b"something else")
        return found

    monkeypatch.setattr(plans, "check_whole", exchange)
    with opened(graph) as engine:
        assert engine.run({"x": X})["p"].shape == (1, 4, 3)


def test_a_driver_that_hangs_is_a_timeout_of_an_isolated_engine(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(graph, "tensorrt")
    monkeypatch.setenv("STAND_IN_SLEEP", "30")
    with pytest.raises(EngineTimeout):
        load("tensorrt", graph, EngineSettings("GPU"), isolated=Isolation(load_s=0.6))


class TestFailure:
    @pytest.mark.parametrize(
        ("order", "kind", "what"),
        [("refuse", ModelError, "cannot load the plan"), ("no context", EngineError, "another execution context")],
    )
    def test_what_tensorrt_says_is_told(
        self, graph: Path, cuda: StandIn, order: str, kind: type[EdgemillError], what: str
    ) -> None:
        write_plan(graph, "tensorrt", LIMITS, **{order: "Serialization assertion stdVersionRead failed."})
        refused(graph, kind, what, "Serialization assertion stdVersionRead failed.", "edgemill agent compile")
        assert cuda.open() == {}

    def test_a_run_that_cannot_begin_says_why(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS, **{"no run": "Cuda Runtime (invalid argument)"})
        with opened(graph) as engine:
            for _ in range(3):
                with pytest.raises(EngineError, match=r"cannot begin a run") as caught:
                    engine.run({"x": X})
                assert "Cuda Runtime (invalid argument)" in str(caught.value)
                assert "stand-in" not in str(caught.value)  # what it said while it loaded
                assert cuda.open() == {"context": 1}
        assert cuda.open() == {}

    def test_sizes_that_depend_on_what_is_fed_are_refused(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", LIMITS, **{"data dependent": True})
        with opened(graph) as engine, pytest.raises(EngineError, match="how large 'p' will be"):
            engine.run({"x": X})

    @pytest.mark.parametrize(
        "call", ["cuMemAllocHost_v2", "cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuStreamSynchronize", "cuCtxSetCurrent"]
    )
    @pytest.mark.parametrize("after", [0, 1])
    def test_one_failure_costs_one_run(self, graph: Path, cuda: StandIn, call: str, after: int) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            right = engine.run({"x": X})["p"]
            cuda.fail(call, 2, after)
            wide = {"x": np.tile(X, (4, 1, 1, 2))}
            told = []
            for _ in range(4):
                try:
                    engine.run(wide)
                except EngineError as error:
                    told.append(str(error))
            assert len(told) == 1
            assert "out of memory" in told[0]
            np.testing.assert_array_equal(engine.run({"x": X})["p"], right)
        assert cuda.open() == {}

    @pytest.mark.parametrize("call", ["cuStreamCreate", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent"])
    def test_a_gpu_without_room_for_an_engine(self, graph: Path, cuda: StandIn, call: str) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        for after in range(2 if call == "cuCtxSetCurrent" else 1):
            cuda.fail(call, 2, after)
            refused(graph, EngineError, "out of memory")
            assert cuda.open() == {}

    def test_a_gpu_that_breaks_down_is_told_and_left(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            engine.run({"x": X})
            cuda.break_down(700)
            for _ in range(2):
                with pytest.raises(EngineError, match=r"illegal memory access"):
                    engine.run({"x": X})
        cuda.break_down(0)
        assert cuda.open() == {}

    def test_recording_that_fails_is_an_error_and_no_slower_engine(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph, cuda_graph=True) as engine:
            engine.run({"x": X})
            cuda.fail("cuStreamEndCapture", 900)
            with pytest.raises(EngineError, match="cuStreamEndCapture") as caught:
                engine.run({"x": X})
            assert "cuda_graph=False" in str(caught.value.fix)
        assert cuda.open() == {}
