"""The contract of the TensorRT engines on a real GPU.

Nobody has run it where it was written: there was no GPU. ``test_tensorrt_stand_in.py`` is what could be shown without.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_contract import EngineContract
from tiny_text import tiny_model

from edgemill_core.errors import MissingPartError
from edgemill_runtimes.engines import Engine, load
from edgemill_runtimes.nvidia.asked import Asked
from edgemill_runtimes.nvidia.bindings import check_installed
from edgemill_runtimes.nvidia.compiling import compile_plan
from edgemill_runtimes.nvidia.probing import probe

LIMITS = {"x": ((1, 4), None, (8, 15), (8, 64))}


try:
    probe()
except MissingPartError as error:
    pytest.skip(f"NOT SHOWN that TensorRT engines run: {error.what} ({error.got})", allow_module_level=True)


class GpuContract(EngineContract):
    feeds = {"x": np.random.default_rng(0).random((1, 3, 8, 32), np.float32)}  # noqa: RUF012
    device = "GPU"
    plans: dict[str, tuple[bytes, str]] = {}  # noqa: RUF012 (compiled once for each runtime)

    @pytest.fixture
    def graph(self, tmp_path: Path) -> Path:
        try:
            check_installed(self.runtime)
        except MissingPartError as error:
            pytest.skip(f"NOT SHOWN that {self.runtime} runs: {error.got}")
        graph, plan = tmp_path / "graph.onnx", tmp_path / "engine.plan"
        onnx.save(tiny_model(), graph)
        if self.runtime not in self.plans:
            facts = compile_plan(graph, plan, Asked(self.runtime, limits=LIMITS))
            self.plans[self.runtime] = (plan.read_bytes(), facts.model_dump_json())
        content, told = self.plans[self.runtime]
        plan.write_bytes(content)
        (tmp_path / "engine.plan.json").write_text(told)
        return graph

    @pytest.fixture
    def engine(self, graph: Path) -> Iterator[Engine]:
        with load(self.runtime, graph, self.settings()) as engine:
            yield engine

    def test_it_computes_what_onnx_runtime_computes(self, engine: Engine, graph: Path) -> None:
        rng = np.random.default_rng(1)
        with load("onnxruntime", graph) as reference:
            for batch, height, width in ((1, 8, 32), (4, 8, 64), (2, 8, 8)):
                x = rng.random((batch, 3, height, width), np.float32)
                np.testing.assert_allclose(engine.run({"x": x})["p"], reference.run({"x": x})["p"], atol=1e-4)

    def test_it_computes_in_what_the_graph_says(self, engine: Engine) -> None:
        engine.require(precision="fp32", device=self.device, unfused=0)

    def test_engines_that_come_and_go_leave_nothing_behind(self, engine: Engine, graph: Path) -> None:
        engine.run(self.feeds)  # it stays open: what the CUDA runtime takes for itself is taken
        before = free_mb()
        for _ in range(10):
            with load(self.runtime, graph, self.settings()) as another:
                list(another.stream([self.feeds] * 8, depth=4))
        engine.run(self.feeds)
        assert free_mb() > before - 64

    def test_as_cuda_graphs_it_gives_the_same(self, engine: Engine, graph: Path) -> None:
        with load(self.runtime, graph, self.settings(cuda_graph=True)) as recorded:
            for _ in range(4):
                assert recorded.run(self.feeds)["p"].tobytes() == engine.run(self.feeds)["p"].tobytes()


def free_mb() -> float:
    """Of the GPU that the calling thread's context is on."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert ctypes.CDLL("libcuda.so.1").cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value / 1e6


class TestTensorRt(GpuContract):
    runtime = "tensorrt"


class TestTensorRtRtx(GpuContract):
    runtime = "tensorrt_rtx"
