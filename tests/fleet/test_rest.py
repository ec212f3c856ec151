"""Releases by two people, rollouts as they stand, the folder of releases as files, and refusals."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fleet_folder import BoxKey, Fleet, make_fleet
from release_keys import path_of, target

from edgemill_fleet.intake.messages import read_message
from edgemill_fleet.intake.taking import take_messages
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.settings import Readers
from edgemill_link import topics
from edgemill_link.enrolment import read_code
from edgemill_link.messages import MessageError

WAVES = [{"percent": 50}, {"percent": 100, "soak_s": 60}]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path / "fleet")


def let_in(fleet: Fleet, device: str, **more: Any) -> str:
    code = fleet.done("operator", "POST", "/v1/enrolments", {"device": device, **more})["code"]
    body = {"secret": read_code(code).secret, "device": device, "csr": BoxKey().csr()}
    return str(fleet.done("", "POST", "/v1/enrol", body)["certificate"])


def approve_tiny(fleet: Fleet) -> None:
    fleet.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    fleet.done("second", "POST", "/v1/releases/tiny/1.0.0/approve")


def make_rollout(fleet: Fleet, **more: Any) -> dict[str, Any]:
    body = {"name": "tiny", "version": "1.0.0", "waves": WAVES, **more}
    made: dict[str, Any] = fleet.done("releaser", "POST", "/v1/rollouts", body)
    return made


def test_no_device_keeps_the_list_from_being_told_by_what_it_says_of_itself(fleet: Fleet) -> None:
    """JSON that is nested deeper than what writes the answer can follow."""
    let_in(fleet, "line3")
    for deep, taken in ((31, True), (32, False), (300, False)):
        payload = b'{"deep": ' + b"[" * deep + b"]" * deep + b"}"
        with nullcontext() if taken else pytest.raises(MessageError, match="nested deeper"):
            take_messages(fleet.manager.database, [read_message(topics.facts("line3"), payload)], 0.0)
        assert fleet.ask("viewer", "GET", "/v1/devices").status == 200


# --- releases ---


def test_a_release_takes_two_people(fleet: Fleet) -> None:
    assert fleet.done("viewer", "GET", "/v1/releases")[0]["state"] == "listed"
    fleet.refused(404, "second", "POST", "/v1/releases/tiny/1.0.0/approve")
    fleet.refused(404, "releaser", "POST", "/v1/releases", {"name": "tiny", "version": "9.9.9"})
    fleet.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    assert (
        fleet.done("second", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})["proposed_by"] == "releaser"
    )
    told = fleet.refused(403, "releaser", "POST", "/v1/releases/tiny/1.0.0/approve")
    assert told["expected"] == "another person to approve it"
    said = fleet.done("second", "POST", "/v1/releases/tiny/1.0.0/approve")
    assert (said["state"], said["proposed_by"], said["approved_by"]) == ("approved", "releaser", "second")
    assert fleet.done("admin", "POST", "/v1/releases/tiny/1.0.0/approve")["approved_by"] == "second"


def test_one_person_where_the_settings_say_so(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", second_person=False)
    fleet.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    fleet.done("releaser", "POST", "/v1/releases/tiny/1.0.0/approve")
    let_in(fleet, "line3")
    made = make_rollout(fleet)
    assert fleet.done("releaser", "POST", f"/v1/rollouts/{made['id']}/approve")["course"] == "running"


def test_what_was_approved_is_one_content(fleet: Fleet) -> None:
    """The list says another manifest of the same name: nobody approved that one."""
    approve_tiny(fleet)
    let_in(fleet, "line3")
    repository = Repository(fleet.manager.folder.releases, fleet.clock.now)
    repository.change_releases({path_of("1.0.0"): target("1.0.0", b"other")}, [], fleet.keys.all)
    assert fleet.done("viewer", "GET", "/v1/releases")[0]["state"] == "listed"
    fleet.refused(409, "releaser", "POST", "/v1/rollouts", {"name": "tiny", "version": "1.0.0", "waves": WAVES})
    fleet.refused(404, "second", "POST", "/v1/releases/tiny/1.0.0/approve")


def test_a_release_that_was_withdrawn(fleet: Fleet) -> None:
    approve_tiny(fleet)
    let_in(fleet, "line3")
    made = make_rollout(fleet)
    Repository(fleet.manager.folder.releases, fleet.clock.now).change_releases({}, [path_of("1.0.0")], fleet.keys.all)
    assert fleet.done("viewer", "GET", "/v1/releases")[0]["state"] == "withdrawn"
    fleet.refused(404, "second", "POST", f"/v1/rollouts/{made['id']}/approve")


# --- rollouts ---


def test_a_rollout_takes_an_approved_release_and_two_people(fleet: Fleet) -> None:
    body = {"name": "tiny", "version": "1.0.0", "waves": WAVES}
    let_in(fleet, "line3")
    fleet.refused(409, "releaser", "POST", "/v1/rollouts", body)
    fleet.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    fleet.refused(409, "releaser", "POST", "/v1/rollouts", body)
    fleet.done("second", "POST", "/v1/releases/tiny/1.0.0/approve")
    made = make_rollout(fleet)
    assert (made["course"], made["outcomes"]) == ("draft", [{"waiting": 1}, {}])
    fleet.refused(403, "releaser", "POST", f"/v1/rollouts/{made['id']}/approve")
    assert fleet.done("second", "POST", f"/v1/rollouts/{made['id']}/approve")["course"] == "running"
    fleet.refused(409, "second", "POST", f"/v1/rollouts/{made['id']}/approve")
    fleet.refused(404, "second", "POST", "/v1/rollouts/77/approve")


def test_pause_resume_abort(fleet: Fleet) -> None:
    approve_tiny(fleet)
    let_in(fleet, "line3")
    where = f"/v1/rollouts/{make_rollout(fleet)['id']}"
    fleet.refused(409, "operator", "POST", f"{where}/pause")
    fleet.done("second", "POST", f"{where}/approve")
    paused = fleet.done("operator", "POST", f"{where}/pause", {"why": "the line is cleaned"})
    assert (paused["course"], paused["why"]) == ("paused", "paused by operator: the line is cleaned")
    fleet.refused(409, "operator", "POST", f"{where}/pause")
    assert fleet.done("operator", "POST", f"{where}/resume", {"again": True})["course"] == "running"
    assert fleet.done("operator", "POST", f"{where}/abort", {"back": True})["course"] == "aborted"
    fleet.refused(409, "operator", "POST", f"{where}/resume")
    assert fleet.done("viewer", "GET", "/v1/rollouts?course=aborted")[0]["course"] == "aborted"
    assert fleet.done("viewer", "GET", "/v1/rollouts?course=running") == []


def test_who_is_in_a_rollout(fleet: Fleet) -> None:
    approve_tiny(fleet)
    for device, group in (("line1", "a"), ("line2", "b"), ("line3", "b"), ("line4", "b")):
        let_in(fleet, device, group=group, tags=["new"] if device == "line2" else [])
    fleet.done("admin", "POST", "/v1/devices/line4/revoke")

    def waves(**more: Any) -> list[tuple[str, int]]:
        where = f"/v1/rollouts/{make_rollout(fleet, **more)['id']}/devices"
        return [(one["device"], one["wave"]) for one in fleet.done("viewer", "GET", where)]

    assert waves() == [("line1", 0), ("line2", 0), ("line3", 1)]
    assert waves(group="b") == [("line2", 0), ("line3", 1)]
    assert waves(group="b", tags=["new"]) == [("line2", 0)]
    assert waves(devices=["line3", "line1", "line4"]) == [("line1", 1), ("line3", 0)]
    assert waves(waves=[{"group": "b"}]) == [("line2", 0), ("line3", 0)]
    body = {"name": "tiny", "version": "1.0.0", "waves": WAVES}
    fleet.refused(404, "releaser", "POST", "/v1/rollouts", {**body, "devices": ["line9"]})
    fleet.refused(400, "releaser", "POST", "/v1/rollouts", {**body, "group": "nobody's"})


@pytest.mark.parametrize(
    "changes",
    [
        {"waves": []},
        {"waves": [{"percent": 0}]},
        {"waves": [{"percent": 10, "more": 1}]},
        {"waves": [{"percent": 10, "soak_s": float("inf")}]},
        {"thresholds": {"silent_s": float("inf")}},
        {"windows": [{"begin": "22:00", "end": "04:00", "zone": "Nowhere/Here"}]},
        {"name": "../tiny"},
        {"devices": ["a b"]},
    ],
)
def test_rollouts_that_cannot_be(fleet: Fleet, changes: dict[str, Any]) -> None:
    fleet.refused(
        422, "releaser", "POST", "/v1/rollouts", {"name": "tiny", "version": "1.0.0", "waves": WAVES, **changes}
    )


# --- devices ---


def test_where_a_box_belongs(fleet: Fleet) -> None:
    let_in(fleet, "line3", group="a", site="plant")
    changed = fleet.done("operator", "PATCH", "/v1/devices/line3", {"group": "b", "tags": ["x"]})
    assert (changed["group"], changed["site"], changed["tags"]) == ("b", "plant", ["x"])
    assert [one["id"] for one in fleet.done("viewer", "GET", "/v1/devices?group=b")] == ["line3"]
    assert fleet.done("viewer", "GET", "/v1/devices?group=a") == []
    fleet.refused(404, "operator", "PATCH", "/v1/devices/line4", {})
    fleet.refused(422, "operator", "PATCH", "/v1/devices/line3", {"group": "a\nb"})
    fleet.refused(422, "viewer", "GET", "/v1/devices/a%20b")


def test_devices_page_by_page(fleet: Fleet) -> None:
    for device in ("c", "a", "b"):
        let_in(fleet, device)
    first = fleet.done("viewer", "GET", "/v1/devices?most=2")
    rest = fleet.done("viewer", "GET", f"/v1/devices?most=2&after={first[-1]['id']}")
    assert [one["id"] for one in (*first, *rest)] == ["a", "b", "c"]


# --- the folder of releases ---


def test_files_by_range_and_for_how_long(fleet: Fleet) -> None:
    folder = fleet.manager.folder.releases
    whole = (folder / "metadata" / "timestamp.json").read_bytes()
    answer = fleet.ask("viewer", "GET", "/releases/metadata/timestamp.json", range="bytes=10-")
    assert (answer.status, answer.headers["content-range"]) == (206, f"bytes 10-{len(whole) - 1}/{len(whole)}")
    assert answer.headers["cache-control"] == "no-cache"
    root = fleet.ask("viewer", "GET", "/releases/metadata/1.root.json")
    assert "immutable" in root.headers["cache-control"]
    again = fleet.ask("viewer", "GET", "/releases/metadata/1.root.json", **{"if-none-match": root.headers["etag"]})
    assert again.status == 304
    assert fleet.ask("viewer", "GET", "/releases/metadata/2.root.json").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "../fleet.yaml",
        "%2e%2e/keys/ca.key.pem",
        "metadata/../../ca.pem",
        ".hidden",
        "metadata/.new.abc",
        "other/x",
        "",
        "blobs",
    ],
)
def test_nothing_else_is_given_out(fleet: Fleet, path: str) -> None:
    folder = fleet.manager.folder.releases
    for name in (".hidden", "metadata/.new.abc", "other/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"secret")
    (folder / "metadata" / "out.json").symlink_to(folder.parent / "keys")
    assert fleet.ask("admin", "GET", f"/releases/{path}").status == 404


def test_a_link_out_of_the_folder_is_not_followed(fleet: Fleet) -> None:
    link = fleet.manager.folder.releases / "metadata" / "link.json"
    link.symlink_to(fleet.manager.folder.path / "ca.pem")
    assert fleet.ask("admin", "GET", "/releases/metadata/link.json").status == 404


def test_who_reads_releases(fleet: Fleet, tmp_path: Path) -> None:
    where = "/releases/metadata/timestamp.json"
    assert fleet.refused(401, "", "GET", where)["got"] == "neither"
    fleet.refused(401, "emf_nobody", "GET", where)
    assert fleet.ask("viewer", "GET", where).status == 200
    assert fleet.ask(f"box:{let_in(fleet, 'line3')}", "GET", where).status == 200
    fleet.refused(401, f"box:{let_in(make_fleet(tmp_path / 'other'), 'line3')}", "GET", where)
    everybody = make_fleet(tmp_path / "everybody", releases=Readers.ALL)
    assert everybody.ask("", "GET", where).status == 200


def test_a_box_reads_its_own_plan_alone(fleet: Fleet) -> None:
    plans = fleet.manager.folder.releases / "plans"
    plans.mkdir()
    for device in ("line3", "line4"):
        (plans / f"{device}.json").write_text("{}")
    box = f"box:{let_in(fleet, 'line3')}"
    own = fleet.ask(box, "GET", "/releases/plans/line3.json")
    assert (own.status, own.headers["cache-control"]) == (200, "no-cache")
    fleet.refused(403, box, "GET", "/releases/plans/line4.json")
    fleet.refused(403, box, "GET", "/releases/plans/x/../line4.json")
    assert fleet.ask("viewer", "GET", "/releases/plans/line4.json").status == 200


# --- health and refusals ---


def test_health_and_figures(fleet: Fleet) -> None:
    let_in(fleet, "line3")
    assert fleet.done("", "GET", "/health") == {"database": "good", "leases": {}}
    figures = fleet.ask("viewer", "GET", "/metrics").said
    assert 'edgemill_fleet_devices{online="false",standing="enrolled"} 1.0' in figures
    assert "edgemill_fleet_records 0.0" in figures


def test_a_database_that_is_gone(fleet: Fleet) -> None:
    database = fleet.manager.folder.path / "fleet.db"
    fleet.manager.database.close()
    for file in database.parent.glob("fleet.db*"):
        file.unlink()
    database.mkdir()
    told = fleet.ask("", "GET", "/health")
    assert (told.status, told.said["error"], told.headers["retry-after"]) == (503, "StoreError", "5")


@pytest.mark.parametrize(
    ("status", "method", "path", "content"),
    [
        (404, "GET", "/v1/nothing", None),
        (405, "PUT", "/v1/devices", None),
        (422, "POST", "/v1/enrolments", b"{"),
        (400, "POST", "/v1/enrolments", b"[" * 50_000),
        (422, "POST", "/v1/enrolments", b'{"device": "\\ud800"}'),
        (422, "GET", "/v1/rollouts/99999999999999999999", None),
        (422, "GET", "/v1/devices?most=0", None),
    ],
)
def test_what_is_no_request(fleet: Fleet, status: int, method: str, path: str, content: Any) -> None:
    fleet.refused(status, "admin", method, path, content)
