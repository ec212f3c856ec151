"""The driver, asked through ctypes: a stand-in for libcuda that is compiled here, and what this machine has."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from stand_in_cuda import StandIn

from edgemill.cli.doctor import gpu_sentence
from edgemill_core.errors import EngineError, MissingPartError
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.engines.tensorrt import TensorRtEngine, TensorRtRtxEngine
from edgemill_runtimes.nvidia.driver import Driver, DriverError, gpus
from edgemill_runtimes.nvidia.driver_version import driver_version
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.memory import Context, DeviceBuffer, HostBuffer, Stream
from edgemill_runtimes.nvidia.probing import probe


@pytest.fixture
def driver(cuda: StandIn) -> Driver:
    return Driver(str(cuda.path))


def refused(library: str) -> MissingPartError:
    begun = time.monotonic()
    with pytest.raises(MissingPartError) as caught:
        gpus(library)
    assert time.monotonic() - begun < 1
    assert caught.value.exit_code == 3
    assert caught.value.fix
    return caught.value


class TestProbe:
    def test_a_gpu_is_told_as_the_driver_tells_it(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edgemill_runtimes.nvidia.driver.driver_version", lambda: None)
        assert driver.gpus() == (Gpu("Stand-in", "8.7", 1073, True, "12.6"),)
        monkeypatch.setenv("STAND_IN_DEVICES", "2")
        monkeypatch.setenv("STAND_IN_CAPABILITY", "120")
        monkeypatch.setenv("STAND_IN_DRIVER", "13110")
        assert Driver(driver._library._name).version == (13, 11)
        assert [(gpu.name, gpu.compute_capability) for gpu in driver.gpus()] == [
            ("Stand-in", "12.0"),
            ("Stand-in 2", "12.0"),
        ]

    @pytest.mark.parametrize(
        ("module", "tegra", "version"),
        [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n"
                "GCC version:  gcc version 11.4.0\n",
                None,
                "535.129.03",
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile)",
                "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n#",
                "540.4.0, R36.4.3",
            ),
            (None, "# R36 (release), REVISION: 4.3, GCID: 1", "R36.4.3"),
            ("something else 1.2", "\xff\n# R36 (release), REVISION: 4.3", None),
            (None, None, None),
        ],
    )
    def test_the_driver_s_own_version(
        self, tmp_path: Path, module: str | None, tegra: str | None, version: str | None
    ) -> None:
        files = tmp_path / "module", tmp_path / "tegra"
        for file, text in zip(files, (module, tegra), strict=True):
            if text is not None:
                file.write_bytes(text.encode("latin-1"))
        assert driver_version(*files) == version

    def test_it_is_told_with_the_gpu(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edgemill_runtimes.nvidia.driver.driver_version", lambda: "540.4.0")
        (gpu,) = driver.gpus()
        assert (gpu.cuda, gpu.driver) == ("12.6", "540.4.0")
        assert gpu_sentence(gpu).endswith("CUDA 12.6, driver 540.4.0")

    def test_no_driver(self) -> None:
        said = refused("libcuda-that-is-not-there.so.1")
        assert "no NVIDIA driver" in said.what
        assert "libcuda-that-is-not-there.so.1" in str(said.got)
        assert "JetPack" in str(said.fix)

    def test_a_file_that_is_no_library(self, tmp_path: Path) -> None:
        (tmp_path / "libcuda.so.1").write_bytes(b"\x7fELF nothing")
        assert "no NVIDIA driver" in refused(str(tmp_path / "libcuda.so.1")).what

    def test_a_library_that_is_no_driver(self) -> None:
        assert "has no cuInit" in refused("libc.so.6").what

    @pytest.mark.parametrize(
        ("told", "parts"),
        [
            ({"STAND_IN_INIT": "100"}, ("finds no GPU", "no CUDA-capable device is detected", "--gpus all")),
            ({"STAND_IN_INIT": "100", "CUDA_VISIBLE_DEVICES": ""}, ("finds no GPU", "CUDA_VISIBLE_DEVICES is ''")),
            ({"STAND_IN_DEVICES": "0"}, ("finds no GPU", "counts 0")),
            ({"STAND_IN_INIT": "34"}, ("stub", "LD_LIBRARY_PATH")),
            ({"STAND_IN_INIT": "803"}, ("does not start", "error 803", "reboot")),
            ({"STAND_IN_DRIVER": "10020"}, ("too old", "CUDA 10.2", "CUDA 11.0")),
        ],
        ids=["none", "hidden", "zero", "stub", "mismatch", "old"],
    )
    def test_a_driver_that_is_of_no_use(
        self, tmp_path: Path, cuda: StandIn, monkeypatch: pytest.MonkeyPatch, told: dict[str, str], parts: list[str]
    ) -> None:
        copy = tmp_path / "libcuda.so.1"  # of its own: what this process has opened once stays open
        copy.write_bytes(cuda.path.read_bytes())
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        said = str(refused(str(copy)))
        assert all(part in said for part in parts), said

    def test_asked_in_a_process_of_its_own_it_is_the_same(
        self, cuda: StandIn, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert probe(str(cuda.path)) == driver.gpus()
        monkeypatch.setenv("STAND_IN_INIT", "100")
        with pytest.raises(MissingPartError, match="finds no GPU") as caught:
            probe(str(cuda.path))
        assert "--gpus all" in str(caught.value.fix)

    @pytest.mark.parametrize(
        ("name", "value", "part"),
        [("STAND_IN_SLEEP", "30", "no answer within 0.3 s"), ("STAND_IN_ABORT", "1", "SIGABRT")],
    )
    def test_a_driver_that_hangs_or_crashes_costs_that_process(
        self, cuda: StandIn, monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
    ) -> None:
        monkeypatch.setenv(name, value)
        begun = time.monotonic()
        with pytest.raises(MissingPartError, match="does not answer") as caught:
            probe(str(cuda.path), within_s=0.3 if "SLEEP" in name else 10)
        assert time.monotonic() - begun < 5
        assert part in str(caught.value.got)

    def test_this_machine_answers_at_once(self) -> None:
        begun = time.monotonic()
        try:
            told = [gpu.name for gpu in probe()]
        except MissingPartError as error:
            told = [error.fix]
        assert all(told)
        assert time.monotonic() - begun < 10


class TestMemory:
    @pytest.fixture(autouse=True)
    def everything_is_freed(self, cuda: StandIn, driver: Driver) -> None:
        with Context(driver, 0) as context:
            context.use()
            yield
            cuda.fail("", 0)
            cuda.break_down(0)
            assert cuda.open() == {"context": 1}
        assert cuda.open() == {}

    def test_what_goes_to_the_gpu_comes_back_once_the_stream_is_done(self, cuda: StandIn, driver: Driver) -> None:
        told = np.arange(12, dtype=np.float32).reshape(3, 4)
        with Stream(driver) as stream, DeviceBuffer(driver, 48) as far, HostBuffer(driver, 64) as one:
            with HostBuffer(driver, 48) as two:
                np.copyto(one.view(told.dtype, told.shape), told)
                stream.to_device(far, one, told.nbytes)
                stream.to_host(two, far, told.nbytes)
                assert not np.array_equal(two.view(told.dtype, told.shape), told)
                stream.synchronize()
                np.testing.assert_array_equal(two.view(told.dtype, told.shape), told)
                assert cuda.open() == {"context": 1, "stream": 1, "device": 1, "pinned": 2}

    def test_closing_twice_frees_once(self, cuda: StandIn, driver: Driver) -> None:
        one, two = DeviceBuffer(driver, 8), DeviceBuffer(driver, 8)
        one.close()
        one.close()
        assert cuda.open() == {"context": 1, "device": 1}
        two.close()

    def test_an_array_without_elements_has_a_place_too(self, driver: Driver) -> None:
        with HostBuffer(driver, 0) as host, DeviceBuffer(driver, 0):
            assert host.view(np.dtype(np.int64), (0, 3)).shape == (0, 3)

    @pytest.mark.parametrize(("kind", "words"), [(DeviceBuffer, "GPU memory"), (HostBuffer, "page-locked memory")])
    def test_memory_that_is_not_there_is_told_in_mb(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch, kind: type[DeviceBuffer | HostBuffer], words: str
    ) -> None:
        monkeypatch.setenv("STAND_IN_MEMORY", "1000000")
        with kind(driver, 600_000), pytest.raises(EngineError) as caught:
            kind(driver, 600_000)
        assert f"no memory left for 0.6 MB of {words}" in str(caught.value)
        assert "out of memory (error 2)" in str(caught.value)
        assert "smaller limits" in str(caught.value)

    def test_a_copy_past_the_end_is_the_driver_s_error(self, driver: Driver) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8) as far, HostBuffer(driver, 16) as near:
            with pytest.raises(DriverError, match="cuMemcpyHtoDAsync_v2") as caught:
                stream.to_device(far, near, 16)
        assert caught.value.code == 1
        assert "has no words for" in str(caught.value)

    def test_an_error_says_what_the_driver_says_and_freeing_after_it_is_quiet(
        self, cuda: StandIn, driver: Driver
    ) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8):
            cuda.break_down(700)
            with pytest.raises(DriverError, match="illegal memory access"):
                stream.synchronize()

    def test_recorded_work_is_done_again_with_what_lies_there_then(self, driver: Driver) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8) as far, HostBuffer(driver, 8) as one:
            with HostBuffer(driver, 8) as two:

                def work() -> None:
                    stream.to_device(far, one, 8)
                    stream.to_host(two, far, 8)

                written, read = (buffer.view(np.dtype(np.int64), (1,)) for buffer in (one, two))
                with stream.capture(work) as graph:
                    written[:], read[:] = 7, 0
                    stream.synchronize()
                    assert read[0] == 0
                    for value in (7, 8):
                        written[:] = value
                        graph.launch()
                        stream.synchronize()
                        assert read[0] == value

    @pytest.mark.parametrize(
        "call", ["cuStreamBeginCapture_v2", "cuMemcpyHtoDAsync_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
    )
    def test_recording_that_fails_leaves_nothing_behind(self, cuda: StandIn, driver: Driver, call: str) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8) as far, HostBuffer(driver, 8) as near:
            cuda.fail(call, 900)

            def work() -> None:
                stream.to_device(far, near, 4)
                stream.to_device(far, near, 8)

            with pytest.raises(DriverError, match=call):
                stream.capture(work)
            stream.synchronize()


@pytest.mark.parametrize("call", ["cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate"])
def test_a_context_or_stream_that_cannot_be_had_is_an_error(cuda: StandIn, driver: Driver, call: str) -> None:
    cuda.fail(call, 2)

    def open_both() -> None:
        with Context(driver, 0) as context:
            context.use()
            Stream(driver)

    with pytest.raises(EngineError, match=r"no memory left for a context|failed in"):
        open_both()
    assert cuda.open() == {}


@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("how", ["the class", "load", "isolated"])
def test_without_a_gpu_an_engine_says_so_at_once(tmp_path: Path, runtime: str, how: str) -> None:
    if Path("/dev/nvidiactl").exists() or Path("/dev/nvhost-ctrl-gpu").exists():
        pytest.skip("there is a GPU")
    graph, settings = tmp_path / "graph.onnx", EngineSettings("GPU")
    graph.write_bytes(b"never looked at")
    classes = {"tensorrt": TensorRtEngine, "tensorrt_rtx": TensorRtRtxEngine}
    begun = time.monotonic()
    with pytest.raises(MissingPartError) as caught:
        classes[runtime](graph, settings) if how == "the class" else load(runtime, graph, settings, how == "isolated")
    assert time.monotonic() - begun < 1
    asked = how == "the class" or find_spec(runtime) is not None
    assert caught.value.what == ("there is no NVIDIA driver here" if asked else f"{runtime} is not installed")
    assert caught.value.fix
