"""``edgemill agent``: the daemon on the box."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from edgemill.cli.output import print_json, print_line
from edgemill_agent.line.line import run_agent
from edgemill_agent.logs.writer import agent_log
from edgemill_agent.service_unit import NAME, Service, unit_text
from edgemill_agent.settings import AgentSettings, read_settings
from edgemill_agent.updating.starting import count_start
from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError


def run(settings: Path, json: bool, log: str) -> None:
    """Run until every source has ended or a signal says stop, then give the account."""
    count_start(read_settings(settings, "names"))
    found = read_settings(settings)
    with agent_log(log, found.device.id, _secrets(found)):
        again = partial(read_settings, settings, "trial")
        account = run_agent(partial(read_settings, settings), read_again=again, file=settings)
    if json:
        print_json(account)
        return
    for name, station in account["stations"].items():
        print_line(_station(name, station))
    ledger = account["ledger"]
    print_line(f"ledger: {ledger['position']} records, {ledger['acknowledged']} of them acknowledged")


def _secrets(settings: AgentSettings) -> list[str]:
    """What must not be read in the log."""
    ends = [end for station in settings.stations for end in (station.trigger, *station.outputs) if end is not None]
    found = []
    for broker in (settings.mqtt, *(end.mqtt for end in ends)):
        if broker is not None and broker.password_file is not None:
            with suppress(OSError, ValueError):  # who connects says that it cannot be read
                found.append(broker.password_file.read_text(encoding="utf-8").strip())
    return [secret for secret in found if secret]


SYSTEM = Path("/etc/systemd/system")


def install(settings: Path, user: str | None, folder: Path | None) -> None:
    """Write the unit, and say what makes it run; nothing is started.

    Args:
        settings: ``agent.yaml``; it is read, so that a mistake is found now and not at night.
        user: who runs it, for a service of the system; ``None`` for one of the user's own.
        folder: where the unit goes, if not where systemd looks.
    """
    found = read_settings(settings)
    if user is not None:
        _check_user(user)
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    place = (folder or (SYSTEM if user else own)) / NAME
    command = [sys.executable, "-m", "edgemill", "agent", "run", "--log", "json"]
    groups = frozenset(group.gr_name for group in grp.getgrall())
    service = Service(command, settings.resolve(), found.state, found.drain_s, user, groups)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, unit_text(service).encode())
    except OSError as error:
        raise InputError(
            f"the unit cannot be written to {place}",
            expected="a folder that this user may write to",
            got=str(error),
            fix="say it as root with --user NAME, or name another folder with --out",
        ) from error
    whose = "" if user else " --user"
    print_line(f"wrote {place}; to start it now and at every boot:")
    if user and not _is_of(found.state, user):
        print_line(f"  install --directory --owner {user} {shlex.quote(str(found.state))}    # what it may write to")
    print_line(f"  systemctl{whose} daemon-reload && systemctl{whose} enable --now {NAME}")
    if not user:
        print_line("  loginctl enable-linger    # so that it runs while nobody is logged in")


def _is_of(folder: Path, user: str) -> bool:
    return folder.is_dir() and folder.stat().st_uid == pwd.getpwnam(user).pw_uid


def _check_user(user: str) -> None:
    try:
        identity = pwd.getpwnam(user).pw_uid
    except KeyError:
        identity = None
    if not identity:
        raise InputError(
            f"the agent cannot run as {user}",
            expected="an ordinary user of this machine",
            got="root" if identity == 0 else "no such user",
            fix="name another with --user, or make one: useradd --system edgemill",
        )


def _station(name: str, found: dict[str, Any]) -> str:
    decisions = ", ".join(f"{count} {decision}" for decision, count in sorted(found["decisions"].items()))
    took = f"; p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms" if found["p50"] is not None else ""
    return f"{name}: {found['verdicts']} verdicts ({decisions or 'none'}), {found['late']} late{took}"
