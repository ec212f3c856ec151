"""The example with printed circuit boards, small, on generated pictures in the layout of the real ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_boards import CELL, SIDE, detector, write_pairs

from edgemill_runtimes.engines import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "pcb"
KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")


@pytest.mark.slow
def test_a_line_of_boards_that_the_detector_never_saw(tmp_path: Path) -> None:
    write_pairs(tmp_path / "boards", ["11111", "22222", "33333"], 28, KINDS, 3)
    onnx.save(detector("yolov8", KINDS), tmp_path / "m.onnx")
    told = [tmp_path / "m.onnx", tmp_path / "boards", tmp_path / "out", "--held-out", "22222", "33333"]
    done = subprocess.run([sys.executable, EXAMPLE / "line.py", *told], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for runtime in ("onnxruntime", "openvino"):
        assert f"{runtime}: 168 of 168 defects found, of their kind; 0 boxes" in done.stdout
    assert "0 on the same places without defects" in done.stdout
    assert done.stdout.count(" pass\n") == 4
    assert len(list((tmp_path / "out" / "drawn").iterdir())) == 12
    assert "11111" not in (tmp_path / "out" / "judge.csv").read_text()


@pytest.mark.slow
def test_what_is_trained_has_the_head_that_it_says(tmp_path: Path) -> None:
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package, reason=f"SKIPPED: {package} is not installed, so nothing was trained (CI does)")
    write_pairs(tmp_path / "boards", ["11111"], 4, KINDS, 3)
    told = [tmp_path / "boards", tmp_path / "m.onnx", "--minutes", "0.1", "--crop", str(SIDE)]
    done = subprocess.run([sys.executable, EXAMPLE / "train.py", *told], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with load("onnxruntime", tmp_path / "m.onnx") as engine:
        (found,) = engine.run({"picture": np.zeros((1, 3, SIDE, SIDE), np.float32)}).values()
    assert found.shape == (1, 4 + len(KINDS), (SIDE // CELL) ** 2)
    assert found[0, 4:].min() >= 0
    assert found[0, 4:].max() <= 1
