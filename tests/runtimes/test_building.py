"""What the builder is told that no build here can show: timing caches, accelerators, scratch memory.

The bindings are a stand-in that notes what it was told. That the real ones have these calls is shown elsewhere; what
TensorRT makes of them, only a box with a GPU shows.
"""

from __future__ import annotations

from enum import Enum
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgemill_core.errors import InputError, MissingPartError, ModelError
from edgemill_runtimes.nvidia.asked import Asked
from edgemill_runtimes.nvidia.building import build

STAND_IN = Path(__file__).parents[1] / "parts" / "stand_in_bindings" / "tensorrt_rtx.py"


class Config(SimpleNamespace):
    """Notes everything; takes a timing cache of its own version alone."""

    cache = b""

    def create_timing_cache(self, content: bytes) -> bytes | None:
        return None if content == b"damaged" else content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        assert cache is not None, "the bindings take no None here"
        if cache not in (b"", b"ours"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: self.cache + b"more")

    def set_memory_pool_limit(self, pool: Enum, size: int) -> None:
        self.pool = (pool.name, size)

    def set_flag(self, flag: Enum) -> None:
        self.flags = [*getattr(self, "flags", []), flag.name]

    def clear_flag(self, flag: Enum) -> None:
        self.cleared = [*getattr(self, "cleared", []), flag.name]

    def set_compute_capability(self, capability: Enum, index: int) -> None:
        self.capabilities = {**getattr(self, "capabilities", {}), index: capability.name}


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def trt(config: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = spec_from_file_location("stand_in", STAND_IN)
    assert spec is not None
    assert spec.loader is not None
    module: Any = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    module.Builder.create_builder_config = lambda _: config
    module.Builder.num_DLA_cores = 2
    module.BuilderFlag = Enum("BuilderFlag", "GPU_FALLBACK TF32")
    module.DeviceType = Enum("DeviceType", "DLA")
    module.MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE")
    return module


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "graph.onnx").write_bytes(b"\x08\x08")
    return tmp_path / "graph.onnx"


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, b"more"), (b"ours", b"oursmore"), (b"of another GPU", b"more"), (b"damaged", b"more")],
)
def test_a_timing_cache_is_read_and_written(trt: Any, graph: Path, before: bytes | None, after: bytes) -> None:
    cache = graph.with_name("timing.cache")
    if before is not None:
        cache.write_bytes(before)
    build(trt, graph, Asked("tensorrt", timing_cache=cache))
    assert cache.read_bytes() == after


def test_tensorrt_rtx_has_no_use_for_one(trt: Any, graph: Path) -> None:
    build(trt, graph, Asked("tensorrt_rtx", timing_cache=graph.with_name("timing.cache")))
    assert not graph.with_name("timing.cache").exists()


def test_what_a_kernel_may_want_and_what_facts_are_read_from(trt: Any, graph: Path, config: Config) -> None:
    build(trt, graph, Asked("tensorrt", workspace_mb=500))
    assert config.pool == ("WORKSPACE", 500_000_000)
    assert config.profiling_verbosity.name == "DETAILED"
    assert config.cleared == ["TF32"]
    assert not hasattr(config, "capabilities")


def test_each_gpu_is_named(trt: Any, graph: Path, config: Config) -> None:
    build(trt, graph, Asked("tensorrt_rtx", ("8.9", "8.6")))
    assert (config.num_compute_capabilities, config.capabilities) == (2, {0: "SM86", 1: "SM89"})
    with pytest.raises(InputError, match="only tensorrt_rtx"):
        build(trt, graph, Asked("tensorrt", ("8.6",)))


@pytest.mark.parametrize("fallback", [False, True])
def test_an_accelerator_is_taken_with_the_gpu_only_if_that_is_said(
    trt: Any, graph: Path, config: Config, fallback: bool
) -> None:
    build(trt, graph, Asked("tensorrt", dla=1, gpu_fallback=fallback))
    assert (config.default_device_type.name, config.DLA_core) == ("DLA", 1)
    assert getattr(config, "flags", []) == (["GPU_FALLBACK"] if fallback else [])


def test_an_accelerator_takes_inputs_of_one_size(
    trt: Any, graph: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVIDIA: "DLA does not support dynamic dimensions, so the profile's min, max, and opt values must be equal"."""
    x = SimpleNamespace(name="x", shape=(-1, 3), dtype=SimpleNamespace(name="FLOAT"), is_shape_tensor=False)
    network = SimpleNamespace(num_inputs=1, get_input=lambda _: x, content=b"")
    monkeypatch.setattr(trt.Builder, "create_network", lambda *_: network)
    profiles: list[Any] = []
    profile = SimpleNamespace(set_shape=lambda *told: profiles.append(told))
    monkeypatch.setattr(trt.Builder, "create_optimization_profile", lambda _: profile, raising=False)
    config.add_optimization_profile = lambda _: None
    monkeypatch.setattr(trt.OnnxParser, "parse_from_file", lambda *_: True)
    with pytest.raises(InputError, match="inputs of one size") as caught:
        build(trt, graph, Asked("tensorrt", limits={"x": ((1, 8), None)}, dla=0))
    assert caught.value.got == "x: [1, 3] to [8, 3]"
    for asked in (
        Asked("tensorrt", limits={"x": ((4, 4), None)}, dla=0),
        Asked("tensorrt", limits={"x": ((1, 8), None)}),
    ):
        build(trt, graph, asked)
    assert profiles == [("x", (4, 3), (4, 3), (4, 3)), ("x", (1, 3), (8, 3), (8, 3))]


def test_an_accelerator_that_is_not_there_is_said(trt: Any, graph: Path) -> None:
    with pytest.raises(MissingPartError, match="no core 2"):
        build(trt, graph, Asked("tensorrt", dla=2))
    del trt.Builder.num_DLA_cores  # as in versions that know none
    with pytest.raises(MissingPartError, match="no core 0") as caught:
        build(trt, graph, Asked("tensorrt", dla=0))
    assert caught.value.got == "0 cores"


def test_a_builder_that_cannot_be_made_is_said(trt: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, log: Any) -> None:
        log.log(trt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt.Builder, "__init__", fails)
    with pytest.raises(MissingPartError, match="cannot compile here") as caught:
        build(trt, graph, Asked("tensorrt"))
    assert caught.value.got == "CUDA initialization failure with error: 35"


def test_sizes_from_the_numbers_of_an_input_are_refused(trt: Any, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = SimpleNamespace(name="sizes", shape=(4,), dtype=SimpleNamespace(name="INT64"), is_shape_tensor=True)
    network = SimpleNamespace(num_inputs=1, get_input=lambda _: sizes)
    monkeypatch.setattr(trt.Builder, "create_network", lambda *_: network)
    with pytest.raises(ModelError, match="sizes of its tensors"):
        build(trt, graph, Asked("tensorrt"))


def test_a_version_without_progress_builds_all_the_same(trt: Any, graph: Path, config: Config) -> None:
    del trt.IProgressMonitor
    config.progress_monitor = SimpleNamespace(phase_start=lambda *_: None, step_complete=lambda *_: None)
    said: list[object] = []
    assert build(trt, graph, Asked("tensorrt"), lambda *told: said.append(told))
    assert not said
