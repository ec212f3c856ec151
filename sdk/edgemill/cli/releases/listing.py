"""``edgemill release ls``."""

from __future__ import annotations

import sys
from typing import Any

from edgemill.cli.columns import print_columns
from edgemill.cli.output import print_json, print_line
from edgemill_fleet.releases.expiry import Role, State, roles, stopped
from edgemill_fleet.releases.planning import read_plans, unsigned_plans
from edgemill_fleet.releases.publishing import name_of
from edgemill_fleet.releases.repository import WITHDRAWN, Repository
from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.plan import Signed


def run(repository: Repository, json: bool) -> None:
    """Exit code 1 where something has expired, or waits for new keys."""
    standing = repository.standing()
    found, plans = roles(standing, repository.now), read_plans(repository.folder)
    if json:
        left = unsigned_plans(repository.folder, standing.root)
        print_json(
            {
                "repository": str(repository.folder),
                "releases": [_release(standing, path) for path in sorted(standing.releases.targets)],
                "withdrawn": [name_of(path) for path in _withdrawn(standing)],
                "roles": [_role(role) for role in found],
                "plans": [
                    {**told.signed.model_dump(mode="json", exclude={"type"}), "to_sign": device in left}
                    for device, told in plans.items()
                ],
            }
        )
    else:
        _print(standing, found, plans)
    if stopped(found):
        sys.exit(1)


def _release(standing: Standing, path: str) -> dict[str, Any]:
    target = standing.releases.targets[path]
    told = target.unrecognized_fields.get("custom", {})
    name, _, version = name_of(path).partition("/")
    return {"name": name, "version": version, "manifest": target.hashes["sha256"], **told}


def _withdrawn(standing: Standing) -> list[str]:
    return sorted(standing.releases.unrecognized_fields.get(WITHDRAWN, {}))


def _role(role: Role) -> dict[str, Any]:
    expires = role.expires.isoformat() if role.expires is not None else None
    return {
        "name": role.name,
        "state": role.state.value,
        "version": role.version,
        "expires": expires,
        "threshold": role.threshold,
        "keys": list(role.keys),
    }


def _print(standing: Standing, found: list[Role], plans: dict[str, Signed]) -> None:
    releases = [_release(standing, path) for path in sorted(standing.releases.targets)]
    if releases:
        rows = [
            (one["name"], one["version"], one["manifest"][:12], f"{one.get('bytes', 0) / 1e6:.2f}") for one in releases
        ]
        print_columns(("name", "version", "manifest", "MB"), rows, ("MB",))
    else:
        print_line("no releases")
    if gone := _withdrawn(standing):
        print_line(f"withdrawn: {', '.join(name_of(path) for path in gone)}")
    print_line()
    print_columns(("role", "version", "expires", "keys", "state"), [_row(role) for role in found], ("version",))
    if plans:
        print_line()
        print_columns(("device", "plan", "expires", "releases"), [_plan(told) for told in plans.values()], ("plan",))
    for role in found:
        if role.state is not State.GOOD:
            sys.stderr.write(f"{role.name}: {role.state.value}\n  to do:    {_to_do(role)}\n")


def _row(role: Role) -> tuple[str, ...]:
    expires = f"{role.expires:%Y-%m-%d}" if role.expires is not None else "each its own"
    keys = f"{role.threshold} of {', '.join(keyid[:8] for keyid in role.keys)}"
    return role.name, str(role.version or "-"), expires, keys, role.state.value


def _plan(told: Signed) -> tuple[str, ...]:
    plan = told.signed
    names = ", ".join(f"{one.name}/{one.version}" for one in plan.releases)
    return plan.device, str(plan.version), f"{plan.expires:%Y-%m-%d}", names


def _to_do(role: Role) -> str:
    if role.name in ("root", "targets") and role.state is not State.UNSIGNED:
        return "edgemill release rotate REPO --key …, with enough root keys"
    own = " --key RELEASE" if role.name == "releases" else ""
    return f"edgemill release sign REPO --key ONLINE{own}"
