"""The example with printed circuit boards, small, on generated pictures in the layout of the real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_pairs import CELL, KINDS, PATCH, SIDE, write_models, write_pairs

from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import read_picture

EXAMPLE = Path(__file__).parents[2] / "examples" / "pcb"


def told(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pcb") / "boards"
    write_pairs(folder, ["11111"], 4, 3)
    write_pairs(folder, ["22222", "33333"], 76, 4)  # 150 that show each of two kinds can show one point
    write_pairs(folder, ["44444"], 2, 5)
    return folder


@pytest.mark.slow
def test_from_a_folder_to_reports_and_a_line(boards: Path, tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    apart = ["--held-out", "22222", "33333", "--search", "44444"]
    done = told("run.py", boards, tmp_path / "out", *apart, "--models", tmp_path / "models")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["held_out"] == {"22222": 76, "33333": 76}
    assert len(found["average_precision"]) == 4
    assert all(row == {"open": 1.0, "short": 1.0, "map": 1.0} for row in found["average_precision"].values())
    for built in found["built"].values():
        assert built["verdict"] == "pass"
        assert Path(built["report"]).is_file()
    assert found["stations"]["detector"]["verdicts"] == {"pass": 152, "reject": 152}
    assert set(found["stations"]["classifier"]["verdicts"]) == {"pass", "reject"}
    assert "22222000-test.png" in {path.name for path in (tmp_path / "out" / "drawn").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape"), [("detector", (1, 4 + len(KINDS), (SIDE // CELL) ** 2)), ("classifier", (1, len(KINDS) + 1))]
)
def test_what_is_trained_has_the_head_that_it_says(boards: Path, tmp_path: Path, model: str, shape: tuple[int]) -> None:
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package, reason=f"SKIPPED: {package} is not installed, so nothing was trained (CI does)")
    file = tmp_path / f"{model}.onnx"
    words = [model, boards, file, "--held-out", "22222", "33333", "--search", "44444", "--steps", 3, "--side", 64]
    done = told("train.py", *words, "--batch", 2, "--threads", 1, "--from-scratch")
    assert done.returncode == 0, done.stderr
    assert "learns from 4 pairs of boards 11111" in done.stdout
    side = PATCH if model == "classifier" else SIDE
    with load("onnxruntime", file) as engine:
        (out,) = engine.run({"picture": np.zeros((1, 3, side, side), np.float32)}).values()
    assert out.shape == shape
    if model == "detector":
        assert 0 <= out[0, 4:].min() <= out[0, 4:].max() <= 1
    again = told("train.py", *words, "--batch", 2, "--threads", 1, "--from-scratch")
    assert "is there already" in again.stdout
    assert json.loads(file.with_suffix(".json").read_text())["spent"]["steps"] == 3


def test_the_picture_that_models_see_is_the_part_its_template_and_their_difference(
    boards: Path, tmp_path: Path
) -> None:
    assert told("pair.py", boards, tmp_path / "pairs", "44444").returncode == 0
    names = sorted(path.name for path in (tmp_path / "pairs").iterdir())
    assert names == ["44444000.png", "44444001.png"]
    blue, green, red = np.moveaxis(read_picture(tmp_path / "pairs" / names[0]).astype(int), 2, 0)
    assert (red == read_picture(boards / "44444000_test.jpg")[:, :, 0]).all()
    assert (green == read_picture(boards / "44444000_temp.jpg")[:, :, 0]).all()
    assert (blue == abs(red - green)).all()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--held-out", "99999", "--search", "44444"], "no such board, or named twice: 99999"),
        (["--held-out", "22222", "--search", "22222"], "named twice: 22222"),
        (["--held-out", "11111", "22222", "33333", "--search", "44444"], "no board is left to learn from"),
    ],
)
def test_boards_are_kept_apart(boards: Path, tmp_path: Path, words: list[str], complaint: str) -> None:
    done = told("run.py", boards, tmp_path / "out", *words)
    assert done.returncode == 1
    assert complaint in done.stderr
