"""``edgemill fleet rollouts …``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill.cli.columns import print_columns, printable
from edgemill.cli.fleet.releases import named
from edgemill.cli.fleet.rest import FleetClient
from edgemill.cli.fleet.times import date, seconds
from edgemill.cli.output import print_json, print_line, progress
from edgemill_core.errors import InputError
from edgemill_core.yaml_lines import read_yaml

_HEAD = ("id", "release", "course", "wave", "took", "asked", "failed", "waiting", "made", "by", "why")
_FAILED = ("refused", "rolled back", "silent")
_OVER = ("aborted", "done", "stopped")


@dataclass(frozen=True)
class Asked:
    """A rollout as the command line says it."""

    release: str
    waves: Sequence[str]
    failures: int
    silent: str
    devices: Sequence[str]
    group: str | None
    tags: Sequence[str]
    windows: Sequence[str]
    file: Path | None


def ls(fleet: FleetClient, course: str | None, json: bool) -> None:
    """The newest first."""
    found = fleet.get("rollouts", course=course, most=1000)
    if json:
        print_json({"rollouts": found})
        return
    print_columns(_HEAD, [_row(one) for one in found], ("id",))


def show(fleet: FleetClient, rollout: int, json: bool) -> None:
    """How one stands, and each of its devices."""
    found = fleet.get("rollouts", rollout)
    members = list(fleet.pages("rollouts", rollout, "devices", by="device", after="after"))
    if json:
        print_json({**found, "devices": members})
        return
    print_columns(_HEAD, [_row(found)], ("id",))
    print_line()
    rows = [
        (one["device"], str(one["wave"] + 1), one["outcome"], date(one["since_s"] or None), one["why"])
        for one in members
    ]
    print_columns(("device", "wave", "outcome", "since", "why"), rows, ("wave",))


def make(fleet: FleetClient, asked: Asked, json: bool) -> None:
    """A draft, for another to approve."""
    _say(fleet.post("rollouts", content=_content(asked)), json)


def turn(fleet: FleetClient, rollout: int, verb: str, json: bool, **told: object) -> None:
    """Approve, pause, resume or abort one."""
    content = {name: value for name, value in told.items() if value} if verb != "approve" else None
    _say(fleet.post("rollouts", rollout, verb, content=content), json)


def watch(
    fleet: FleetClient, rollout: int, limit_s: float | None, json: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Follow one until it is over or stands still; exit code 1 unless it is done."""
    begun, found = time.monotonic(), fleet.get("rollouts", rollout)
    with progress() as tell:
        shown = ""
        while found["course"] not in _OVER:
            line = _line(found)
            if line != shown:
                tell(line)
                shown = line
            if limit_s is not None and time.monotonic() - begun > limit_s:
                break
            sleep(1.0)
            found = fleet.get("rollouts", rollout)
    _say(found, json)
    if found["course"] != "done":
        sys.exit(1)


def read_wave(written: str) -> dict[str, Any]:
    """Of ``10%,success=0.9,soak=30m`` or ``group=soldering``.

    Raises:
        InputError: it is none.
    """
    first, *more = written.split(",")
    wave: dict[str, Any] = {}
    try:
        if first.startswith("group="):
            wave["group"] = first.removeprefix("group=")
        else:
            wave["percent"] = float(first.removesuffix("%"))
        for one in more:
            name, _, value = one.partition("=")
            wave |= {"success": float(value)} if name == "success" else {"soak_s": _soak(name, value)}
    except ValueError as error:
        raise InputError(
            f"{written[:80]} is no wave",
            expected="10% or group=NAME, and behind it ,success=0.9 and ,soak=30m",
            got=str(error)[:100],
            fix="say for example --wave 10%,soak=1h --wave 100%",
        ) from error
    return wave


def _soak(name: str, value: str) -> float:
    if name != "soak":
        raise ValueError(f"{name!r}, and only success and soak are known")
    return seconds(value)


def _content(asked: Asked) -> dict[str, Any]:
    name, version = named(asked.release)
    if asked.file is not None:
        told, _ = read_yaml(asked.file, "rollout", InputError)
        return {"name": name, "version": version, **told}
    content: dict[str, Any] = {
        "name": name,
        "version": version,
        "waves": [read_wave(one) for one in asked.waves or ["100%"]],
        "thresholds": {"failures": asked.failures, "silent_s": seconds(asked.silent)},
        "windows": [_window(one) for one in asked.windows],
        "tags": list(asked.tags),
    }
    if asked.devices:
        content["devices"] = list(asked.devices)
    if asked.group is not None:
        content["group"] = asked.group
    return content


def _window(written: str) -> dict[str, Any]:
    """Of ``22:00-04:00@Europe/Berlin``."""
    times, _, zone = written.partition("@")
    begin, _, end = times.partition("-")
    return {"begin": begin, "end": end, **({"zone": zone} if zone else {})}


def _say(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    print_columns(_HEAD, [_row(found)], ("id",))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    release, wave = f"{one['name']}/{one['version']}", f"{one['wave'] + 1} of {len(one['waves'])}"
    counts = (str(_count(one, names)) for names in (("took",), ("asked",), _FAILED, ("waiting",)))
    return (
        str(one["id"]),
        release,
        one["course"],
        wave,
        *counts,
        date(one["made_s"]),
        one["made_by"],
        one["why"] or "-",
    )


def _line(one: dict[str, Any]) -> str:
    wave = one["outcomes"][one["wave"]]
    told = ", ".join(f"{many} {outcome}" for outcome, many in sorted(wave.items()))
    return printable(f"{one['course']}, wave {one['wave'] + 1} of {len(one['waves'])}: {told}")


def _count(one: dict[str, Any], outcomes: Sequence[str]) -> int:
    return sum(wave.get(outcome, 0) for wave in one["outcomes"] for outcome in outcomes)
