"""Another engine takes over while the line runs, and a challenger looks on: real processes, and kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_box import Box, alive, wait_until
from hypothesis import given
from hypothesis import strategies as some
from other_bundles import another, reads_otherwise

from edgemill_agent.ledger import LedgerView
from edgemill_agent.line.engine_seat import refusal
from edgemill_agent.line.trial import Course, Trial
from edgemill_agent.reload import needs_start, to_swap
from edgemill_agent.settings import read_settings
from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.errors import EngineError, MissingPartError
from edgemill_core.ledger import Kind

Command = Callable[..., subprocess.CompletedProcess[str]]


def records(box: Box, kind: Kind) -> list[dict[str, Any]]:
    view = LedgerView.open(box.state)
    try:
        return [r.payload.content() for r in view.records() if r.header.kind is kind and r.payload]
    finally:
        view.close()


def outcomes(box: Box) -> list[str]:
    return [told["outcome"] for told in records(box, Kind.SWAP)]


def station(box: Box) -> dict[str, Any]:
    found: dict[str, Any] = box.settings["stations"][0]
    return found


def going(box: Box) -> subprocess.Popen[str]:
    """A line without an end."""
    source = station(box)["source"]
    source["once"], source["loop"] = False, True
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    return agent


def ended(box: Box, agent: subprocess.Popen[str]) -> dict[str, Any]:
    """The account of a line on which nothing was missed: each picture in its order, each once, all by an engine."""
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)
    with (box.folder / "pictures" / "labels.csv").open() as file:
        names = sorted(line.split(",")[0] for line in file.readlines()[1:])
    items = [item.rpartition("/")[2] for item in box.items()]
    assert items == [names[index % len(names)] for index in range(len(items))]
    found: dict[str, Any] = account["stations"]["cell"]
    assert found["late"] == found["safe"] == 0
    return found


@pytest.fixture
def newer(box: Box, tmp_path: Path) -> Bundle:
    return another(Path(station(box)["bundle"]), tmp_path)


def test_a_newer_bundle_takes_over_between_two_parts(box: Box, newer: Bundle, edgemill_command: Command) -> None:
    station(box)["swap"] = {"trial_parts": 30}
    agent = going(box)
    old = box.processes()["cell/engine"]
    station(box)["bundle"] = str(newer.folder)
    done = edgemill_command("agent", "reload", box.write())
    assert done.returncode == 0, done.stderr
    assert "took over tiny 9.9.9 on onnxruntime" in done.stdout
    wait_until(lambda: "committed" in outcomes(box), "the way back to be closed")
    wait_until(lambda: not alive(old), "the old engine to end")
    account = ended(box, agent)
    assert account["engine_restarts"] == 0
    starts = {start["engine"]: start for start in records(box, Kind.START)}
    assert [start["version"] for start in starts.values()] == ["1.0.0", "9.9.9"]
    by = [told["engine"] for told in records(box, Kind.VERDICT)]
    assert by == sorted(by, key=list(starts).index), "one after the other, and never back"
    assert Counter(by)[list(starts)[1]] >= 30
    (took,) = [told for told in records(box, Kind.SWAP) if told["outcome"] == "took over"]
    assert took["from"]["version"] == "1.0.0"
    assert took["peak_bytes"] > 30 << 20
    assert starts[by[-1]]["proof"]["holds"]


@pytest.mark.parametrize("more", [{"mode": "throughput"}, {"deadline_ms": 30_000}])
def test_an_engine_that_never_rests_gives_way_all_the_same(
    box: Box, newer: Bundle, edgemill_command: Command, more: dict[str, Any]
) -> None:
    station(box).update(more)
    station(box)["source"]["slots"] = 16
    agent = going(box)
    station(box)["bundle"] = str(newer.folder)
    done = edgemill_command("agent", "reload", box.write())
    assert done.returncode == 0, done.stderr
    ended(box, agent)


def test_a_stop_does_not_wait_for_a_challenger_that_keeps_dying(box: Box) -> None:
    station(box)["shadow"] = {"bundle": station(box)["bundle"], "runtime": "openvino"}
    agent = going(box)
    for _ in range(7):
        dead = box.kill("cell/challenger")
        wait_until(lambda dead=dead: not alive(dead), "it to end")
    before = time.monotonic()
    ended(box, agent)
    assert time.monotonic() - before < 4


def test_evidence_is_judged_by_the_engine_that_judged_it(box: Box, newer: Bundle, edgemill_command: Command) -> None:
    station(box).update({"evidence": {"keep": ["reject"]}, "swap": {"trial_parts": 5}})
    agent = going(box)
    old_bundle = station(box)["bundle"]
    station(box)["bundle"] = str(newer.folder)
    assert edgemill_command("agent", "reload", box.write()).returncode == 0
    before = box.recorded()
    wait_until(lambda: box.recorded() > before + 60, "verdicts of the new one")
    ended(box, agent)
    rejected = [record.header.number for record in box.verdicts() if record.header.decision == "reject"]
    for number, bundle, other in (
        (rejected[0], old_bundle, newer.folder),
        (rejected[-1], newer.folder, old_bundle),
    ):
        assert edgemill_command("run", bundle, box.state, "--evidence", number).returncode == 0
        done = edgemill_command("run", other, box.state, "--evidence", number)
        assert "judged by another bundle" in done.stderr


def test_a_bundle_that_decides_otherwise_than_on_the_bench_is_refused(
    box: Box, tmp_path: Path, edgemill_command: Command
) -> None:
    manifest = open_bundle(Path(station(box)["bundle"])).manifest
    (model,) = manifest.models
    wrong = [
        v.model_copy(update={"golden": v.golden.model_copy(update={"decisions": v.golden.decisions[::-1]})})
        for v in model.variants
    ]
    models = (model.model_copy(update={"variants": tuple(wrong)}),)
    spoiled = another(Path(station(box)["bundle"]), tmp_path, "6.6.6", models=models)
    agent = going(box)
    good = station(box)["bundle"]
    station(box)["bundle"] = str(spoiled.folder)
    done = edgemill_command("agent", "reload", box.write(), "--json")
    assert done.returncode == 1
    assert "not proved" in json.loads(done.stdout)["changes"][0]["why"]
    station(box)["bundle"] = str(tmp_path / "nowhere")
    done = edgemill_command("agent", "reload", box.write())
    assert done.returncode == 1
    assert "nowhere" in done.stdout
    station(box)["bundle"] = good
    assert edgemill_command("agent", "reload", box.write()).returncode == 0
    before = box.recorded()
    wait_until(lambda: box.recorded() > before + 20, "the old engine to go on")
    ended(box, agent)
    assert outcomes(box) == ["read", "refused", "read", "refused", "read", "stays"]
    assert {told["version"] for told in records(box, Kind.START)} == {"1.0.0"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_new_engine_that_does_not_do_gives_way_to_the_old_one(
    box: Box, newer: Bundle, edgemill_command: Command, number: int
) -> None:
    station(box).update({"swap": {"trial_parts": 1_000_000}, "deadline_ms": 3000, "alarm_after": 2})
    agent = going(box)
    old = box.processes()["cell/engine"]
    station(box)["bundle"] = str(newer.folder)
    assert edgemill_command("agent", "reload", box.write()).returncode == 0
    wait_until(lambda: box.processes().get("cell/previous") == old, "the old one to be the way back")
    new = box.kill("cell/engine", number)
    wait_until(lambda: "fell back" in outcomes(box), "the old one to be back")
    wait_until(lambda: not alive(new), "the new one to be gone")
    wait_until(lambda: box.processes().get("cell/engine") == old, "that to be said")
    before = box.recorded()
    wait_until(lambda: box.recorded() > before + 20, "verdicts of the old one")
    agent.send_signal(signal.SIGTERM)
    account = box.end(agent)["stations"]["cell"]
    assert account["late"] in ({0} if number == signal.SIGKILL else {2, 3, 4}), "those in the ring were late together"
    back = records(box, Kind.SWAP)[-1]
    assert back["why"] == ("it ended" if number == signal.SIGKILL else "2 parts in a row were late")
    starts = [start["version"] for start in records(box, Kind.START)]
    assert starts == ["1.0.0", "9.9.9", "1.0.0"]
    assert records(box, Kind.VERDICT)[-1]["engine"] == records(box, Kind.START)[0]["engine"]


def test_an_engine_that_takes_more_memory_than_was_declared_is_ended(
    box: Box, newer: Bundle, edgemill_command: Command
) -> None:
    station(box)["swap"] = {"max_memory": "80MiB"}
    station(box)["shadow"] = {"bundle": station(box)["bundle"]}
    agent = going(box)
    wait_until(lambda: outcomes(box) == ["refused"], "the challenger to be refused")
    (told,) = records(box, Kind.SWAP)
    assert told["role"] == "challenger"
    assert "more than 83886080" in told["why"]
    station(box)["bundle"] = str(newer.folder)
    done = edgemill_command("agent", "reload", box.write())
    assert done.returncode == 1
    assert "more than 83886080" in done.stdout
    wait_until(lambda: "cell/newcomer" not in box.processes(), "the new one to be gone")
    ended(box, agent)


def test_what_a_running_agent_cannot_take_up_is_said(box: Box, edgemill_command: Command) -> None:
    path = box.write()
    done = edgemill_command("agent", "reload", path)
    assert done.returncode == 2, "there is no ledger yet"
    agent = going(box)
    station(box).update({"hang_ms": 9999, "tune": {"min_confidence": 0.3}})
    done = edgemill_command("agent", "reload", box.write())
    assert done.returncode == 1
    assert "another start of the agent: stations.cell.hang_ms" in done.stdout
    path.write_text("stations: [")
    assert edgemill_command("agent", "reload", path).returncode == 2
    os.kill(box.processes()["line"], signal.SIGHUP)
    wait_until(lambda: outcomes(box) == ["refused", "refused"], "the line to refuse it too")
    box.write()
    ended(box, agent)
    done = edgemill_command("agent", "reload", path)
    assert done.returncode == 3
    assert "no agent runs" in done.stderr


def test_a_challenger_sees_the_same_parts_and_answers_to_nobody(box: Box, tmp_path: Path) -> None:
    other = reads_otherwise(open_bundle(Path(station(box)["bundle"])), tmp_path)
    station(box)["shadow"] = {"bundle": str(other.folder)}
    station(box)["evidence"] = {"keep": ["disputed"]}
    agent = going(box)
    wait_until(lambda: len(records(box, Kind.SHADOW)) > 60, "what the challenger says")
    account = ended(box, agent)
    said, verdicts = records(box, Kind.SHADOW), {r.header.number: r for r in box.verdicts()}
    assert account["shadow"] == {
        "seen": len(said),
        "disputed": sum(one["disputed"] for one in said),
        "skipped": account["verdicts"] - len(said),
    }
    assert len({one["number"] for one in said}) == len(said)
    (engine,) = {one["engine"] for one in said}
    for one in said:
        header = verdicts[one["number"]].header
        assert one["decided"] == header.decision
        assert one["disputed"] == (one["verdict"]["decision"] != header.decision)
    assert account["shadow"]["disputed"] > 10
    assert {told["engine"] for told in records(box, Kind.VERDICT)}.isdisjoint({engine})
    kept = {told["number"] for told in records(box, Kind.EVIDENCE) if "file" in told}
    assert kept == {one["number"] for one in said if one["disputed"]}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_challenger_that_dies_or_hangs_holds_up_nobody(box: Box, number: int) -> None:
    station(box).update({"shadow": {"bundle": station(box)["bundle"], "runtime": "openvino"}, "hang_ms": 1000})
    agent = going(box)
    wait_until(lambda: len(records(box, Kind.SHADOW)) > 10, "what the challenger says")
    dead, before = box.kill("cell/challenger", number), box.recorded()
    wait_until(lambda: box.recorded() > before + 100, "the line to go on")
    wait_until(lambda: box.processes().get("cell/challenger", dead) != dead, "another challenger")
    seen = len(records(box, Kind.SHADOW))
    wait_until(lambda: len(records(box, Kind.SHADOW)) > seen, "what the other one says")
    ended(box, agent)
    why = "it died" if number == signal.SIGKILL else "it gave no answer for 1000 ms"
    said = [(one["outcome"], one["role"], one.get("why")) for one in records(box, Kind.SWAP)]
    assert said == [("looks on", "challenger", None), ("ended", "challenger", why)]


def test_a_challenger_that_cannot_be_used_is_declared(box: Box, tmp_path: Path) -> None:
    station(box)["shadow"] = {"bundle": str(tmp_path / "nowhere")}
    box.run()
    (told,) = records(box, Kind.SWAP)
    assert told["outcome"] == "refused"
    assert "nowhere" in told["to"]["folder"]
    assert told["role"] == "challenger"
    assert len(box.items()) == 60


@pytest.mark.parametrize(
    ("late", "course"),
    [
        ([False, False], Course.ON),
        ([False, False, False], Course.KEPT),
        ([True], Course.ON),
        ([True, True], Course.BACK),
        ([True, False, True], Course.ON),
        ([True, False, True, True], Course.BACK),
        ([False, True, False, True, False], Course.KEPT),
    ],
)
def test_whether_a_new_engine_stays(late: list[bool], course: Course) -> None:
    trial = Trial(parts=3, late_most=2)
    courses = [trial.judged(one, 0.0) for one in late]
    assert courses[-1] is course
    assert set(courses[:-1]) <= {Course.ON}


@pytest.mark.parametrize(
    ("late", "course"),
    [
        ([], Course.ON),
        ([True], Course.ON),
        ([False], Course.KEPT),
        ([False, True], Course.ON),
        ([True, False], Course.KEPT),
    ],
)
def test_whether_it_stays_when_its_time_is_up(late: list[bool], course: Course) -> None:
    trial = Trial(parts=3, late_most=2, until_s=60.0)
    assert [trial.judged(one, 59.9) for one in late] == [Course.ON] * len(late)
    assert trial.look(59.9) is Course.ON
    assert trial.look(60.0) is course
    if course is Course.ON:  # it stays with the next part in time, and goes back with the next late ones
        assert Trial(3, 2, 60.0, trial.good, trial.late).judged(False, 61.0) is Course.KEPT
        assert [trial.judged(True, 61.0), trial.judged(True, 61.0)][-1] is Course.BACK


@given(some.lists(some.tuples(some.booleans(), some.floats(0, 2)), max_size=30), some.integers(1, 5))
def test_an_engine_is_kept_for_what_it_did_and_for_nothing_else(parts: list[tuple[bool, float]], most: int) -> None:
    trial, now_s, seen = Trial(parts=5, late_most=most, until_s=20.0), 0.0, ""
    for late, passed_s in parts:
        now_s, seen = now_s + passed_s, seen + "L" * late + "." * (not late)
        course = trial.judged(late, now_s)
        kept = seen.count(".") >= 5 or (now_s >= 20.0 and seen.endswith("."))
        back = seen.endswith("L" * most)
        assert course is (Course.BACK if back else Course.KEPT if kept else Course.ON)
        if course is not Course.ON:
            return


def test_what_is_taken_up_and_what_is_not(box: Box, tmp_path: Path) -> None:
    station(box)["products"] = {1: {"bundle": "b1"}}
    before = read_settings(box.write())
    assert (needs_start(before, before), to_swap(before, before)) == ([], [])
    for change, start, swap in (
        ({"bundle": "other"}, [], [("cell", "engine")]),
        ({"runtime": "openvino"}, [], [("cell", "engine")]),
        ({"tune": {"min_confidence": 0.1}}, [], [("cell", "engine")]),
        ({"products": {1: {"bundle": "b2"}}}, [], [("cell", "engine")]),
        ({"products": {}}, ["stations.cell.products"], []),
        ({"shadow": {"bundle": "c"}}, [], [("cell", "challenger")]),
        ({"swap": {"trial_parts": 7}}, [], []),
        ({"deadline_ms": 7}, ["stations.cell.deadline_ms"], []),
        ({"name": "x"}, ["stations"], []),
    ):
        raw = yaml.safe_load((tmp_path / "agent.yaml").read_text())
        raw["stations"][0] |= change
        (tmp_path / "now.yaml").write_text(yaml.safe_dump(raw))
        now = read_settings(tmp_path / "now.yaml")
        assert needs_start(before, now) == start
        assert start or to_swap(before, now) == swap
    raw["stations"][0]["name"] = "cell"
    (tmp_path / "now.yaml").write_text(yaml.safe_dump({**raw, "drain_s": 3, "state": "elsewhere"}))
    assert needs_start(before, read_settings(tmp_path / "now.yaml")) == ["drain_s", "state"]


def test_what_a_worker_misses_stays_a_missing_part() -> None:
    missing = MissingPartError("no PyAV", expected="av", got="none", fix="install it").as_dict()
    found = refusal("cell", missing)
    assert (type(found), found.exit_code, found.fix) == (MissingPartError, 3, "install it")
    assert type(refusal("cell", {**missing, "error": "InputError"})) is EngineError
