"""``edgemill fleet init | serve | backup``."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

from edgemill.cli.columns import printable
from edgemill.cli.output import print_json, print_line
from edgemill_core.errors import SettingsError
from edgemill_fleet.backup import back_up
from edgemill_fleet.founding import found
from edgemill_fleet.serving.serve import Serving, serve
from edgemill_fleet.settings import FleetFolder, ManagerSettings, open_folder


def init(folder: Path, settings: dict[str, object], releases: bool, json: bool) -> None:
    """A new fleet."""
    made = found(
        folder, {name: value for name, value in settings.items() if value}, datetime.now(timezone.utc), releases
    )
    if json:
        print_json(
            {
                "folder": str(folder),
                "url": made.folder.settings.url,
                "access": str(made.access),
                "take_away": [str(file) for file in made.take_away],
            }
        )
        return
    print_line(f"fleet    {folder}  ({made.folder.settings.url})")
    print_line(f"access   {made.access}  (of the first admin: export EDGEMILL_FLEET_ACCESS={made.access})")
    for file in made.take_away:
        print_line(f"take away  {file}: this server needs no more than {file.name.removesuffix('.pem')}.key.json")


def run(path: Path, listen: str | None, json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    serve(_folder(path, listen), over, _tell, lambda serving: _ready(serving, json))


def backup(path: Path, out: Path, json: bool) -> None:
    """A copy that can take the fleet's place."""
    made = back_up(open_folder(path), out)
    if json:
        print_json({"folder": str(made.folder), "files": made.files, "database": made.database})
        return
    print_line(f"{made.folder}  {made.files} files, the fleet's keys among them: whoever has it is the fleet")
    if not made.database:
        print_line("  the database is not among them: copy it with pg_dump")


def _folder(path: Path, listen: str | None) -> FleetFolder:
    folder = open_folder(path)
    if listen is None:
        return folder
    changed = {**folder.settings.model_dump(), "listen": listen}
    try:
        return FleetFolder(path, ManagerSettings.model_validate(changed))
    except ValueError as error:
        raise SettingsError(
            f"nothing can listen at {listen[:80]}", expected="ADDRESS:PORT", got=listen[:80], fix="say 0.0.0.0:8443"
        ) from error


def _ready(serving: Serving, json: bool) -> None:
    if json:
        told = {"url": serving.url, "broker": serving.broker, "embedded_broker": serving.embedded}
        print_json({**told, "pids": dict(serving.pids)})
        return
    print_line(f"the fleet answers at {serving.url}; telemetry comes by {serving.broker}; Ctrl-C ends it")
    sys.stdout.flush()


def _tell(said: str) -> None:
    sys.stderr.write(f"{printable(said)}\n")
    sys.stderr.flush()
