"""An agent on the tiny text model, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgemill_agent.ledger import LedgerView
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Record

PATIENCE_S = 60.0


def wait_until(so: Callable[[], object], what: str) -> None:
    """Wait until ``so()`` is true."""
    until = time.monotonic() + PATIENCE_S
    while not so():
        assert time.monotonic() < until, f"waited {PATIENCE_S:.0f} s in vain for: {what}"
        time.sleep(0.01)


@dataclass
class Box:
    """A folder with ``agent.yaml``, and the agents that were started on it."""

    folder: Path
    settings: dict[str, Any]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def add_pictures(self, times: int = 20) -> None:
        """So many times as many, so that there is time to kill something."""
        pictures = self.folder / "pictures"
        lines = (pictures / "labels.csv").read_text().splitlines()
        more = []
        for turn in range(1, times):
            for line in lines[1:]:
                name, rest = line.split(",", 1)
                os.link(pictures / name, pictures / f"{turn:02d}-{name}")
                more.append(f"{turn:02d}-{name},{rest}")
        (pictures / "labels.csv").write_text("\n".join([*lines, *more]) + "\n")

    def write(self) -> Path:
        path = self.folder / "agent.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return path

    def clear(self) -> None:
        """End what still runs, and see that nothing is left of it."""
        for agent in self.running:
            if agent.poll() is None:
                agent.kill()
            agent.communicate()
        for pid in set(self.processes().values()) - {os.getpid()}:
            wait_until(lambda pid=pid: not alive(pid), f"process {pid} to be gone")

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgemill", "agent", "run", str(self.write()), "--json"]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(agent)
        return agent

    def end(self, agent: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for its end and return its account."""
        out, err = agent.communicate(timeout=PATIENCE_S)
        assert agent.returncode == 0, err
        account: dict[str, Any] = json.loads(out)
        return account

    def run(self) -> dict[str, Any]:
        return self.end(self.start())

    def processes(self) -> dict[str, int]:
        path = self.state / "processes.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        return {name: pid for name, pid in found.items() if pid}

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to one of the agent's processes, once it runs; returns its id."""
        wait_until(lambda: alive(self.processes().get(name, 0)), f"{name} to run")
        pid = self.processes()[name]
        os.kill(pid, number)
        return pid

    def recorded(self) -> int:
        """Verdicts in the ledger; none while it is being made."""
        try:
            view = LedgerView.open(self.state)
        except LedgerError:
            return 0
        try:
            return view.account().delivered
        finally:
            view.close()

    def verdicts(self) -> list[Record]:
        view = LedgerView.open(self.state)
        assert view.verify() is None
        return [record for record in view.records() if record.header.number]

    def items(self) -> list[str]:
        return [record.payload.content()["item"] for record in self.verdicts() if record.payload]


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return pid > 0 and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
