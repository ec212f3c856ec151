"""A station that answers requests of numbers, and bundles that do not fit their source."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_box import Box, wait_until
from tiny_trees import write_table, write_tree_recipe

from edgemill_agent.ledger import LedgerView
from edgemill_converters.build import build
from edgemill_core.ledger import Kind
from edgemill_runtimes.pipeline import open_pipeline

ROWS = 300
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tree_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree-bundle")
    bundle = build(write_tree_recipe(folder), folder).bundle
    assert bundle is not None
    return bundle.folder


@pytest.fixture
def risk_box(box: Box, tree_bundle: Path) -> Iterator[Box]:
    """The box, with a station of numbers in place of the one of pictures."""
    write_table(box.folder / "requests.csv", ROWS, 9, outcomes=False)
    source = {"rows": "requests.csv", "once": True}
    box.settings["stations"] = [{"name": "risk", "bundle": str(tree_bundle), "source": source, "late": "uncertain"}]
    return box


def contents(box: Box) -> list[dict[str, Any]]:
    return [record.payload.content() for record in box.verdicts() if record.payload]


def test_one_request_one_numbered_verdict_with_the_engines_own_figures(risk_box: Box, tree_bundle: Path) -> None:
    account = risk_box.run()
    assert account["stations"]["risk"]["decisions"] == {"score": ROWS}
    found = contents(risk_box)
    assert [told["item"] for told in found] == [f"{number:05d}" for number in range(ROWS)]
    from edgemill_core.bundle import open_bundle

    with open_pipeline(open_bundle(tree_bundle)) as pipeline:
        for told in found[::37]:
            assert pipeline(told["fields"]).as_dict() == told["verdict"]


def test_a_request_is_answered_again_as_it_was(risk_box: Box, tree_bundle: Path, edgemill_command: Command) -> None:
    risk_box.run()
    done = edgemill_command("run", tree_bundle, risk_box.state, "--evidence", ROWS // 2)
    assert done.returncode == 0, done.stderr
    assert "the same" in done.stdout
    done = edgemill_command("run", tree_bundle, risk_box.state, risk_box.state, "--evidence", 1)
    assert done.returncode == 2
    assert "one ledger" in done.stderr


def test_a_killed_engine_doubles_no_request_and_loses_none(risk_box: Box) -> None:
    write_table(risk_box.folder / "requests.csv", 4000, 9, outcomes=False)
    agent = risk_box.start()
    for name in ("risk/engine", "risk/source"):
        before = risk_box.recorded()
        wait_until(lambda before=before: risk_box.recorded() > before + 50, "verdicts")
        risk_box.kill(name)
    risk_box.end(agent)
    assert [told["item"] for told in contents(risk_box)] == [f"{number:05d}" for number in range(4000)]


def test_a_request_that_cannot_be_used_gets_the_safe_verdict(risk_box: Box) -> None:
    path = risk_box.folder / "requests.csv"
    lines = path.read_text().splitlines()
    lines[2] = "00001,none,1,2"
    lines[3] = "00002,-1.0,1,2"
    path.write_text("\n".join(lines))
    risk_box.run()
    found = {told["item"]: told["verdict"] for told in contents(risk_box)}
    assert len(found) == ROWS
    assert (found["00001"]["decision"], found["00001"]["reasons"]) == (
        "uncertain",
        ["scale is 'none', not a finite number"],
    )
    assert found["00002"]["decision"] == "uncertain"
    assert "cannot be used" in found["00002"]["reasons"][0]
    assert {said["decision"] for item, said in found.items() if item > "00002"} == {"score"}


def test_lines_that_are_added_are_answered(risk_box: Box) -> None:
    risk_box.settings["stations"][0]["source"]["once"] = False
    path = risk_box.folder / "requests.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:101]))
    agent = risk_box.start()
    wait_until(lambda: risk_box.recorded() == 100, "the first hundred")
    with path.open("a") as file:
        file.write(lines[101][:9])  # a line that is being written is no request yet
        file.flush()
        time.sleep(0.6)
        file.write(lines[101][9:])
        file.writelines(lines[102:])
    wait_until(lambda: risk_box.recorded() == ROWS, "the others")
    agent.terminate()
    risk_box.end(agent)
    assert {told["verdict"]["decision"] for told in contents(risk_box)} == {"score"}


def test_names_that_do_not_rise_end_the_agent(risk_box: Box, edgemill_command: Command) -> None:
    path = risk_box.folder / "requests.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1]]))
    done = edgemill_command("agent", "run", risk_box.write())
    assert done.returncode == 2
    assert "line 3: '00000' after '00001'" in done.stderr


def test_both_kinds_of_station_run_on_one_box(box: Box, risk_box: Box, built: Any) -> None:
    source = {"folder": "pictures", "labels": "pictures/labels.csv", "once": True, "max_frame_bytes": 65536}
    box.settings["stations"].append({"name": "cell", "bundle": str(built.bundle.folder), "source": source})
    account = box.run()
    assert {name: found["verdicts"] for name, found in account["stations"].items()} == {"risk": ROWS, "cell": 60}
    view = LedgerView.open(box.state)
    assert view.account().stations == {"risk": ROWS, "cell": 60}
    assert sum(record.header.kind is Kind.START for record in view.records()) == 2


def test_a_bundle_of_another_task_ends_the_agent(
    box: Box, tree_bundle: Path, built: Any, edgemill_command: Command
) -> None:
    box.settings["stations"][0] |= {"bundle": str(tree_bundle), "runtime": None}
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "station cell: the bundle is of another task than the source: tiny-risk" in done.stderr
    write_table(box.folder / "requests.csv", 3, 9)
    source = {"rows": "requests.csv", "once": True}
    box.settings["stations"] = [{"name": "risk", "bundle": str(built.bundle.folder), "source": source}]
    done = edgemill_command("agent", "run", box.write())
    assert done.returncode == 2
    assert "a source that gives pictures" in done.stderr


def test_a_table_that_is_not_there_ends_the_agent(risk_box: Box, edgemill_command: Command) -> None:
    (risk_box.folder / "requests.csv").unlink()
    done = edgemill_command("agent", "run", risk_box.write())
    assert done.returncode == 2
    assert "table" in done.stderr
    assert "cannot be read" in done.stderr


def test_run_answers_tables_too(risk_box: Box, tree_bundle: Path, edgemill_command: Command) -> None:
    table = risk_box.folder / "requests.csv"
    done = edgemill_command("run", tree_bundle, table)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == ROWS
    assert "var_99" in done.stdout
    table.write_text("row,scale,slope,noise\na,1,2,x\nb,1,2,3\n")
    done = edgemill_command("run", tree_bundle, table, "--json")
    assert done.returncode == 2
    assert '"score"' in done.stdout
    assert "noise is 'x'" in done.stdout
    done = edgemill_command("run", tree_bundle, table, "--expect", "L1")
    assert done.returncode == 2
    assert "takes numbers" in done.stderr
