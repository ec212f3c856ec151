"""``edgemill fleet releases ls | propose | approve``."""

from __future__ import annotations

from typing import Any

from edgemill.cli.columns import print_columns
from edgemill.cli.fleet.rest import FleetClient
from edgemill.cli.output import print_json
from edgemill_core.errors import InputError

_HEAD = ("name", "version", "manifest", "MB", "state", "proposed by", "approved by")


def ls(fleet: FleetClient, json: bool) -> None:
    """What is listed, and who stands behind it."""
    found = fleet.get("releases")
    if json:
        print_json({"releases": found})
        return
    print_columns(_HEAD, [_row(one) for one in found], ("MB",))


def propose(fleet: FleetClient, release: str, json: bool) -> None:
    """Say that it should go to boxes."""
    name, version = named(release)
    _say(fleet.post("releases", content={"name": name, "version": version}), json)


def approve(fleet: FleetClient, release: str, json: bool) -> None:
    """Approve what another proposed."""
    _say(fleet.post("releases", *named(release), "approve"), json)


def named(release: str) -> tuple[str, str]:
    """Name and version.

    Raises:
        InputError: it is not ``NAME/VERSION``.
    """
    name, _, version = release.partition("/")
    if not name or not version or "/" in version:
        raise InputError(
            f"{release[:80]} names no release",
            expected="NAME/VERSION",
            got=repr(release)[:80],
            fix="say for example pcb-inspector/1.4.1",
        )
    return name, version


def _say(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    print_columns(_HEAD, [_row(found)], ("MB",))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    size = f"{one['bytes'] / 1e6:.2f}" if one["bytes"] is not None else "-"
    by = (one["proposed_by"] or "-", one["approved_by"] or "-")
    return (one["name"], one["version"], one["manifest"][:12], size, one["state"], *by)
