"""Whatever becomes of the compiler's process, its caller lives, and a plan that was there stays."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_layers import Net, residual

from edgemill_core.durable import sha256_file
from edgemill_core.errors import EngineCrashed, EngineError, EngineTimeout, MissingPartError
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.nvidia.compile_process import show_only
from edgemill_runtimes.nvidia.compiling import Asked, CompileLimits, Progress, compile_plan
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside, read_facts
from edgemill_runtimes.nvidia.plans import graph_digest

ASKED = Asked("tensorrt_rtx", ("8.6", "8.9"))
STAND_IN = Path(__file__).parents[1] / "parts" / "stand_in_bindings"


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph, and bindings that do what ``STAND_IN`` says."""
    monkeypatch.syspath_prepend(STAND_IN)
    (tmp_path / "graph.onnx").write_bytes(b"\x08\x08")
    return tmp_path / "graph.onnx"


def told(plan: Path) -> tuple[bytes, bytes]:
    return plan.read_bytes(), facts_beside(plan).read_bytes()


def test_a_plan_is_written_with_its_facts_while_somebody_is_told(graph: Path, tmp_path: Path) -> None:
    said: list[Progress] = []
    facts = compile_plan(graph, tmp_path / "sub" / "a.plan", ASKED, CompileLimits(cores=1), said.append)
    plan = tmp_path / "sub" / "a.plan"
    assert facts == read_facts(plan)
    assert facts == PlanFacts(
        runtime="tensorrt_rtx",
        version="1.7.1.116",
        compute_capabilities=("8.6", "8.9"),
        graph=graph_digest(graph),
        plan=sha256_file(plan),
        bytes=plan.stat().st_size,
    )
    assert plan.read_bytes() == b"vtrt\1".ljust(64, b"\0") + graph.read_bytes()
    assert {one.share for one in said if one.share} == {0.25}
    assert said[-1].step == "Timing tactics"
    assert sorted(os.listdir(plan.parent)) == ["a.plan", "a.plan.json"]


@pytest.mark.parametrize(
    ("does", "limits", "kind", "says"),
    [
        ("killed", CompileLimits(), EngineCrashed, r"SIGKILL[\s\S]*want of memory"),
        ("hang", CompileLimits(seconds=0.7), EngineTimeout, r"within 0\.7 s"),
        ("eat", CompileLimits(memory_mb=800), EngineError, "ran out of memory over graph.onnx"),
        ("raise", CompileLimits(), EngineCrashed, "incompatible function arguments"),
    ],
)
def test_a_compiler_that_dies_leaves_what_was_there(
    graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    does: str,
    limits: CompileLimits,
    kind: type[EngineError],
    says: str,
) -> None:
    monkeypatch.setenv("STAND_IN", does)
    plan = graph.with_name("old.plan")
    plan.write_bytes(b"old")
    facts_beside(plan).write_bytes(b"facts")
    before, open_files = sorted(os.listdir(graph.parent)), len(os.listdir("/proc/self/fd"))
    with pytest.raises(kind, match=says) as caught:
        compile_plan(graph, plan, ASKED, limits)
    assert type(caught.value) is kind
    assert told(plan) == (b"old", b"facts")
    assert sorted(os.listdir(graph.parent)) == before
    assert len(os.listdir("/proc/self/fd")) <= open_files + 1  # the spawner's thread may have made a pipe


def test_a_full_disk_is_said_and_leaves_nothing(graph: Path) -> None:
    folder = graph.parent / "plans"
    folder.mkdir()
    plan = folder / "a.plan"
    held = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a full disk does to a write, a limit on the size of files does too, for this process and its children.
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, held[1]))
    try:
        with pytest.raises(MissingPartError, match="cannot be written"):
            compile_plan(graph, plan, ASKED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, held)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("full", ["before", "after"])
def test_a_disk_that_is_full_before_or_after_compiling_is_said(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        {"before": "tempfile.TemporaryDirectory", "after": "edgemill_runtimes.nvidia.compiling.sync_tree"}[full], refuse
    )
    with pytest.raises(MissingPartError, match=r"the plan a\.plan cannot be written"):
        compile_plan(graph, tmp_path / "a.plan", ASKED)
    assert sorted(os.listdir(tmp_path)) == ["graph.onnx"]


def test_a_terminal_that_is_closed_is_no_full_disk(graph: Path, tmp_path: Path) -> None:
    def tell(_: Progress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        compile_plan(graph, tmp_path / "plans" / "a.plan", ASKED, tell=tell)
    assert not list((tmp_path / "plans").iterdir())


def test_a_machine_without_room_for_a_process_is_no_full_disk(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("edgemill_runtimes.nvidia.compiling.spawn", no_room)
    with pytest.raises(MissingPartError, match="cannot be started"):
        compile_plan(graph, tmp_path / "a.plan", ASKED)


def test_an_engine_keeps_answering_while_a_compiler_is_killed(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills the compiler in the middle of its work, for want of memory; the engine beside it never stops."""
    monkeypatch.setenv("STAND_IN", "killed")
    (tmp_path / "engine").mkdir()
    small, net = tmp_path / "engine" / "graph.onnx", Net()
    onnx.save(net.model(residual(net)), small)
    answers: list[bytes] = []
    over = threading.Event()
    with load("onnxruntime", small, EngineSettings(threads=1), isolated=True) as engine:
        feeds = {spec.name: np.ones(spec.example().shape, np.float32) for spec in engine.inputs}

        def ask() -> None:
            while not over.is_set():
                answers.append(engine.run(feeds)["y"].tobytes())

        asking = threading.Thread(target=ask)
        asking.start()
        with pytest.raises(EngineCrashed):
            compile_plan(graph, tmp_path / "a.plan", ASKED)
        then = len(answers)
        while len(answers) < then + 20:
            time.sleep(0.001)
        over.set()
        asking.join()
    assert then > 20
    assert set(answers) == {answers[0]}


@pytest.mark.parametrize(
    ("gpu", "seen", "then"), [(0, None, None), (1, None, "1"), (1, "3,5", "5"), (2, "3,5", "2"), (0, "3,5", "3,5")]
)
def test_it_compiles_on_the_gpu_that_is_named(gpu: int, seen: str | None, then: str | None) -> None:
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    show_only(gpu, environment)
    assert environment.get("CUDA_VISIBLE_DEVICES") == then
