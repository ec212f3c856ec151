"""The TensorRT engines over stand-ins for the driver and for TensorRT: the whole contract, and what goes wrong.

They show what is ours, on any machine. ``test_tensorrt.py`` asks the same of the real ones, where there is a GPU.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from engine_contract import EngineContract
from onnx import TensorProto, helper, numpy_helper
from stand_in_cuda import StandIn
from stand_in_engines import LIMITS, X, opened, refused
from stand_in_tensorrt import write_plan
from tiny_text import tiny_model

from edgemill_core.errors import (
    EngineError,
    InputError,
    MissingPartError,
    ModelError,
    RequirementError,
)
from edgemill_runtimes.engines import Engine, EngineSettings, load

pytestmark = pytest.mark.usefixtures("stand_ins")


class StandInContract(EngineContract):
    feeds = {"x": X}  # noqa: RUF012
    device = "GPU"

    @pytest.fixture
    def graph(self, tmp_path: Path) -> Path:
        onnx.save(tiny_model(), tmp_path / "graph.onnx")
        write_plan(tmp_path / "graph.onnx", self.runtime, LIMITS)
        return tmp_path / "graph.onnx"

    @pytest.fixture
    def engine(self, graph: Path, cuda: StandIn) -> Iterator[Engine]:
        with load(self.runtime, graph, self.settings()) as engine:
            yield engine
        assert cuda.open() == {}


class TestTensorRtOverStandIns(StandInContract):
    runtime = "tensorrt"


class TestTensorRtRtxOverStandIns(StandInContract):
    """As CUDA graphs, so that both ways to begin a run are shown."""

    runtime = "tensorrt_rtx"

    def settings(self, **more: Any) -> EngineSettings:
        return replace(super().settings(**more), cuda_graph=True)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(tiny_model(), tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


class TestTensors:
    def test_sizes_that_the_plan_was_made_for_are_the_limits(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            assert [str(spec) for spec in engine.inputs] == ["x: float32[1..4, 3, 8..64, 8..64]"]
            assert [str(spec) for spec in engine.outputs] == ["p: float32[?, ?, 3]"]
            engine.warm_up(1)
            with pytest.raises(InputError, match=r"8\.\.64"):
                engine.run({"x": np.zeros((1, 3, 8, 72), np.float32)})
        refused(graph, InputError, "beyond what the plan", limits={"x": ((1, 5), None, (8, 64), (8, 64))})
        with opened(graph, limits={"x": ((2, 3), None, (8, 8), (8, 64))}) as engine:
            assert engine.inputs[0].example().shape == (2, 3, 8, 8)

    def test_sizes_may_change_from_run_to_run(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        for recording in (False, True):
            with opened(graph, cuda_graph=recording) as engine:
                first = engine.run({"x": X})["p"]
                for batch, width in ((1, 32), (4, 64), (2, 8), (4, 64), (1, 32), (1, 32), (1, 32)):
                    found = engine.run({"x": np.tile(X, (batch, 1, 1, 2))[..., :width]})["p"]
                    assert found.shape == (batch, width // 8, 3)
                    np.testing.assert_array_equal(found[0, :4], first[0][: width // 8])
                assert cuda.open().get("exec", 0) == int(recording)
                (slot,) = engine._slots._idle
                places = {name: buffer.address for name, buffer in slot._far.items()}
                engine.run({"x": X[..., :8]})
                assert places == {name: buffer.address for name, buffer in slot._far.items()}
                assert cuda.open()["device"] == 2
        assert cuda.open() == {}

    @pytest.mark.parametrize(
        ("orders", "kind", "part"),
        [
            ({"location": "HOST"}, TensorProto.FLOAT, "FLOAT, a format, HOST"),
            ({"format": "CHW32"}, TensorProto.FLOAT, "FLOAT, a format, DEVICE"),
            ({}, TensorProto.DOUBLE, "DOUBLE"),
        ],
    )
    def test_what_numpy_or_we_do_not_have_is_refused(
        self, tmp_path: Path, cuda: StandIn, orders: dict[str, Any], kind: int, part: str
    ) -> None:
        graph = tmp_path / "double.onnx"
        x, y = (helper.make_tensor_value_info(name, kind, [2]) for name in "xy")
        made = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), graph)
        write_plan(graph, "tensorrt", **orders)
        refused(graph, ModelError, "'x' cannot be fed", part)
        assert cuda.open() == {}


class TestManyAtOnce:
    def test_a_run_may_be_begun_by_one_thread_and_ended_by_another(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine, ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
            right = engine.run({"x": X})["p"]
            for _ in range(3):
                started = one.submit(engine.start, {"x": X}).result()
                np.testing.assert_array_equal(two.submit(engine.finish, started).result()["p"], right)
            two.submit(engine.close).result()
        assert cuda.open() == {}

    def test_each_run_at_once_has_a_slot_that_is_used_again(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            for _ in range(3):
                list(engine.stream([{"x": X}] * 20, depth=5))
                assert cuda.open() == {"context": 1, "stream": 5, "device": 10, "pinned": 10}
        assert cuda.open() == {}

    def test_an_engine_that_is_closed_in_the_middle_of_runs_frees_all_after_the_last(
        self, graph: Path, cuda: StandIn
    ) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            right = engine.run({"x": X})["p"]
            going = [engine.start({"x": X}) for _ in range(3)]
        assert cuda.open()["stream"] == 3
        for count, one in enumerate(going, 1):
            np.testing.assert_array_equal(engine.finish(one)["p"], right)
            assert cuda.open().get("stream", 0) == 3 - count
        assert cuda.open() == {}
        with pytest.raises(EngineError, match="closed"):
            engine.start({"x": X})

    def test_closing_while_threads_run_is_no_crash(self, graph: Path, cuda: StandIn) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        begun = threading.Barrier(5)
        engine = opened(graph)

        def ask() -> str:
            begun.wait()
            try:
                while True:
                    engine.run({"x": X})
            except EngineError as error:
                return error.what

        with ThreadPoolExecutor(4) as pool:
            told = [pool.submit(ask) for _ in range(4)]
            begun.wait()
            engine.run({"x": X})
            engine.close()
            assert all("closed" in one.result(10) for one in told)
        assert cuda.open() == {}

    def test_a_closed_engine_holds_nothing_of_tensorrt(self, graph: Path, cuda: StandIn) -> None:
        def alive() -> int:
            gc.collect()
            return sum(type(one).__name__ in ("_Engine", "_Context") for one in gc.get_objects())

        write_plan(graph, "tensorrt", LIMITS)
        before, closed = alive(), []
        for _ in range(10):
            with opened(graph, cuda_graph=True) as engine:
                list(engine.stream([{"x": X}] * 4))
            closed.append(engine)
            assert cuda.open() == {}
        assert alive() == before


def test_engines_of_a_process_have_one_logger_as_tensorrt_has(graph: Path) -> None:
    write_plan(graph, "tensorrt", LIMITS)
    with opened(graph) as one, opened(graph) as other:
        assert one._log is other._log


class TestFacts:
    LAYERS = (
        {
            "Name": "conv",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Dimensions": [1, 3, 1, 4], "Format/Datatype": "Row major Int8 format"}],
            "Outputs": [{"Dimensions": [1, 3, 1, 4], "Format/Datatype": "Row major linear FP32"}],
            "OutMaps": 3,
            "Weights": {"Type": "Int8", "Count": 9},
        },
    )

    def test_layers_are_the_inspector_s(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", LIMITS, layers=self.LAYERS)
        with opened(graph) as engine:
            engine.require(precision="int8", device="GPU", unfused=0)
            facts = engine.facts()
        assert (facts.layers, facts.macs, facts.hidden) == ({"int8": 1}, {"int8": 1.0}, ())
        assert facts.version == "10.3.0"
        assert (facts.options["gpu"], facts.options["cuda"], facts.options["device_memory_mb"]) == (
            "Stand-in",
            "12.6",
            "2.5",
        )

    def test_a_plan_that_tells_names_alone_has_no_precision_to_rely_on(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", LIMITS)
        with opened(graph) as engine:
            assert engine.facts().hidden == ("conv",)
            with pytest.raises(RequirementError, match="tells nothing"):
                engine.require(precision="fp32")

    def test_a_layer_that_the_graph_quantizes_and_the_plan_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "google.protobuf", None)  # a Jetson need not have it, and the agent asks
        graph = tmp_path / "graph.onnx"
        known = [
            numpy_helper.from_array(np.float32(0.1), "s"),
            numpy_helper.from_array(np.int8(0), "z"),
            numpy_helper.from_array(np.ones((8, 3, 1, 1), np.float32), "w"),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
            helper.make_node("QuantizeLinear", ["w", "s", "z"], ["v"]),
            helper.make_node("DequantizeLinear", ["v", "s", "z"], ["b"]),
            helper.make_node("Conv", ["a", "b"], ["y"], "conv"),
        ]
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 4, 4]) for n, c in (("x", 3), ("y", 8)))
        made = helper.make_graph(nodes, "g", [x], [y], known)
        onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), graph)
        float_layer = {**self.LAYERS[0], "Weights": {"Type": "Float", "Count": 9}}
        write_plan(graph, "tensorrt", layers=[float_layer])
        with opened(graph) as engine, pytest.raises(RequirementError, match=r"(?s)at most 0 unfused.*1: conv"):
            engine.require(unfused=0)

    def test_what_an_accelerator_leaves_to_the_gpu_is_elsewhere(self, graph: Path) -> None:
        write_plan(
            graph, "tensorrt", LIMITS, dla=1, layers=[{"Name": "{ForeignNode[a]}", "LayerType": "DLA"}, *self.LAYERS]
        )
        refused(graph, MissingPartError, "accelerator")
        with opened(graph, "DLA.1") as engine:
            facts = engine.facts()
            assert (facts.device, facts.elsewhere, facts.hidden) == ("DLA.1", {"conv": "GPU"}, ("{ForeignNode[a]}",))
            with pytest.raises(RequirementError, match=r"(?s)everything on DLA\.1.*1 nodes on GPU"):
                engine.require(device="DLA.1")

    def test_an_accelerator_that_the_box_has_not(self, graph: Path) -> None:
        write_plan(graph, "tensorrt", LIMITS, dla=7)
        refused(graph, MissingPartError, "no DLA.7", "2 cores", device="DLA.7")
