"""The example of machines that will fail, small, on a table made up in the layout of the real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tiny_maintenance import write_machines

EXAMPLE = Path(__file__).parents[2] / "examples" / "maintenance"


def test_from_a_table_to_a_bundle_that_tells_who_will_fail(tmp_path: Path) -> None:
    write_machines(tmp_path / "machines.csv", 1500)
    command = [sys.executable, EXAMPLE / "run.py", tmp_path / "machines.csv", tmp_path / "out", "--trees", "20"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "900 machines learned from, 600 judged" in done.stdout
    assert "verdicts that differ in any digit: 0" in done.stdout
    assert "  reject    looks like fails" in done.stdout
    assert "  pass      runs" in done.stdout
    assert (tmp_path / "out" / "maintenance-1.0.0" / "report.html").is_file()
