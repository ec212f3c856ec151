"""Energy that the processor counts (RAPL), by Linux's powercap folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/sys/class/powercap")
Counters = Mapping[str, int]
"""Microjoules by package; they begin again at 0 when they are full."""


def read_counters(root: Path = ROOT) -> tuple[Counters, str]:
    """The counter of each processor package, and in words why there is none where there is none."""
    found: dict[str, int] = {}
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue  # a part of a package, counted there
        try:
            found[zone.name] = int((zone / "energy_uj").read_text())
        except PermissionError:
            return {}, f"only root may read {zone / 'energy_uj'}"
        except (OSError, ValueError):
            return {}, f"{zone / 'energy_uj'} cannot be read"
    return found, "" if found else f"no RAPL counters under {root}"


def joules(before: Counters, after: Counters, root: Path = ROOT) -> float:
    """Spent between two readings that are less than one round of the counter apart."""
    spent = 0
    for name, now in after.items():
        rise = now - before[name]
        spent += rise if rise >= 0 else rise + int((root / name / "max_energy_range_uj").read_text())
    return spent / 1e6
