"""The real agent, its real processes, and kill -9."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agent_box import Box, alive, wait_until

from edgemill_agent.ledger import LedgerView
from edgemill_agent.processes.orphans import is_orphan
from edgemill_core.ledger import Kind
from edgemill_runtimes.frames import encode_png


def expected_decisions(box: Box) -> dict[str, str]:
    with (box.folder / "pictures" / "labels.csv").open() as file:
        return {row["file"]: "pass" if row["good"] == "1" else "reject" for row in csv.DictReader(file)}


def test_every_picture_gets_one_right_verdict_in_order(box: Box) -> None:
    account = box.run()
    truth = expected_decisions(box)
    assert box.items() == sorted(truth)
    assert {r.payload.content()["item"]: r.header.decision for r in box.verdicts() if r.payload} == truth
    assert [record.header.number for record in box.verdicts()] == list(range(1, 61))
    station = account["stations"]["cell"]
    assert station["verdicts"] == sum(station["decisions"].values()) == 60
    assert 0 < station["p50"] <= station["p99"]
    starts = [record for record in LedgerView.open(box.state).records() if record.header.kind is Kind.START]
    assert starts[0].payload is not None
    assert starts[0].payload.content()["bundle"] == "tiny"
    assert len(starts[0].payload.content()["digest"]) == 64


def test_a_second_run_goes_on_behind_the_first(box: Box) -> None:
    box.run()
    (box.folder / "pictures" / "9999.png").write_bytes((box.folder / "pictures" / "0000.png").read_bytes())
    account = box.run()
    assert account["stations"]["cell"]["verdicts"] == 1
    assert len(set(box.items())) == len(box.items()) == 61
    numbers = [record.header.number for record in box.verdicts()]
    assert len(set(numbers)) == 61


@pytest.mark.parametrize("name", ["cell/engine", "cell/source"])
def test_a_killed_worker_loses_no_part_and_doubles_none(box: Box, name: str) -> None:
    box.add_pictures(times=40)
    agent = box.start()
    for _ in range(3):
        before = box.recorded()
        wait_until(lambda before=before: box.recorded() > before + 20, "verdicts")
        dead = box.kill(name)
        wait_until(lambda dead=dead: box.processes().get(name, dead) != dead, "another one to be started")
    account = box.end(agent)
    assert box.items() == sorted(expected_decisions(box))
    assert {r.payload.content()["item"]: r.header.decision for r in box.verdicts() if r.payload} == expected_decisions(
        box
    )
    assert account["stations"]["cell"][f"{name.split('/')[1]}_restarts"] == 3


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_several_parts_at_once_keep_their_order_whatever_dies(box: Box, runtime: str) -> None:
    box.add_pictures()
    (box.folder / "pictures" / "0007.png").write_bytes(b"no picture")
    box.settings["stations"][0] |= {"mode": "throughput", "runtime": runtime}
    agent = box.start()
    for _ in range(2):
        before = box.recorded()
        wait_until(lambda before=before: box.recorded() > before + 50, "verdicts")
        dead = box.kill("cell/engine")
        wait_until(lambda dead=dead: box.processes().get("cell/engine", dead) != dead, "another one to be started")
    before = box.recorded()
    wait_until(lambda: box.recorded() > before, "verdicts")
    account = box.end(agent)["stations"]["cell"]
    assert box.items() == sorted(expected_decisions(box))
    assert [record.header.number for record in box.verdicts()] == list(range(1, len(box.items()) + 1))
    found = {r.payload.content()["item"]: r.header.decision for r in box.verdicts() if r.payload}
    assert found == expected_decisions(box)
    assert account["safe"] == 20, "each of its links"


def test_a_killed_line_process_takes_its_workers_along_and_goes_on_where_it_was(box: Box) -> None:
    box.add_pictures()
    for _ in range(3):
        agent = box.start()
        before = box.recorded()
        wait_until(lambda before=before: box.recorded() > before + 30, "verdicts")
        workers = box.processes()
        agent.kill()
        agent.communicate()
        for pid in workers.values():
            wait_until(lambda pid=pid: not alive(pid), "the workers to end with it")
    box.run()
    assert box.items() == sorted(expected_decisions(box))
    numbers = [record.header.number for record in box.verdicts()]
    assert len(set(numbers)) == len(numbers)
    account = LedgerView.open(box.state).account()
    assert account.void > 0
    assert not account.doubled


def test_not_even_a_hung_worker_outlives_the_line_process(box: Box) -> None:
    box.add_pictures()
    agent = box.start()
    wait_until(lambda: box.recorded() > 10, "verdicts")
    hung = [box.kill(name, signal.SIGSTOP) for name in ("cell/engine", "cell/source")]
    agent.kill()
    agent.communicate()
    for pid in hung:
        wait_until(lambda pid=pid: not alive(pid), "the hung worker to end")


def test_a_worker_that_hangs_while_it_starts_is_ended_by_the_next_line_process(box: Box) -> None:
    """The kernel was not asked yet to end it with its parent."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys, time\n"
            "worker = [sys.executable, '-m', 'edgemill_agent.workers.engine_worker', '0', str(os.getpid())]\n"
            "print(subprocess.Popen(worker, stdin=sys.stdin, stdout=subprocess.DEVNULL).pid, flush=True)\n"
            "time.sleep(60)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, signal.SIGSTOP)
    parent.kill()
    parent.communicate()
    assert alive(worker)
    box.run()
    wait_until(lambda: not alive(worker), "the hung worker to end")


@pytest.mark.parametrize(
    ("words", "parent", "so"),
    [
        (["python", "-m", "edgemill_agent.link_process", "7", "100"], 1, True),
        (["python", "-m", "edgemill_agent.link_process", "7", "100"], 100, False),
        (["python", "-X", "dev", "-m", "edgemill_agent.workers.engine_worker", "7", "100"], 1, True),
        (["python", "-m", "other.workers", "7", "100"], 1, False),
        (["python", "-m", "edgemill", "agent", "run"], 1, False),
        (["edgemill_agent.link_process", "7", "100"], 1, False),
        ([], 1, False),
    ],
)
def test_only_our_workers_under_another_parent_are_orphans(words: list[str], parent: int, so: bool) -> None:
    assert is_orphan(words, parent) == so


def test_another_source_is_taken_from_its_beginning_and_a_moved_box_goes_on(box: Box, tmp_path: Path) -> None:
    box.run()
    shutil.copytree(box.folder / "pictures", box.folder / "others")
    box.settings["stations"][0]["source"] |= {"folder": "others"}
    assert box.run()["stations"]["cell"]["verdicts"] == 60
    assert box.run()["stations"]["cell"]["verdicts"] == 0
    moved = Box(tmp_path / "moved", box.settings, box.running)
    shutil.copytree(box.folder, moved.folder, ignore=shutil.ignore_patterns("moved"))
    assert moved.run()["stations"]["cell"]["verdicts"] == 0
    (moved.state / "sources.json").write_text("{")
    assert moved.run()["stations"]["cell"]["verdicts"] == 0, "what cannot be read is no reason to judge all again"


def test_sigterm_drains_and_closes_in_order(box: Box) -> None:
    box.add_pictures()
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    agent.send_signal(signal.SIGTERM)
    box.end(agent)
    stopped_at = box.recorded()
    assert stopped_at < len(expected_decisions(box))
    assert LedgerView.open(box.state).account().void == 0
    box.run()
    assert box.items() == sorted(expected_decisions(box))


@pytest.mark.parametrize("name", ["cell/source", "link"])
def test_a_process_that_hangs_is_found_by_its_silence(box: Box, name: str) -> None:
    box.settings |= {"silent_s": 5, "drain_s": 0.5, "mqtt": {"url": "mqtt://127.0.0.1:9"}}
    box.settings["stations"][0]["source"]["once"] = False
    agent = box.start()
    wait_until(lambda: box.recorded() == 60, "verdicts")
    frozen = box.kill(name, signal.SIGSTOP)
    wait_until(lambda: box.processes().get(name, frozen) != frozen, "another one")
    assert not alive(frozen)
    (box.folder / "pictures" / "9999.png").write_bytes((box.folder / "pictures" / "0000.png").read_bytes())
    wait_until(lambda: box.recorded() == 61, "the line to go on")
    agent.terminate()
    box.end(agent)


def test_a_hanging_engine_is_killed_and_its_part_tried_again(box: Box) -> None:
    box.add_pictures()
    box.settings["stations"][0]["hang_ms"] = 500
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    box.kill("cell/engine", signal.SIGSTOP)
    account = box.end(agent)
    assert account["stations"]["cell"]["engine_restarts"] == 1
    assert box.items() == sorted(expected_decisions(box))


def test_an_engine_that_hangs_while_it_loads_is_killed(box: Box) -> None:
    box.settings["stations"][0]["start_ms"] = 4000
    agent = box.start()
    box.kill("cell/engine", signal.SIGSTOP)
    account = box.end(agent)
    assert account["stations"]["cell"]["engine_restarts"] >= 1
    assert box.items() == sorted(expected_decisions(box))


def test_a_part_that_is_late_gets_the_safe_verdict_once(box: Box) -> None:
    box.add_pictures()
    box.settings["stations"][0] |= {"deadline_ms": 700, "late": "uncertain", "hang_ms": 3000}
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    box.kill("cell/engine", signal.SIGSTOP)
    account = box.end(agent)
    late = [r for r in box.verdicts() if r.payload and r.payload.content().get("late")]
    assert len(late) == account["stations"]["cell"]["late"] >= 4
    assert {record.header.decision for record in late} == {"uncertain"}
    assert all(700 <= r.payload.content()["ms"] < 2500 for r in late if r.payload)
    assert box.items() == sorted(expected_decisions(box))


def test_pictures_that_cannot_be_used_are_rejected_with_the_reason(box: Box) -> None:
    pictures = box.folder / "pictures"
    (pictures / "0003.png").write_bytes(b"no picture")
    (pictures / "0005.png").write_bytes(encode_png(np.zeros((400, 400, 3), np.uint8)))
    (pictures / "0007.png").write_bytes(b"")
    account = box.run()
    reasons = {
        r.payload.content()["item"]: r.payload.content()["verdict"]["reasons"][0]
        for r in box.verdicts()
        if r.payload
        if r.payload.content().get("safe")
    }
    assert set(reasons) == {"0003.png", "0005.png", "0007.png"}
    assert "480000 bytes" in reasons["0005.png"]
    assert account["stations"]["cell"]["safe"] == 3
    assert box.items() == sorted(expected_decisions(box))


def test_new_pictures_are_seen_as_they_come(box: Box) -> None:
    box.settings["stations"][0]["source"]["once"] = False
    agent = box.start()
    wait_until(lambda: box.recorded() == 60, "all that are there")
    (box.folder / "pictures" / "9999.png").write_bytes((box.folder / "pictures" / "0000.png").read_bytes())
    wait_until(lambda: box.recorded() == 61, "the new one")
    agent.send_signal(signal.SIGINT)
    assert box.end(agent)["stations"]["cell"]["verdicts"] == 61


def test_two_stations_share_one_ledger(box: Box) -> None:
    box.settings["stations"].append({**box.settings["stations"][0], "name": "other", "runtime": "openvino"})
    account = box.run()
    assert {name: station["verdicts"] for name, station in account["stations"].items()} == {"cell": 60, "other": 60}
    assert LedgerView.open(box.state).account().stations == {"cell": 60, "other": 60}
    assert LedgerView.open(box.state).account().delivered == 120


def test_a_picture_that_shows_nothing_is_not_given_to_the_engine(box: Box) -> None:
    box.settings["stations"][0] |= {"quality": {"min_mean": 3, "frozen_after": 2, "decision": "uncertain"}}
    pictures = box.folder / "pictures"
    dark = encode_png(np.zeros((8, 32, 3), np.uint8))
    (pictures / "0010.png").write_bytes(dark)
    (pictures / "0031.png").write_bytes((pictures / "0030.png").read_bytes())
    account = box.run()["stations"]["cell"]
    assert account["unfit"] == 2
    assert account["decisions"]["uncertain"] == 2
    told = {r.header.number: r.payload.content() for r in box.verdicts() if r.payload}
    assert {number: one["unfit"] for number, one in told.items() if "unfit" in one} == {11: "dark", 32: "frozen"}
    assert told[11]["verdict"]["reasons"] == ["the picture is too dark: mean 0.0, at least 3"]
    assert "unfit" not in told[33]
