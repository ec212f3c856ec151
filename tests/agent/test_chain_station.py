"""A station whose bundle is a chain, by the real processes: killed, tuned, and judged again."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_box import PATIENCE_S, Box, wait_until
from tiny_labels import write_parts

from edgemill_agent.ledger import LedgerView
from edgemill_converters.chaining import ChainResult
from edgemill_core.bundle import Manifest, open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_runtimes.frames import read_picture

LENIENT = {"find": {"rules": [{"at_most": 9}]}, "read": {"min_confidence": 0.25}}


@pytest.fixture
def labels(box: Box, chained: ChainResult) -> Box:
    """The box with a station that finds labels and reads them."""
    assert chained.bundle is not None
    shutil.rmtree(box.folder / "pictures")
    write_parts(box.folder / "pictures", 40, 9)
    box.settings["stations"][0]["bundle"] = str(chained.bundle.folder)
    box.settings["stations"][0]["source"]["max_frame_bytes"] = 1 << 20
    return box


def truth(box: Box) -> dict[str, str]:
    with (box.folder / "pictures" / "labels.csv").open() as file:
        return {row["file"]: "pass" if row["good"] == "1" else "reject" for row in csv.DictReader(file)}


def decisions(box: Box) -> dict[str, str]:
    return {r.payload.content()["item"]: r.header.decision for r in box.verdicts() if r.payload}


def started(box: Box) -> dict[str, Any]:
    records = [r for r in LedgerView.open(box.state).records() if r.header.kind is Kind.START and r.header.station]
    assert records[-1].payload is not None
    content: dict[str, Any] = records[-1].payload.content()
    return content


def test_a_chain_judges_every_part_and_names_each_engine_by_its_digest(labels: Box, chained: ChainResult) -> None:
    labels.run()
    assert decisions(labels) == truth(labels)
    assert chained.bundle is not None
    told, files = started(labels), open_bundle(chained.bundle.folder).manifest.files
    assert told["digest"] == chained.bundle.manifest.content_digest
    variants = next(one.variants for one in chained.runtimes if one.runtime == told["runtime"])
    for stage, variant in zip(("find", "read"), variants, strict=True):
        engine = told["stages"][stage]
        assert engine["variant"] == variant
        assert engine["graph"] == files[f"stages/{stage}/models/{variant}/graph.onnx"].sha256
        assert engine["weights"] == files[f"stages/{stage}/models/{variant}/graph.weights"].sha256
    assert told["stages"]["find"]["bundle"] == "find"
    read = next(r.payload.content() for r in labels.verdicts() if r.payload and r.header.decision == "pass")
    assert read["verdict"]["reading"]["stages"]["read"]["seen"][0]["reading"]["text"] == read["context"]["expected"]


def test_a_killed_engine_loses_no_part_of_a_chain_and_doubles_none(labels: Box) -> None:
    labels.add_pictures()
    agent = labels.start()
    for _ in range(2):
        before = labels.recorded()
        wait_until(lambda before=before: labels.recorded() > before + 20, "verdicts")
        dead = labels.kill("cell/engine")
        wait_until(lambda dead=dead: labels.processes().get("cell/engine", dead) != dead, "another one to be started")
    account = labels.end(agent)
    assert labels.items() == sorted(truth(labels))
    assert decisions(labels) == truth(labels)
    assert account["stations"]["cell"]["engine_restarts"] == 2


def test_thresholds_of_a_box_are_proved_stage_by_stage_and_from_end_to_end(labels: Box) -> None:
    labels.settings["stations"][0]["tune"] = LENIENT
    labels.run()
    scratched = [
        row for row in (labels.folder / "pictures" / "labels.csv").read_text().splitlines() if "scratch" in row
    ]
    assert scratched
    assert all(decisions(labels)[row.split(",")[0]] == "pass" for row in scratched)
    told = started(labels)
    assert told["tune"] == LENIENT
    assert told["proof"]["variant"] == "chain/onnxruntime"
    assert told["proof"]["holds"]
    assert told["proof"]["moved"] > 0
    assert [proof["variant"].split("-")[0] for proof in told["stage_proofs"]] == [
        "find/onnxruntime",
        "read/onnxruntime",
    ]


def altered(folder: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """The same chain with other words in its manifest, sealed again."""
    raw = json.loads((folder / "manifest.json").read_text())
    change(raw)
    shutil.copytree(folder, to.with_name(f"{to.name}-copy"))
    return str(write_bundle(to.with_name(f"{to.name}-copy"), Manifest.model_validate(raw), to).folder)


def said_otherwise(raw: dict[str, Any]) -> None:
    """Every engine answers as it did; only the whole is said to have decided otherwise."""
    raw["chain"]["golden"]["decisions"]["onnxruntime"][0] = "uncertain"


def test_a_chain_that_is_not_proved_as_a_whole_judges_nothing(labels: Box, chained: ChainResult) -> None:
    assert chained.bundle is not None
    bundle = altered(chained.bundle.folder, labels.folder / "altered", said_otherwise)
    labels.settings["stations"][0] |= {"bundle": bundle, "tune": LENIENT}
    agent = labels.start()
    _, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode not in (0, None)
    assert "not proved with the station's own settings: labels (chain/onnxruntime)" in err
    assert not labels.verdicts()


def test_a_chain_takes_over_while_the_line_runs_if_it_is_proved_as_a_whole(
    labels: Box, chained: ChainResult, edgemill_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert chained.bundle is not None
    station = labels.settings["stations"][0]
    station["source"] |= {"once": False, "loop": True}
    agent = labels.start()
    wait_until(lambda: labels.recorded() > 20, "verdicts")
    station["bundle"] = altered(chained.bundle.folder, labels.folder / "altered", said_otherwise)
    done = edgemill_command("agent", "reload", labels.write())
    assert done.returncode == 1
    assert "the engine is not proved: labels (chain/onnxruntime)" in done.stdout + done.stderr
    newer = altered(chained.bundle.folder, labels.folder / "newer", lambda raw: raw.update(version="2.0.0"))
    station["bundle"] = newer
    done = edgemill_command("agent", "reload", labels.write())
    assert done.returncode == 0, done.stderr
    before = labels.recorded()
    wait_until(lambda: labels.recorded() > before + 20, "verdicts of the new one")
    agent.send_signal(signal.SIGTERM)
    account = labels.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
    told = started(labels)
    assert told["version"] == "2.0.0"
    assert told["proof"]["holds"]
    assert len(told["stage_proofs"]) == 2


@pytest.mark.parametrize("own", [{"min_confidence": 0.4}, {"write": {"min_confidence": 0.4}}])
def test_settings_of_no_stage_are_refused(labels: Box, own: dict[str, Any]) -> None:
    labels.settings["stations"][0]["tune"] = own
    agent = labels.start()
    _, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode not in (0, None)
    assert "a chain is tuned stage by stage" in err


def test_a_part_is_judged_again_by_the_chain_with_its_settings(labels: Box, tmp_path: Path) -> None:
    labels.settings["stations"][0] |= {"evidence": {"keep": ["reject"]}, "tune": LENIENT}
    labels.run()
    number = next(r.header.number for r in labels.verdicts() if r.header.decision == "reject")
    bundle = labels.settings["stations"][0]["bundle"]
    command = [sys.executable, "-m", "edgemill", "run", bundle, str(labels.state), "--evidence", str(number), "--json"]
    done = subprocess.run([*command, "--save", str(tmp_path / "drawn")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same"]
    assert told["engine"]["tune"] == LENIENT
    assert set(told["now"]["reading"]["stages"]) == {"find", "read"}
    assert read_picture(tmp_path / "drawn" / f"{number:012d}.png").shape == (128, 128, 3)
