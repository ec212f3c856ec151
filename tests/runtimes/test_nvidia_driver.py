"""The driver, asked through ctypes: a stand-in for libcuda that is compiled here, and what this machine has."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stand_in_cuda import StandIn, build_stand_in

from edgemill_core.errors import EngineError, MissingPartError
from edgemill_runtimes.nvidia.driver import Driver, DriverError, gpus
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.memory import Context, DeviceBuffer, HostBuffer, Stream


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(build_stand_in(tmp_path_factory.mktemp("cuda")))


@pytest.fixture
def driver(stand_in: StandIn) -> Driver:
    return Driver(str(stand_in.path))


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
        assert driver.gpus() == (Gpu("Stand-in", "8.7", 1073, True, "12.6"),)
        monkeypatch.setenv("STAND_IN_DEVICES", "2")
        monkeypatch.setenv("STAND_IN_CAPABILITY", "120")
        assert [(gpu.name, gpu.compute_capability) for gpu in driver.gpus()] == [
            ("Stand-in", "12.0"),
            ("Stand-in 2", "12.0"),
        ]

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
        self, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, told: dict[str, str], parts: list[str]
    ) -> None:
        copy = tmp_path / "libcuda.so.1"  # of its own: what this process has opened once stays open
        copy.write_bytes(stand_in.path.read_bytes())
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        said = str(refused(str(copy)))
        assert all(part in said for part in parts), said

    def test_this_machine_answers_at_once(self) -> None:
        code = (
            "from edgemill_core.errors import MissingPartError\n"
            "from edgemill_runtimes.nvidia.driver import gpus\n"
            "try: print(gpus())\n"
            "except MissingPartError as error: print('refused:', error)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        assert done.stdout.startswith(("(Gpu(", "refused: ")), done.stderr


class TestMemory:
    @pytest.fixture(autouse=True)
    def everything_is_freed(self, stand_in: StandIn, driver: Driver) -> None:
        with Context(driver, 0) as context:
            context.use()
            yield
            stand_in.fail("", 0)
            stand_in.break_down(0)
            assert stand_in.open() == {"context": 1}
        assert stand_in.open() == {}

    def test_what_goes_to_the_gpu_comes_back_once_the_stream_is_done(self, stand_in: StandIn, driver: Driver) -> None:
        told = np.arange(12, dtype=np.float32).reshape(3, 4)
        with Stream(driver) as stream, DeviceBuffer(driver, 48) as far, HostBuffer(driver, 64) as one:
            with HostBuffer(driver, 48) as two:
                np.copyto(one.view(told.dtype, told.shape), told)
                stream.to_device(far, one, told.nbytes)
                stream.to_host(two, far, told.nbytes)
                assert not np.array_equal(two.view(told.dtype, told.shape), told)
                stream.synchronize()
                np.testing.assert_array_equal(two.view(told.dtype, told.shape), told)
                assert stand_in.open() == {"context": 1, "stream": 1, "device": 1, "pinned": 2}

    def test_closing_twice_frees_once(self, stand_in: StandIn, driver: Driver) -> None:
        one, two = DeviceBuffer(driver, 8), DeviceBuffer(driver, 8)
        one.close()
        one.close()
        assert stand_in.open() == {"context": 1, "device": 1}
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
        self, stand_in: StandIn, driver: Driver
    ) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8):
            stand_in.break_down(700)
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
    def test_recording_that_fails_leaves_nothing_behind(self, stand_in: StandIn, driver: Driver, call: str) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8) as far, HostBuffer(driver, 8) as near:
            stand_in.fail(call, 900)

            def work() -> None:
                stream.to_device(far, near, 4)
                stream.to_device(far, near, 8)

            with pytest.raises(DriverError, match=call):
                stream.capture(work)
            stream.synchronize()


@pytest.mark.parametrize("call", ["cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate"])
def test_a_context_or_stream_that_cannot_be_had_is_an_error(stand_in: StandIn, driver: Driver, call: str) -> None:
    stand_in.fail(call, 2)
    with pytest.raises(EngineError, match="no memory left for a context|failed in"):
        with Context(driver, 0) as context:
            context.use()
            Stream(driver)
    assert stand_in.open() == {}
