"""``edgemill fleet devices … | enrol | codes``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgemill.cli.columns import print_columns, printable
from edgemill.cli.fleet.rest import FleetClient
from edgemill.cli.fleet.times import ago, date
from edgemill.cli.output import print_json, print_line

_HEAD = ("device", "group", "site", "standing", "online", "heard", "runs", "wanted")


def ls(fleet: FleetClient, group: str | None, site: str | None, json: bool) -> None:
    """Boxes, by their names."""
    found = list(fleet.pages("devices", by="id", after="after", group=group, site=site))
    if json:
        print_json({"devices": found})
        return
    print_columns(_HEAD, [_row(one) for one in found])


def show(fleet: FleetClient, device: str, json: bool) -> None:
    """One box, with all that it tells of itself."""
    found = fleet.get("devices", device)
    if json:
        print_json(found)
        return
    for name in ("id", "standing", "site", "group"):
        print_line(f"{name:<12} {printable(str(found[name])) or '-'}")
    print_line(f"{'tags':<12} {', '.join(map(printable, found['tags'])) or '-'}")
    print_line(f"{'online':<12} {'yes' if found['online'] else 'no'}, heard {ago(found['heard_s'])}")
    print_line(f"{'enrolled':<12} {date(found['enrolled_s'])}, certificate until {date(found['certificate_until_s'])}")
    print_line(f"{'runs':<12} {_versions(found['runs'])}")
    print_line(f"{'wanted':<12} {_versions(found['wanted'])}")
    for name, value in sorted(found["facts"].items()):
        print_line(f"  {printable(name)}: {printable(str(value))[:200]}")


def change(
    fleet: FleetClient, device: str, site: str | None, group: str | None, tags: Sequence[str] | None, json: bool
) -> None:
    """Say where a box belongs."""
    told = {"site": site, "group": group, "tags": list(tags) if tags else None}
    content = {name: value for name, value in told.items() if value is not None}
    _say(fleet.patch("devices", device, content=content), json)


def revoke(fleet: FleetClient, device: str, json: bool) -> None:
    """Shut a box out."""
    _say(fleet.post("devices", device, "revoke"), json)


def enrol(fleet: FleetClient, content: dict[str, Any], json: bool) -> None:
    """A code that lets one box in."""
    made = fleet.post("enrolments", content=content)
    if json:
        print_json(made)
        return
    print_line(f"code     {made['code']}")
    print_line(f"device   {made['device']}, once, until {date(made['expires_s'])}")
    print_line(f"on the box:  edgemill agent enrol agent.yaml --code '{made['code']}'")


def codes(fleet: FleetClient, end: str | None, json: bool) -> None:
    """Codes that were made; or the end of one."""
    if end is not None:
        fleet.delete("enrolments", end)
    found = fleet.get("enrolments", most=1000)
    if json:
        print_json({"codes": found})
        return
    rows = [(one["id"], one["device"], date(one["expires_s"]), date(one["used_s"])) for one in found]
    print_columns(("id", "device", "expires", "used"), rows)


def _say(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    print_columns(_HEAD, [_row(found)])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    online = "yes" if one["online"] else "no"
    said = (one["id"], one["group"] or "-", one["site"] or "-", one["standing"], online, ago(one["heard_s"]))
    return (*said, _versions(one["runs"]), _versions(one["wanted"]))


def _versions(told: dict[str, str]) -> str:
    return ", ".join(f"{printable(name)}/{printable(version)}" for name, version in sorted(told.items())) or "-"
