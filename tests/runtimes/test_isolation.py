"""A runtime that dies, hangs or eats memory is an error within its deadline, and the caller goes on."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from toy_runtime import distribution

from edgemill_core.errors import EngineCrashed, EngineError, EngineTimeout, InputError, ModelError
from edgemill_runtimes.engines import load
from edgemill_runtimes.isolation import IsolatedEngine, Isolation
from edgemill_runtimes.isolation.process import EngineProcess

FEEDS = {"x": np.array([[1, 2, 3]], np.uint8)}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    distribution(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "graph").write_text("")
    return tmp_path / "graph"


def isolated(graph: Path, order: str, limits: Isolation = Isolation()) -> IsolatedEngine:  # noqa: B008
    graph.write_text(order)
    engine = load("toy", graph, isolated=limits)
    assert isinstance(engine, IsolatedEngine)
    return engine


def works_after_restart(engine: IsolatedEngine, graph: Path) -> None:
    with pytest.raises(EngineCrashed, match="down"):
        engine.run(FEEDS)
    graph.write_text("")
    engine.restart()
    np.testing.assert_array_equal(engine.run(FEEDS)["y"], FEEDS["x"])


@pytest.mark.parametrize(("order", "sign"), [("kill", "SIGKILL"), ("segfault", "SIGSEGV")])
def test_a_runtime_that_dies_is_an_error_here(graph: Path, order: str, sign: str) -> None:
    with isolated(graph, order) as engine:
        with pytest.raises(EngineCrashed) as caught:
            engine.run(FEEDS)
        assert sign in str(caught.value.got)
        works_after_restart(engine, graph)


def test_a_runtime_that_hangs_is_ended_within_its_deadline(graph: Path) -> None:
    with isolated(graph, "hang", Isolation(run_s=0.5)) as engine:
        pid, start = engine.pid, time.monotonic()
        with pytest.raises(EngineTimeout, match="hung"):
            engine.run(FEEDS)
        assert 0.4 < time.monotonic() - start < 5
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        works_after_restart(engine, graph)


class Stuck:
    """Stands for a process in the kernel's uninterruptible sleep, as a driver in a bad way leaves one."""

    def __init__(self, real: subprocess.Popen[bytes]) -> None:
        self.real, self.killed = real, 0

    def kill(self) -> None:
        self.killed += 1

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "it would hang its caller"
        raise subprocess.TimeoutExpired("stuck", timeout)


def test_a_process_that_nothing_ends_holds_nobody(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemill_core.processes.spawning._ENDS_WITHIN_S", 0.1)
    graph.write_text("hang")
    process = EngineProcess("toy", graph)
    real, stuck = process._process, Stuck(process._process)
    process._process = stuck  # type: ignore[assignment]
    with pytest.raises(EngineTimeout, match="stuck in the kernel"):
        process.receive(0.05)
    process.hang_up()
    with pytest.raises(EngineCrashed, match="stuck in the kernel"):
        process.receive(1.0)
    process.close()
    assert stuck.killed == 3
    real.kill()
    real.wait(10)


def test_a_runtime_that_eats_memory_is_held_to_its_limit(graph: Path) -> None:
    with isolated(graph, "eat", Isolation(memory_mb=2000)) as engine:
        for _ in range(2):  # it says so by itself, and its process lives
            with pytest.raises(EngineError, match="Unable to allocate"):
                engine.run(FEEDS)


def test_it_may_be_loaded_in_a_thread_that_ends(graph: Path) -> None:
    made: list[IsolatedEngine] = []
    thread = threading.Thread(target=lambda: made.append(isolated(graph, "")))
    thread.start()
    thread.join()
    time.sleep(0.2)
    with made[0] as engine:
        assert engine.run(FEEDS)["y"].tolist() == [[1, 2, 3]]


def test_it_ends_with_its_caller(graph: Path) -> None:
    with isolated(graph, "") as engine:
        pid = engine.pid
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_all_who_wait_for_a_dead_engine_are_told(graph: Path) -> None:
    with isolated(graph, "hang") as engine:
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(engine.run, FEEDS) for _ in range(4)]
            time.sleep(0.3)
            os.kill(engine.pid, 9)
            for one in waiting:
                assert isinstance(one.exception(10), EngineCrashed)


def test_closing_wakes_who_waits(graph: Path) -> None:
    engine = isolated(graph, "hang")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.run, FEEDS)
        time.sleep(0.3)
        os.kill(engine.pid, 9)
        engine.close()
        assert isinstance(waiting.exception(10), EngineCrashed)


def test_more_runs_at_once_than_there_is_room_for_are_refused(graph: Path) -> None:
    with isolated(graph, "") as engine:
        with pytest.raises(InputError, match="too many runs at once"):
            list(engine.stream([FEEDS] * 40, depth=30))


def test_feeds_too_large_to_share_are_refused(graph: Path) -> None:
    with isolated(graph, "") as engine:
        with pytest.raises(InputError, match="256 MiB"):
            engine.run({"x": np.broadcast_to(np.uint8(0), (1, 300 << 20))})
        assert engine.run(FEEDS)["y"].tolist() == [[1, 2, 3]]


def test_the_log_of_a_talkative_runtime_is_trimmed(graph: Path) -> None:
    with EngineProcess("toy", graph) as process:
        os.write(process._log.fileno(), b"x" * (2 << 20))
        process.trim_log()
        assert os.fstat(process._log.fileno()).st_size == 0


def test_an_engine_that_cannot_be_loaded_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ModelError, match=r"cannot load bad\.onnx"):
            load("onnxruntime", tmp_path / "bad.onnx", isolated=True)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
