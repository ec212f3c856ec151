"""Frames that are kept, by the real processes."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from agent_box import Box, wait_until

from edgemill_agent.evidence import find_evidence
from edgemill_agent.ledger import LedgerView
from edgemill_core.bundle import open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_runtimes.frames import read_picture


def evidence(box: Box) -> list[dict[str, Any]]:
    view = LedgerView.open(box.state)
    assert view.verify() is None
    return [r.payload.content() for r in view.records() if r.header.kind is Kind.EVIDENCE and r.payload]


def test_rejects_are_kept_pixel_by_pixel_and_recorded(box: Box) -> None:
    box.settings["stations"][0]["evidence"] = {"keep": ["reject"]}
    box.run()
    rejected = {record.header.number for record in box.verdicts() if record.header.decision == "reject"}
    found = evidence(box)
    assert rejected
    assert {told["number"] for told in found} == rejected
    for told in found:
        kept = read_picture(box.state / told["file"])
        assert np.array_equal(kept, read_picture(box.folder / "pictures" / told["item"]))


def test_a_picture_that_cannot_be_read_is_rejected_without_a_frame(box: Box) -> None:
    (box.folder / "pictures" / "0000.png").write_bytes(b"no picture")
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"]}
    box.run()
    assert len(evidence(box)) == 59


def test_every_frame_is_kept_although_the_source_is_killed(box: Box) -> None:
    box.add_pictures()
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"]}
    agent = box.start()
    for _ in range(3):
        before = box.recorded()
        wait_until(lambda before=before: box.recorded() > before + 30, "verdicts")
        box.kill("cell/source")
    box.end(agent)
    found = evidence(box)
    assert sorted(told["number"] for told in found) == sorted(r.header.number for r in box.verdicts())
    assert all((box.state / told["file"]).is_file() for told in found)


def test_a_stop_in_order_keeps_the_frames_that_are_here(box: Box) -> None:
    box.add_pictures()
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"]}
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    found = evidence(box)
    assert len(found) == len(box.verdicts())
    assert all("file" in told for told in found)


def test_a_folder_that_cannot_be_written_costs_no_verdict(box: Box) -> None:
    box.state.mkdir()
    (box.state / "evidence").write_text("in the way")
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"]}
    assert box.run()["stations"]["cell"]["verdicts"] == 60
    assert len(evidence(box)) == 60
    assert all("not_kept" in told for told in evidence(box))


def test_metrics_are_recorded(box: Box) -> None:
    box.settings["metrics_s"] = 1
    box.settings["stations"][0]["source"] |= {"once": False}
    agent = box.start()
    wait_until(lambda: box.recorded() == 60, "verdicts")
    time.sleep(1.5)
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    view = LedgerView.open(box.state)
    found = [r.payload.content() for r in view.records() if r.header.kind is Kind.METRICS and r.payload]
    assert found
    assert found[-1]["stations"]["cell"]["verdicts"] > 0
    assert 10 < found[-1]["line_mb"] < 100


def again(box: Box, *told: object) -> subprocess.CompletedProcess[str]:
    bundle = box.settings["stations"][0]["bundle"]
    command = [sys.executable, "-m", "edgemill", "run", str(bundle), str(box.state), *map(str, told)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_part_is_judged_again_as_it_was(box: Box, tmp_path: Path) -> None:
    box.settings["stations"][0] |= {"evidence": {"keep": ["reject"]}, "tune": {"min_confidence": 0.25}}
    box.run()
    rejected = [record.header.number for record in box.verdicts() if record.header.decision == "reject"]
    passed = next(record.header.number for record in box.verdicts() if record.header.decision == "pass")
    done = again(box, "--evidence", rejected[0], "--json", "--save", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same"]
    assert told["now"]["decision"] == "reject"
    assert told["engine"]["tune"] == {"min_confidence": 0.25}
    assert read_picture(tmp_path / "drawn" / f"{rejected[0]:012d}.png").shape == (8, 32, 3)
    for wrong, why in ((passed, "no frame of it is there"), (999, "none of that number")):
        done = again(box, "--evidence", wrong)
        assert done.returncode == 2
        assert why in done.stderr
    kept = box.state / f"evidence/cell/{rejected[1]:012d}.png"
    kept.write_bytes(kept.read_bytes() + b"x")
    done = again(box, "--evidence", rejected[1])
    assert done.returncode == 2
    assert "not the one that was recorded" in done.stderr


def test_another_bundle_does_not_answer_for_it_and_another_verdict_is_said(box: Box, tmp_path: Path) -> None:
    box.settings["stations"][0]["evidence"] = {"keep": ["reject"]}
    box.run()
    number = next(record.header.number for record in box.verdicts() if record.header.decision == "reject")
    view = LedgerView.open(box.state)
    found = find_evidence(view, number)
    bundle = Path(box.settings["stations"][0]["bundle"])
    manifest = open_bundle(bundle).manifest
    shutil.copytree(bundle, tmp_path / "copy")
    write_bundle(tmp_path / "copy", manifest.model_copy(update={"version": "9.9.9"}), tmp_path / "other")
    box.settings["stations"][0]["bundle"] = tmp_path / "other"
    done = again(box, "--evidence", number)
    assert done.returncode == 2
    assert "judged by another bundle" in done.stderr
    assert str(found.engine["digest"]) in done.stderr
    box.settings["stations"][0]["bundle"] = bundle
    assert "the same" in again(box, "--evidence", number).stdout
    monkeyed = tmp_path / "monkeyed"
    shutil.copytree(box.state, monkeyed)
    with sqlite3.connect(monkeyed / "ledger.db") as connection:
        connection.execute("UPDATE payload SET body = CAST(replace(body, '\"reject\"', '\"pass\"') AS BLOB)")
    command = [sys.executable, "-m", "edgemill", "run", str(bundle), str(monkeyed), "--evidence", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "NOT THE SAME" in done.stdout


def test_a_part_whose_engine_nobody_knows_any_more_is_not_judged_by_another(box: Box) -> None:
    box.settings["stations"][0]["evidence"] = {"keep": ["reject"]}
    box.run()
    number = next(record.header.number for record in box.verdicts() if record.header.decision == "reject")
    with sqlite3.connect(box.state / "ledger.db") as connection:  # as a trim does it
        connection.execute("DELETE FROM header WHERE kind = 'start'")
    done = again(box, "--evidence", number)
    assert done.returncode == 2
    assert "nobody knows any more which engine" in done.stderr
