"""``health.json`` in the state folder: what the agent last said of itself, for those who come and look."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill_agent.clock import Clock
from edgemill_core.errors import InputError

NAME = "health.json"
STALE_S = 60.0
"""An agent that runs and has not written it for longer hangs."""


def write_status(state: Path, told: Mapping[str, Any]) -> None:
    """Replace it; not made durable, because after a power cut it is of no interest.

    Raises:
        OSError: it cannot be written.
    """
    clock = Clock()
    whose = {"boot": clock.boot, "pid": os.getpid(), "started": _started(os.getpid())}
    when = {"utc": clock.utc_ns() / 1e9, "monotonic": clock.monotonic_ns() / 1e9}
    beside = state / f".{NAME}.new"
    beside.write_text(json.dumps({"agent": whose, "written": when, **told}, indent=1, ensure_ascii=False), "utf-8")
    os.replace(beside, state / NAME)


@dataclass(frozen=True)
class Status:
    """What is known of an agent from outside.

    Attributes:
        told: what it last said; empty if it never said anything.
        runs: the process that said so is there.
        age_s: seconds since then; ``None`` if it was in another boot, or never.
    """

    told: Mapping[str, Any]
    runs: bool
    age_s: float | None

    @property
    def hangs(self) -> bool:
        """It is there and says nothing."""
        return self.runs and (self.age_s is None or self.age_s > STALE_S)


def read_status(state: Path) -> Status:
    """What there is in ``state``.

    Raises:
        InputError: there is no such folder, or what lies there is not what an agent writes.
    """
    if not state.is_dir():
        raise InputError(
            f"{state} is no state folder",
            expected="the folder that stands under `state:` in agent.yaml",
            got="a file" if state.exists() else "nothing there",
            fix="name that folder",
        )
    try:
        told = json.loads((state / NAME).read_text(encoding="utf-8"))
        whose, when = told["agent"], told["written"]
        here = whose["boot"] == Clock().boot
        runs = here and _started(int(whose["pid"])) == whose["started"]
        return Status(told, runs, Clock().monotonic_ns() / 1e9 - float(when["monotonic"]) if here else None)
    except FileNotFoundError:
        return Status({}, False, None)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{state / NAME} cannot be read",
            expected="what an agent of this version writes",
            got=f"{type(error).__name__}: {error}",
            fix="read it as the user who runs the agent; else remove the file, the agent writes it anew",
        ) from error


def _started(pid: int) -> str:
    """When a process was started, in clock ticks since the boot (proc(5)); empty if there is none, or a dead one."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] in "ZX" else after_name[19]
