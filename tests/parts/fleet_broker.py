"""A real mosquitto with the configuration that the fleet manager writes for it."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from brokers import MOSQUITTO

from edgemill_fleet.broker.mosquitto import CONFIGURATION, Ports
from edgemill_fleet.broker.writing import read_again, write_broker
from edgemill_fleet.settings import FleetFolder
from edgemill_fleet.store.database import open_database

PATIENCE_S = 30.0


def needs_mosquitto() -> None:
    """Skips, loudly, where it is missing."""
    if MOSQUITTO is None:
        pytest.skip("SKIPPED: mosquitto is not installed, so nothing showed what its access list lets through (CI)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def some_ports() -> Ports:
    return Ports(free_port(), free_port(), "127.0.0.1")


@dataclass
class FleetBroker:
    """Of one fleet; ``folder`` is for its files."""

    fleet: FleetFolder
    folder: Path
    ports: Ports = field(default_factory=some_ports)
    process: subprocess.Popen[bytes] | None = None

    @property
    def boxes(self) -> str:
        return f"mqtts://127.0.0.1:{self.ports.boxes}"

    @property
    def intake(self) -> str:
        return f"mqtts://127.0.0.1:{self.ports.intake}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def write(self) -> bool:
        database = open_database(self.fleet.database_url)
        try:
            return write_broker(self.fleet, database, self.folder, self.ports, "root")
        finally:
            database.close()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.write()
        with (self.folder / "log").open("ab") as log:
            command = [MOSQUITTO, "-v", "-c", str(self.folder / CONFIGURATION)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        (self.folder / "pid").write_text(str(self.process.pid))
        until = time.monotonic() + PATIENCE_S
        while self.log.count("Opening ipv4 listen socket") < 2 or not _listens(self.ports.intake):
            assert time.monotonic() < until, self.log
            time.sleep(0.02)

    def read_again(self) -> None:
        """After ``write``; returns once it has."""
        before = self.log.count("Reloading config")
        read_again(self.folder / "pid")
        until = time.monotonic() + PATIENCE_S
        while self.log.count("Reloading config") == before:
            assert time.monotonic() < until, self.log
            time.sleep(0.02)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
