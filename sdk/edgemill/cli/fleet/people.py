"""``edgemill fleet token … | audit``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edgemill.cli.columns import print_columns
from edgemill.cli.fleet.rest import FleetClient, open_fleet
from edgemill.cli.fleet.times import date
from edgemill.cli.output import print_json, print_line
from edgemill_core.errors import InputError
from edgemill_fleet.access_file import Access, write_access
from edgemill_fleet.founding import add_person
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.roles import Role
from edgemill_fleet.settings import open_folder


def add(access: Path | None, here: Path | None, name: str, role: str, out: Path, json: bool) -> None:
    """A token, in an access file; by an admin's own, or where the fleet's folder is."""
    if out.exists():
        raise InputError(f"there is a file at {out}", expected="a new one", got=str(out), fix="name another with --out")
    if here is not None:
        made = add_person(open_folder(here), Authority.open(here), name, Role(role), datetime.now(timezone.utc))
    else:
        fleet = open_fleet(access)
        told = fleet.post("tokens", content={"name": name, "role": role})
        made = Access(url=fleet.url, ca=fleet.ca, token=told["token"])
    write_access(out, made)
    if json:
        print_json({"name": name, "role": role, "access": str(out)})
        return
    print_line(f"{name}  {role}: {out} lets them in; hand it over, and keep no copy")


def ls(fleet: FleetClient, json: bool) -> None:
    """Who can get in."""
    found = fleet.get("tokens")
    if json:
        print_json({"tokens": found})
        return
    print_columns(("name", "role", "revoked"), [(one["name"], one["role"], date(one["revoked_s"])) for one in found])


def revoke(fleet: FleetClient, name: str) -> None:
    """Nobody gets in by it any more."""
    fleet.delete("tokens", name)
    print_line(f"{name}  revoked")


def me(fleet: FleetClient, json: bool) -> None:
    """Who asks."""
    found = fleet.get("me")
    if json:
        print_json({**found, "fleet": fleet.url})
        return
    print_line(f"{found['name']}  {found['role']} at {fleet.url}")


def audit(fleet: FleetClient, most: int, json: bool) -> None:
    """Who did what, the newest first."""
    found = fleet.get("audit", most=most)
    if json:
        print_json({"audit": found})
        return
    rows = [
        (date(one["at_s"]), one["who"], one["what"], " ".join(f"{name}={value}" for name, value in one["told"].items()))
        for one in found
    ]
    print_columns(("when", "who", "what", "told"), rows)
