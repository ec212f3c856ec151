"""The two clocks of a box, as one parameter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

JUMP_S = 2.0
"""Seconds that the wall clock may slip against the monotonic one before that is called a jump; NTP slews far less."""
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


class ClockWatch:
    """Notices when the wall clock jumps.

    Args:
        clock: to watch.
        before: ``utc - monotonic`` in nanoseconds as it was last known within this boot; ``None`` if it was not.
    """

    def __init__(self, clock: Clock, before: int | None = None) -> None:
        self._clock = clock
        self._offset = self._now() if before is None else before

    def look(self) -> float | None:
        """Seconds by which the wall clock jumped since the last look, forward or (negative) back; ``None`` if not."""
        offset = self._now()
        jump = (offset - self._offset) / 1e9
        # A slow slip is taken along, or a day of slewing would be called a jump.
        self._offset = offset
        return jump if abs(jump) >= JUMP_S else None

    def _now(self) -> int:
        return self._clock.utc_ns() - self._clock.monotonic_ns()
