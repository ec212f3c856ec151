"""How far loading a plan goes without a GPU: real plans, real bindings, and TensorRT-RTX's own words.

Its runtime reads a plan's header before it needs a GPU, so that what we read there can be held against what it reads.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from stand_in_cuda import StandIn
from tiny_text import tiny_model

from edgemill_core.errors import BundleError, ModelError
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.engines.tensorrt import TensorRtEngine
from edgemill_runtimes.nvidia.asked import Asked
from edgemill_runtimes.nvidia.building import build
from edgemill_runtimes.nvidia.compiling import compile_plan
from edgemill_runtimes.nvidia.header import HEADER_BYTES, read_header
from edgemill_runtimes.nvidia.logger import keeping_logger

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'edgemill[tensorrt]'")

LIMITS = {"x": ((1, 4), None, (8, 15), (8, 64))}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a real plan for 8.6 and 8.9 beside it."""
    folder = tmp_path_factory.mktemp("rtx")
    onnx.save(tiny_model(), folder / "graph.onnx")
    compile_plan(folder / "graph.onnx", folder / "engine.plan", Asked("tensorrt_rtx", ("8.6", "8.9"), LIMITS))
    return folder / "graph.onnx"


@pytest.fixture
def plan(graph: Path) -> bytes:
    return graph.with_name("engine.plan").read_bytes()


def said_of(plan: bytes) -> str:
    """Why the real runtime does not load it."""
    log = keeping_logger(trt)
    assert trt.Runtime(log).deserialize_cuda_engine(plan) is None
    return str(log.words())


def test_fp32_is_never_computed_in_tf32(graph: Path) -> None:
    made: list[Any] = []

    class Watched(trt.Builder):
        def create_builder_config(self) -> Any:
            made.append(super().create_builder_config())
            return made[-1]

    assert trt.Builder(keeping_logger(trt)).create_builder_config().get_flag(trt.BuilderFlag.TF32)
    watched = SimpleNamespace(**{**vars(trt), "Builder": Watched})
    assert build(watched, graph, Asked("tensorrt_rtx", ("8.6",), LIMITS)) is not None
    assert [config.get_flag(trt.BuilderFlag.TF32) for config in made] == [False]


def test_its_header_is_as_long_as_ours() -> None:
    assert trt.Runtime(keeping_logger(trt)).engine_header_size == HEADER_BYTES


@pytest.mark.parametrize(
    ("harm", "theirs"),
    [
        (lambda plan: b"ftrt" + plan[4:], "magicTag"),
        (lambda plan: plan[:-1], "header.size == blobSize"),
        (lambda plan: plan + b"\0", "header.size == blobSize"),
        (lambda plan: plan[:16] + b"\x01" + plan[17:], "header.size == blobSize"),
        (lambda plan: plan[: HEADER_BYTES - 1], "bufferSize >= minBufferSize"),
    ],
    ids=["tag", "cut", "longer", "size", "in the header"],
)
def test_what_it_refuses_by_the_header_we_refuse_before(plan: bytes, harm: Any, theirs: str) -> None:
    bad = harm(plan)
    assert theirs in said_of(bad)
    try:
        told = read_header(bad[:HEADER_BYTES])
    except BundleError:
        return
    assert told.runtime != "tensorrt_rtx" or told.bytes != len(bad)


def test_a_whole_plan_is_refused_for_want_of_a_gpu_alone(
    graph: Path, plan: bytes, cuda: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_header(plan[:HEADER_BYTES])
    assert (header.version, header.bytes, header.compute_capabilities) == (trt.__version__, len(plan), ("8.6", "8.9"))
    if "CUDA" not in said_of(plan):
        pytest.skip("there is a GPU")
    monkeypatch.setattr(TensorRtEngine, "library", str(cuda.path))
    monkeypatch.setenv("STAND_IN_CAPABILITY", "89")
    with pytest.raises(ModelError, match="cannot load the plan") as caught:
        load("tensorrt_rtx", graph, EngineSettings("GPU"))
    assert "Cuda Runtime" in str(caught.value.got)
    assert f"{trt.__version__} reads on Stand-in" in str(caught.value.expected)
    assert cuda.open() == {}
