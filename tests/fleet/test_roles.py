"""Every route refuses without the right role; and every change is in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_folder import Fleet, make_fleet

from edgemill_fleet.identity.roles import Role
from edgemill_fleet.web.limits import Limits, Rate

ROLES = [role.value for role in Role]
OPEN = {("GET", "/health"), ("GET", "/v1/authority"), ("POST", "/v1/enrol"), ("POST", "/v1/renew")}
"""For everybody: the first says nothing that matters, the others go by the code or key that is shown."""
NEEDED = {
    ("GET", "/v1/devices"): "viewer",
    ("GET", "/v1/devices/{device}"): "viewer",
    ("PATCH", "/v1/devices/{device}"): "operator",
    ("POST", "/v1/devices/{device}/revoke"): "admin",
    ("GET", "/v1/enrolments"): "operator",
    ("POST", "/v1/enrolments"): "operator",
    ("DELETE", "/v1/enrolments/{code}"): "operator",
    ("GET", "/v1/releases"): "viewer",
    ("POST", "/v1/releases"): "releaser",
    ("POST", "/v1/releases/{name}/{version}/approve"): "releaser",
    ("GET", "/v1/rollouts"): "viewer",
    ("POST", "/v1/rollouts"): "releaser",
    ("GET", "/v1/rollouts/{rollout}"): "viewer",
    ("GET", "/v1/rollouts/{rollout}/devices"): "viewer",
    ("POST", "/v1/rollouts/{rollout}/approve"): "releaser",
    ("POST", "/v1/rollouts/{rollout}/pause"): "operator",
    ("POST", "/v1/rollouts/{rollout}/resume"): "operator",
    ("POST", "/v1/rollouts/{rollout}/abort"): "operator",
    ("GET", "/v1/me"): "viewer",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/{name}"): "admin",
    ("GET", "/v1/audit"): "admin",
    ("GET", "/metrics"): "viewer",
}
PARTS = {"device": "line3", "code": "0" * 16, "name": "tiny", "version": "1.0.0", "rollout": "1"}
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v1/devices/{device}"): {},
    ("POST", "/v1/enrolments"): {"device": "line3"},
    ("POST", "/v1/releases"): {"name": "tiny", "version": "1.0.0"},
    ("POST", "/v1/rollouts"): {"name": "tiny", "version": "1.0.0", "waves": [{"percent": 100}]},
    ("POST", "/v1/tokens"): {"name": "carl", "role": "viewer"},
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    patient = Limits(failures=Rate(1000, 1000))
    made = make_fleet(tmp_path_factory.mktemp("place") / "fleet", patient)
    yield made
    made.manager.database.close()


def test_every_route_is_told_of_here(fleet: Fleet) -> None:
    told = {(method.upper(), path) for path, methods in fleet.app.openapi()["paths"].items() for method in methods}
    assert told == OPEN | set(NEEDED)


@pytest.mark.parametrize(("method", "path"), NEEDED, ids=[" ".join(one) for one in NEEDED])
def test_who_may_less_is_refused(fleet: Fleet, method: str, path: str) -> None:
    needed, where = NEEDED[method, path], path.format_map(PARTS)
    body = BODIES.get((method, path))
    assert fleet.ask("", method, where, body).status == 401
    assert fleet.ask("emf_nobody", method, where, body).status == 401
    for role in ROLES:
        answer = fleet.ask(role, method, where, body)
        by_role = answer.status == 403 and answer.said["expected"].startswith("the role")
        assert by_role == (ROLES.index(role) < ROLES.index(needed)), (role, answer)
        assert answer.status < 500
        assert answer.status != 401


def test_a_token_that_was_revoked(fleet: Fleet) -> None:
    made = fleet.done("admin", "POST", "/v1/tokens", {"name": "ben", "role": "operator"})
    assert fleet.done(made["token"], "GET", "/v1/me") == {"name": "ben", "role": "operator"}
    fleet.refused(409, "admin", "POST", "/v1/tokens", {"name": "ben", "role": "viewer"})
    fleet.done("admin", "DELETE", "/v1/tokens/ben")
    fleet.refused(401, made["token"], "GET", "/v1/me")
    fleet.refused(409, "admin", "POST", "/v1/tokens", {"name": "ben", "role": "viewer"})
    fleet.refused(404, "admin", "DELETE", "/v1/tokens/nobody")
    told = {one["name"]: one["revoked_s"] for one in fleet.done("admin", "GET", "/v1/tokens")}
    assert told["ben"] == fleet.clock.now.timestamp()
    assert told["admin"] is None


def test_every_change_is_noted_with_who_made_it(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet")
    fleet.done("operator", "POST", "/v1/enrolments", {"device": "line3"})
    fleet.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    fleet.done("second", "POST", "/v1/releases/tiny/1.0.0/approve")
    fleet.refused(404, "admin", "POST", "/v1/devices/line3/revoke")  # what is refused changes nothing
    rows = fleet.done("admin", "GET", "/v1/audit")
    assert [(row["who"], row["what"]) for row in rows] == [
        ("second", "release approved"),
        ("releaser", "release proposed"),
        ("operator", "enrolment made"),
    ]
    assert rows[0]["told"] == {"name": "tiny", "version": "1.0.0"}
    older = fleet.done("admin", "GET", f"/v1/audit?before={rows[0]['id']}&most=1")
    assert [row["what"] for row in older] == ["release proposed"]
