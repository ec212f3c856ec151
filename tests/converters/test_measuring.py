"""Measuring children: killed, crashed or hung, each is an error and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_text import tiny_model
from toy_runtime import distribution

from edgemill_converters.measuring import Subject, measure
from edgemill_core.errors import EngineCrashed, EngineTimeout, MissingPartError, ModelError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess, Isolation


def toy(folder: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    distribution(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / "graph").write_text(order)
    np.save(folder / "inputs.npy", np.zeros((2, 3), np.uint8))
    return folder / "graph"


def request(folder: Path) -> dict[str, object]:
    return {"command": "outputs", "inputs": str(folder / "inputs.npy"), "output": "y", "into": str(folder / "out.npy")}


@pytest.mark.parametrize(("order", "part"), [("kill", "SIGKILL"), ("segfault", "SIGSEGV")])
def test_a_child_that_dies_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, part: str) -> None:
    with EngineProcess("toy", toy(tmp_path, order, monkeypatch)) as child:
        with pytest.raises(EngineCrashed) as caught:
            child.ask(request(tmp_path))
        assert part in str(caught.value)
        with pytest.raises(EngineCrashed, match="died"):
            child.ask(request(tmp_path))


def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EngineProcess("toy", toy(tmp_path, "hang", monkeypatch), limits=Isolation(load_s=3)) as child:
        with pytest.raises(EngineTimeout, match="hung"):
            child.ask(request(tmp_path))
        process = child._process
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_child_that_works_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EngineProcess("toy", toy(tmp_path, "", monkeypatch)) as child:
        for _ in range(2):
            assert child.ask(request(tmp_path))["rows"] == 2


def test_an_engine_that_refuses_is_heard(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"cannot load bad\.onnx"):
        EngineProcess("onnxruntime", tmp_path / "bad.onnx")
    with pytest.raises(MissingPartError, match="no device 'CUDA'"):
        EngineProcess("onnxruntime", tmp_path / "bad.onnx", EngineSettings("CUDA"))


def test_measuring_takes_turns_and_says_what_it_found(tmp_path: Path) -> None:
    onnx.save(tiny_model(), tmp_path / "g.onnx")
    np.save(tmp_path / "in.npy", np.zeros((3, 3, 8, 32), np.float32))
    said: list[str] = []
    subjects = {r: Subject(r, "CPU", tmp_path / "g.onnx", 123) for r in ("onnxruntime", "openvino")}
    found = measure(subjects, tmp_path / "in.npy", rounds=2, runs=4, progress=said.append)
    assert said == ["measuring, turn 1 of 2", "measuring, turn 2 of 2"]
    for runtime in subjects:
        one = found[runtime]
        assert len(one.latencies_ms) == 8
        assert min(one.latencies_ms) <= one.p50_ms <= one.p99_ms <= max(one.latencies_ms)
        assert one.as_dict()["size_bytes"] == 123
        assert sum(one.layers.values()) == 1
        assert [(layer.precision, layer.unfused) for layer in one.by_layer] == [("fp32", False)]
        assert one.turns == 2
