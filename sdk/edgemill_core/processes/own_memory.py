"""How much memory a process holds, as proc(5) tells; ``OSError`` if there is no such process."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int:
    """Resident set now, of this process or another."""
    return int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak_resident_bytes(pid: int | None = None) -> int:
    """Largest resident set so far (``VmHWM``), of this process or another."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
