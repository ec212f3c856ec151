"""``edgemill agent status``: whether the agent runs, how it is, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgemill.cli.output import print_json, print_line
from edgemill_agent.status_file import Status, read_status

_HEALTHY, _ALARM, _NOT_RUNNING = 0, 1, 3


def run(state: Path, json: bool) -> None:
    """Print it. Ends with 0 if all is well or a warning, 1 if there is an alarm or the agent hangs, 3 if none runs."""
    status = read_status(state)
    if json:
        how = "hangs" if status.hangs else "runs" if status.runs else "does not run"
        print_json({"agent": how, "age_s": _rounded(status.age_s), "told": dict(status.told)})
    else:
        for line in _lines(status):
            print_line(line)
    sys.exit(_exit_code(status))


def _exit_code(status: Status) -> int:
    if not status.runs:
        return _NOT_RUNNING
    alarm = any(one["state"] == "alarm" for one in status.told["health"])
    return _ALARM if alarm or status.hangs else _HEALTHY


def _lines(status: Status) -> Iterator[str]:
    told = status.told
    if not told:
        yield "no agent runs here, and none has said anything yet (the first time is some seconds after its start)"
        return
    when = _when(told["written"]["utc"])
    if not status.runs:
        yield f"the agent of {told['device']} does not run; this is what it said at {when}"
    elif status.hangs:
        yield f"the agent of {told['device']} HANGS: process {told['agent']['pid']} has said nothing since {when}"
    else:
        yield f"the agent of {told['device']} runs; it said so {status.age_s or 0:.0f} s ago"
    processes = (f"{name} {pid or 'ended'}" for name, pid in told["processes"].items())
    yield f"  processes   {', '.join(processes)}"
    for name, found in told["stations"].items():
        yield f"  {name}: {_station(found)}"
    for name, found in told.get("releases", {}).items():
        yield f"  {name}: {_release(found)}"
    yield from _health(told["health"])


def _station(found: Mapping[str, Any]) -> str:
    took = f", p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms" if found["p50"] is not None else ""
    return f"{found['verdicts']} verdicts, {found['late']} late, {found['safe']} without an engine{took}"


def _release(found: Mapping[str, Any]) -> str:
    if "trouble" in found:
        return str(found["trouble"])
    slots = [f"{slot} {one['version']}" for slot in ("active", "trial", "previous") if (one := found[slot]) is not None]
    said, last = ", ".join(slots) or "nothing is installed", found["update"]
    if last is None:
        return said
    why = f": {last['why']}" if last["why"] else ""
    return f"{said}; {last['version']} {last['state']}{why}"


def _health(found: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        where = f"{one['check']} of {one['station']}" if one["station"] else one["check"]
        mended = f", mended {one['mended']} times" if one["mended"] else ""
        since = f", since {_when(one['since'])}" if one["state"] != "ok" and one["since"] else ""
        yield f"  {one['state']:<8} {where}: {one['what'] or 'not looked at yet'}{since}{mended}"
        if one["to_do"]:
            yield f"           to do: {one['to_do']}"


def _when(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
