"""A box's own settings of its task: proved at the start, written down, and refused where they are not for a box."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_box import PATIENCE_S, Box
from tiny_boards import detector, write_board_recipe, write_boards

from edgemill_agent.ledger import LedgerView
from edgemill_converters.build import build
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Manifest, describe_files, open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_runtimes.pipeline import open_pipeline, variant_for
from edgemill_runtimes.proof import prove_open

LENIENT = {"rules": [{"at_most": 9}]}


@pytest.fixture(scope="module")
def board_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board-bundle")
    task = {"name": "object-detection", "classes": ["short", "open"], "head": "yolov8"}
    bundle = build(write_board_recipe(folder, detector("yolov8"), task), folder / "out").bundle
    assert bundle is not None
    return bundle.folder


@pytest.fixture
def boards(box: Box, board_bundle: Path) -> Box:
    """The box with a station that looks for defects on boards, every second one of which has some."""
    write_boards(box.folder / "boards", 20, 7)
    station = box.settings["stations"][0]
    station |= {"bundle": str(board_bundle), "source": {"folder": "boards", "once": True, "max_frame_bytes": 65536}}
    return box


def tune(box: Box, own: dict[str, Any]) -> None:
    box.settings["stations"][0]["tune"] = own


def started(box: Box) -> dict[str, Any]:
    records = [r for r in LedgerView.open(box.state).records() if r.header.kind is Kind.START and r.header.station]
    assert records[-1].payload is not None
    content: dict[str, Any] = records[-1].payload.content()
    return content


def refusal(box: Box) -> str:
    agent = box.start()
    out, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode not in (0, None), out
    return str(err)


def test_own_settings_decide_and_stand_in_the_ledger_with_their_proof(boards: Box) -> None:
    box = boards
    plain = box.run()["stations"]["cell"]["decisions"]
    assert plain == {"pass": 10, "reject": 10}
    assert "tune" not in started(box)
    shutil.rmtree(box.state)
    tune(box, LENIENT)
    assert box.run()["stations"]["cell"]["decisions"] == {"pass": 20}
    told = started(box)
    assert told["tune"] == LENIENT
    assert told["proof"]["holds"]
    assert told["proof"]["changed"] == 0
    assert told["proof"]["moved"] == 16


def test_what_is_not_for_a_box_to_set_is_refused(boards: Box) -> None:
    tune(boards, {"classes": ["short"]})
    said = refusal(boards)
    assert "cannot be tuned so on a box" in said
    assert "band | rules" in said


def test_an_engine_that_is_not_proved_with_them_judges_nothing(boards: Box, board_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(board_bundle, copy)
    raw = json.loads((copy / "manifest.json").read_text())
    outputs = next(v["golden"]["outputs"] for v in raw["models"][0]["variants"] if v["runtime"] == "onnxruntime")
    np.save(copy / outputs, 1 - np.load(copy / outputs))
    raw["files"] |= {n: e.model_dump(mode="json") for n, e in describe_files(copy, [outputs]).items()}
    write_bundle(copy, Manifest.model_validate(raw), tmp_path / "altered")
    boards.settings["stations"][0]["bundle"] = "altered"
    tune(boards, LENIENT)
    assert "not proved with the station's own settings" in refusal(boards)
    assert not boards.verdicts()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_proof_without_own_settings_moves_nothing(built: BuildResult, runtime: str) -> None:
    assert built.bundle is not None
    bundle = open_bundle(built.bundle.folder)
    with open_pipeline(bundle, runtime) as pipeline:
        proof = prove_open(pipeline, bundle, variant_for(bundle, runtime))
    assert proof.holds
    assert proof.moved == 0
