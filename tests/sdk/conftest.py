"""The demo's folder, made once by the real command."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with ``demo-out`` in it, and what the command printed; tests that run side by side share one."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder, printed = shared / "demo", shared / "demo.json"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            folder.mkdir()
            printed.write_text(_made(folder))
    return folder, json.loads(printed.read_text())


def _made(folder: Path) -> str:
    told = ["--headless", "--json", "--parts", "60", "--seed", "7", "--out", "demo-out"]
    done = subprocess.run([sys.executable, "-m", "edgemill", "demo", *told], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
