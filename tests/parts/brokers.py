"""Real brokers that a test may kill: the embedded one, and mosquitto where that is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol

import pytest

from edgemill_link.embedded_broker import EmbeddedBroker

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


class Broker(Protocol):
    """What a test needs of a broker."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


class Mosquitto:
    """Debian's mosquitto with its default limits, on a free port of 127.0.0.1; ``more`` goes into its configuration."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true", scheme: str = "mqtt") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._scheme = scheme
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{more}\n")
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert MOSQUITTO is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=log, stderr=log)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                assert time.monotonic() < until, self._log.read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()


def best_broker(folder: Path) -> Broker:
    """Mosquitto where it is installed, else the embedded one; not yet started."""
    return Mosquitto(folder) if MOSQUITTO is not None else EmbeddedBroker()


def broker_called(name: str, folder: Path) -> Broker:
    """The broker, not yet started; skips, loudly, where mosquitto is missing."""
    if name == "embedded":
        return EmbeddedBroker()
    if MOSQUITTO is None:
        pytest.skip("SKIPPED: mosquitto is not installed, so nothing showed that delivery survives it (CI runs this)")
    return Mosquitto(folder)
