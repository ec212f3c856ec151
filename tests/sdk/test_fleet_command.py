"""``edgemill fleet`` by the real command line, against a server behind real TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fleet_folder import BoxKey, Fleet, make_fleet
from fleet_server import serving
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill.cli.fleet.rollouts import read_wave
from edgemill.cli.fleet.times import ago
from edgemill_core.errors import EdgemillError, InputError, LinkError
from edgemill_fleet.access_file import Access, write_access
from edgemill_fleet.founding import found
from edgemill_fleet.refusals import NotAllowedError, StrangerError
from edgemill_fleet.settings import open_folder
from edgemill_fleet.store.rollouts import rollout_row
from edgemill_link.enrolment import read_code


class Place:
    """A fleet that is served, and access files of its people."""

    def __init__(self, fleet: Fleet, url: str, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        for name, token in fleet.tokens.items():
            write_access(folder / f"{name}.yaml", Access(url=url, ca=fleet.manager.authority.pem, token=token))

    def told(self, who: str, *words: object) -> Result:
        return CliRunner().invoke(
            app, [str(word) for word in ("fleet", *words, "--access", self.folder / f"{who}.yaml")]
        )

    def done(self, who: str, *words: object) -> str:
        found = self.told(who, *words)
        assert found.exit_code == 0, (found.output, found.exception)
        return found.stdout

    def json_of(self, who: str, *words: object) -> Any:
        return json.loads(self.done(who, *words, "--json"))

    def complaint(self, who: str, *words: object) -> EdgemillError:
        found = self.told(who, *words)
        assert isinstance(found.exception, EdgemillError), (found.output, found.exception)
        assert all((found.exception.expected, found.exception.got, found.exception.fix))
        return found.exception

    def let_in(self, device: str, *more: object) -> None:
        made = self.json_of("operator", "enrol", device, *more)
        body = {"secret": read_code(made["code"]).secret, "device": device, "csr": BoxKey().csr()}
        self.fleet.done("", "POST", "/v1/enrol", body)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    fleet = make_fleet(folder / "fleet")
    fleet.clock.now = datetime.now(timezone.utc)
    with serving(fleet) as url:
        made = Place(fleet, url, folder)
        for device in ("line1", "line2", "line3"):
            made.let_in(device, "--group", "a" if device == "line1" else "b", "--tag", "new")
        yield made


def test_boxes(place: Place) -> None:
    assert "line1   a      -     enrolled  no      never  -     -" in place.done("viewer", "devices", "ls")
    assert "line1" not in place.done("viewer", "devices", "ls", "--group", "b")
    assert "tags         new" in place.done("viewer", "devices", "show", "line1")
    changed = place.json_of("operator", "devices", "change", "line1", "--site", "hall 2", "--tag", "x", "--tag", "y")
    assert (changed["group"], changed["site"], changed["tags"]) == ("a", "hall 2", ["x", "y"])
    assert "admin" in str(place.complaint("operator", "devices", "revoke", "line1"))
    assert isinstance(place.complaint("operator", "devices", "revoke", "line1"), NotAllowedError)
    assert "there is no device" in str(place.complaint("viewer", "devices", "show", "nobody"))


def test_codes(place: Place) -> None:
    said = place.done("operator", "enrol", "line9", "--hours", "1")
    assert "edgemill agent enrol agent.yaml --code 'https://" in said
    newest = next(one for one in place.json_of("operator", "codes")["codes"] if one["device"] == "line9")
    assert newest["id"] in place.done("operator", "codes", "--end", newest["id"])


def test_a_release_and_a_rollout(place: Place) -> None:
    assert "listed" in place.done("viewer", "releases", "ls")
    place.done("releaser", "releases", "propose", "tiny/1.0.0")
    assert "releaser     second" in place.done("second", "releases", "approve", "tiny/1.0.0")
    waves = ("--wave", "group=a,soak=1m", "--wave", "100%,success=0.5")
    made = place.json_of(
        "releaser", "rollouts", "make", "tiny/1.0.0", *waves, "--silent", "10m", "--window", "22:00-04:00"
    )
    assert made["waves"] == [
        {"percent": None, "group": "a", "success": 1.0, "soak_s": 60.0},
        {"percent": 100.0, "group": None, "success": 0.5, "soak_s": 0.0},
    ]
    assert made["thresholds"]["silent_s"] == 600.0
    assert made["outcomes"] == [{"waiting": 1}, {"waiting": 2}]
    number = made["id"]
    assert isinstance(place.complaint("releaser", "rollouts", "approve", number), NotAllowedError)
    assert "running" in place.done("second", "rollouts", "approve", number)
    assert "line2      2  waiting" in place.done("viewer", "rollouts", "show", number)
    assert "paused by operator: lunch" in place.done("operator", "rollouts", "pause", number, "--why", "lunch")
    place.done("operator", "rollouts", "resume", number, "--again")
    assert "aborted" in place.done("operator", "rollouts", "abort", number, "--back")
    assert f"{number}  tiny/1.0.0  aborted" in place.done("viewer", "rollouts", "ls")
    watched = place.told("viewer", "rollouts", "watch", number)
    assert (watched.exit_code, "aborted" in watched.stdout) == (1, True)


def test_a_rollout_from_a_file_and_watched_until_it_is_done(place: Place) -> None:
    place.told("releaser", "releases", "propose", "tiny/1.0.0")
    place.done("second", "releases", "approve", "tiny/1.0.0")
    file = place.folder / "rollout.yaml"
    file.write_text("waves: [{percent: 100}]\ndevices: [line3]\nthresholds: {failures: 1}\n")
    number = place.json_of("releaser", "rollouts", "make", "tiny/1.0.0", "--file", file)["id"]
    stands = place.told("viewer", "rollouts", "watch", number, "--limit", "0")
    assert (stands.exit_code, "draft, wave 1 of 1: 1 waiting" in stands.stderr) == (1, True)
    with place.fleet.manager.database.session() as session:
        rollout_row(session, number).course = "done"
    assert "done" in place.done("viewer", "rollouts", "watch", number)


def test_people(place: Place) -> None:
    out = place.folder / "ben.yaml"
    place.done("admin", "token", "add", "ben", "--role", "operator", "--out", out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert place.done("ben", "me").startswith("ben  operator at https://")
    assert "there is a file" in str(place.complaint("admin", "token", "add", "carl", "--role", "viewer", "--out", out))
    place.done("admin", "token", "revoke", "ben")
    assert isinstance(place.complaint("ben", "me"), StrangerError)
    assert "token revoked" in place.done("admin", "audit", "--last", "5")
    assert [one["name"] for one in place.json_of("admin", "token", "ls")["tokens"] if one["revoked_s"]] == ["ben"]


def test_a_token_where_the_folder_is(place: Place) -> None:
    folder = place.fleet.manager.folder.path
    (folder / "fleet.yaml").write_text("name: plant-a\n")
    out = place.folder / "dora.yaml"
    words = ["fleet", "token", "add", "dora", "--role", "admin", "--out", str(out), "--here", str(folder)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "this machine" in place.done("admin", "audit", "--last", "1")


def test_no_way_in(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDGEMILL_FLEET_ACCESS", raising=False)
    alone = CliRunner().invoke(app, ["fleet", "me"])
    assert isinstance(alone.exception, InputError)
    assert "no way into a fleet" in alone.exception.what
    monkeypatch.setenv("EDGEMILL_FLEET_ACCESS", str(place.folder / "viewer.yaml"))
    assert CliRunner().invoke(app, ["fleet", "me"]).exit_code == 0
    (place.folder / "odd.yaml").write_text("url: ftp://x\ntoken: x\n")
    assert "lets nobody in" in str(place.complaint("odd", "me"))


def test_another_server_is_not_believed(place: Place, tmp_path: Path) -> None:
    other = make_fleet(tmp_path / "other")
    told = Access(url="https://127.0.0.1:1", ca=other.manager.authority.pem, token="emf_x")
    write_access(place.folder / "nowhere.yaml", told)
    assert isinstance(place.complaint("nowhere", "me"), LinkError)
    other.clock.now = datetime.now(timezone.utc)
    with serving(other) as url:
        write_access(place.folder / "wrong.yaml", Access(url=url, ca=place.fleet.manager.authority.pem, token="emf_x"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(place.complaint("wrong", "me").got)


@pytest.mark.parametrize("wave", ["", "x%", "10%,soak=1y", "10%,success=much", "10%,more=1"])
def test_waves_that_are_none(wave: str) -> None:
    with pytest.raises(InputError):
        read_wave(wave)


def test_how_long_ago() -> None:
    assert [ago(told, 1_000_000) for told in (None, 1_000_000, 999_000, 990_000, 100_000, 2_000_000)] == [
        "never",
        "0s ago",
        "16m ago",
        "2h ago",
        "10d ago",
        "0s ago",
    ]


def test_a_fleet_is_founded(tmp_path: Path) -> None:
    words = ["fleet", "init", str(tmp_path / "f"), "--name", "plant-a", "--url", "https://fleet.plant-a", "--json"]
    made = json.loads(CliRunner().invoke(app, words).stdout)
    folder = open_folder(tmp_path / "f")
    assert (folder.settings.name, folder.settings.server_names) == ("plant-a", ("fleet.plant-a",))
    assert [Path(file).name for file in made["take_away"]] == ["root.pem", "release.pem"]
    private = [file for file in folder.keys.iterdir() if file.name.endswith(".pem")]
    assert {file.stat().st_mode & 0o777 for file in (*private, Path(made["access"]), folder.path / "fleet.db")} == {
        0o600
    }
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, InputError)
    assert "is a fleet already" in again.exception.what


def test_a_copy_of_a_fleet(place: Place) -> None:
    folder, out = place.fleet.manager.folder.path, place.folder / "copy"
    (folder / "fleet.yaml").write_text("name: plant-a\n")
    made = CliRunner().invoke(app, ["fleet", "backup", str(folder), str(out), "--json"])
    assert json.loads(made.stdout) == {"folder": str(out), "files": 8, "database": True}, made.exception
    assert open_folder(out).settings.name == "plant-a"


def test_what_cannot_be_founded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        found(tmp_path / "f", {"url": "http://fleet"}, datetime.now(timezone.utc))
    assert not (tmp_path / "f").exists()
