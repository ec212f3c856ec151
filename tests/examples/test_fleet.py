"""The example of a fleet, by its commands. Minutes: it runs where EDGEMILL_STORY is set, as in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_broker import free_port, needs_mosquitto
from fleet_story import version_of
from tiny_text import write_set

from edgemill_converters.result import BuildResult

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet" / "try.sh"


@pytest.mark.skipif(
    not os.environ.get("EDGEMILL_STORY"), reason="SKIPPED: the example of a fleet takes minutes (CI runs it)"
)
def test_three_boxes_get_two_releases_and_one_is_shut_out(built: BuildResult, tmp_path: Path) -> None:
    needs_mosquitto()
    assert built.bundle is not None
    write_set(tmp_path / "pictures", 60, 5)
    bundles = [version_of(built.bundle, version, tmp_path).folder for version in ("1.0.1", "1.1.0")]
    ports = {name: str(free_port()) for name in ("PORT", "BOX_PORT", "INTAKE_PORT")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [EXAMPLE, tmp_path / "out", tmp_path / "pictures", *bundles],
        env={**os.environ, **ports, "PATH": path},
        capture_output=True,
        text=True,
        timeout=570,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("every wave took it") == 2
    assert done.stdout.count("tiny/1.1.0  tiny/1.1.0") >= 3
    assert "box3 is shut out" in done.stderr
    assert "exit code 1, as it should be" in done.stdout
