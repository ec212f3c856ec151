"""`edgemill agent enrol` and `renew`, by their command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from door import Door, open_door, utc
from release_keys import Keys

from edgemill.cli import main
from edgemill_fleet.releases.repository import Repository
from edgemill_link.enrolment import ENROL, RENEW

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path / "fleet") as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    station = {"name": "s", "bundle": "release:tiny", "source": {"folder": "f"}}
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"device": {"id": "line3"}, "stations": [station], "fleet": {"identity": "auto"}}))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("edgemill.cli.update.give_way", lambda _: None)  # this process has more tests to run

    def told(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgemill", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return told


def test_a_box_is_let_in_and_renews(door: Door, settings: Path, run: Run) -> None:
    code, out, _ = run("agent", "enrol", settings, "--code", door.code(), "--json")
    told = json.loads(out)
    assert (code, told["device"], told["fleet"]) == (0, "line3", door.url)
    assert 89.9 < told["days"] <= 90
    code, out, _ = run("agent", "renew", settings)
    assert (code, len(door.posted)) == (0, 1)
    assert "line3" in out
    before = (settings.parent / "state" / "identity" / "box.pem").read_bytes()
    assert run("agent", "renew", settings, "--now")[0] == 0
    assert (settings.parent / "state" / "identity" / "box.pem").read_bytes() != before


def test_settings_that_make_no_use_of_it_are_said(door: Door, settings: Path, run: Run) -> None:
    told = yaml.safe_load(settings.read_text())
    del told["fleet"]
    settings.write_text(yaml.safe_dump(told))
    _, out, _ = run("agent", "enrol", settings, "--code", door.code())
    assert "fleet: {identity: auto}" in out


def test_a_code_may_come_by_stdin_where_no_list_of_processes_shows_it(door: Door, settings: Path) -> None:
    command = [sys.executable, "-m", "edgemill", "agent", "enrol", str(settings), "--code", "-"]
    done = subprocess.run(command, input=f"{door.code()}\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [path for path, _ in door.posted] == [ENROL]


def test_what_does_not_come_off_says_so(door: Door, settings: Path, run: Run) -> None:
    assert run("agent", "enrol", settings, "--code", "https://fleet#abc")[0] == 2
    code, _, err = run("agent", "renew", settings)
    assert (code, "not let in" in err) == (1, True)
    door.instead[ENROL] = lambda _: (409, json.dumps({"what": "the code lets nobody in", "got": "used"}).encode())
    code, _, err = run("agent", "enrol", settings, "--code", door.code())
    assert (code, "lets nobody in" in err) == (1, True)


def test_an_update_renews_first_whatever_becomes_of_it(door: Door, settings: Path, run: Run) -> None:
    keys = Keys()
    Repository.create(settings.parent / "releases", keys.roles, keys.all)
    root = (settings.parent / "releases" / "metadata" / "1.root.json").read_bytes()
    door.since = utc(days=-100)
    door.instead["/releases/metadata/2.root.json"] = lambda _: (503, b"")
    assert run("agent", "enrol", settings, "--code", door.code())[0] == 0
    (settings.parent / "state" / "identity" / "root.json").write_bytes(root)
    door.instead[RENEW] = lambda _: (403, b'{"what": "line3 is shut out"}')
    code, _, err = run("agent", "update", settings)
    assert (code, "line3 is shut out" in err, "2.root.json" in err) == (3, True, True)
    del door.instead[RENEW]
    code, _, err = run("agent", "update", settings)
    assert (code, "renewing this box's certificate" in err, "2.root.json" in err) == (3, True, True)
    assert run("agent", "renew", settings)[0] == 0
    assert [path for path, _ in door.posted] == [ENROL, RENEW, RENEW]
