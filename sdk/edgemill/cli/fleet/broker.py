"""``edgemill fleet broker-config``: the files of a mosquitto, and what the fleet's settings have to say of it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from edgemill.cli.output import print_json, print_line
from edgemill_fleet.broker.mosquitto import CONFIGURATION, FILES, Ports
from edgemill_fleet.broker.writing import read_again, write_broker
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.serving.serve import refresh
from edgemill_fleet.settings import FleetFolder, open_folder
from edgemill_fleet.store.database import open_database
from edgemill_fleet.store.migrations import upgrade

DEBIANS = "mosquitto"


def run(path: Path, out: Path | None, ports: Ports, user: str | None, pid_file: Path | None, json: bool) -> None:
    """Write what the broker reads, as things stand now.

    Args:
        path: the fleet's folder.
        out: folder of the broker's files; ``broker`` in the fleet's if not said.
        user: that the broker runs as; if not said, Debian's where root says this, else whoever does.
        pid_file: of a broker that runs; told to read its files again if one changed.
    """
    folder, place = open_folder(path), out or path / "broker"
    upgrade(folder.database_url)
    if not (path / "crl.pem").exists():  # else `fleet serve` keeps it fresh
        refresh(folder, Authority.open(path), lambda _: None)
    database = open_database(folder.database_url)
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)  # each file in it says for itself who may read it
        changed = write_broker(folder, database, place, ports, user or (DEBIANS if os.geteuid() == 0 else "nobody"))
    finally:
        database.close()
    if changed and pid_file is not None:
        read_again(pid_file)
    if json:
        print_json(
            {"folder": str(place), "files": list(FILES), "changed": changed, "settings": _settings(folder, ports)}
        )
        return
    print_line(f"{place / CONFIGURATION}  {'written' if changed else 'as before'}")
    if folder.settings.mqtt is None:
        print_line(f"to do: put into {path / 'fleet.yaml'}, and start `edgemill fleet serve` again:")
        for line in _settings(folder, ports):
            print_line(f"  {line}")


def _settings(folder: FleetFolder, ports: Ports) -> list[str]:
    """Lines for ``fleet.yaml``, for a broker on this machine."""
    host = urlsplit(folder.settings.url).hostname
    files = "ca: ca.pem, certificate: keys/intake.pem, key: keys/intake.key.pem"
    intake = f'mqtt: {{url: "mqtts://{ports.intake_at}:{ports.intake}", {files}}}'
    return [intake, f'broker: "mqtts://{host}:{ports.boxes}"']
