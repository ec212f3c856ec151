"""The demo's folder, made once by the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with ``demo-out`` in it, and what the command printed."""
    folder = tmp_path_factory.mktemp("demo")
    told = ["--headless", "--json", "--parts", "60", "--seed", "7", "--out", "demo-out"]
    done = subprocess.run([sys.executable, "-m", "edgemill", "demo", *told], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)
