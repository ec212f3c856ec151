"""The two clocks of a box, as one parameter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else "unknown"


@dataclass(frozen=True)
class Clock:
    """Wall clock for people, monotonic clock for durations and deadlines; a box may boot in 1970.

    Attributes:
        boot: id of this boot, as the kernel gives it; the monotonic clock means something within it only.
    """

    boot: str = field(default_factory=_boot_id)

    def utc_ns(self) -> int:
        """Nanoseconds since 1970, as the box believes."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()
