"""The driver's own version, where the kernel tells it.

``cuDriverGetVersion`` tells the newest CUDA that a driver speaks, which many drivers share: an update within one CUDA
does not show in it. The kernel module says its version in ``/proc/driver/nvidia/version``; a Jetson also has that of
the release that driver and libraries came with (Jetson Linux) in ``/etc/nv_tegra_release``.
"""

from __future__ import annotations

import re
from pathlib import Path

MODULE = Path("/proc/driver/nvidia/version")
TEGRA = Path("/etc/nv_tegra_release")
_MODULE = re.compile(r"^NVRM version:.*?\s(\d{3,}(?:\.\d+)+)\b")
_TEGRA = re.compile(r"^# (R\d+) \(release\), REVISION: (\d+(?:\.\d+)*)")


def driver_version(module: Path = MODULE, tegra: Path = TEGRA) -> str | None:
    """E.g. ``535.129.03``, on a Jetson ``540.4.0, R36.4.3``; ``None`` where nobody tells, as in some containers."""
    found = (_MODULE.match(_first_line(module)), _TEGRA.match(_first_line(tegra)))
    return ", ".join(".".join(one.groups()) for one in found if one is not None) or None


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.readline(1000).decode(errors="replace")
    except OSError:
        return ""
