"""The wall clock: a record that says the wrong time is a wrong record, and certificates are refused by it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check, Spell
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

NOT_BEFORE = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""This version did not exist before."""
_JUMPED_S = 600.0
"""For so long a jump is a warning."""
_UNSYNCHRONISED = 0x40
"""``STA_UNSYNC`` of adjtimex(2)."""
_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_SYNC = "let this box reach a time server (systemd-timesyncd or chrony), or a clock that keeps time when it is off"


class _Timex(ctypes.Structure):
    """``struct timex``, with room behind the field that is read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def is_synchronised(timesync: Path = _TIMESYNC) -> bool | None:
    """Whether somebody keeps the clock right: what the kernel says, or systemd; ``None`` if neither does."""
    told = _Timex()  # modes is 0: nothing is set
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told)) >= 0:
        return not told.status & _UNSYNCHRONISED
    return True if timesync.exists() else None


class WallClock(Check):
    """Jumps, and whether it is kept right."""

    name = "clock"

    def __init__(
        self, settings: AgentSettings, station: str = "", synchronised: Callable[[], bool | None] = is_synchronised
    ) -> None:
        super().__init__(settings, station)
        self._synchronised = synchronised
        self._alone = Spell()

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        synchronised = self._synchronised()
        alone_s = self._alone.seconds(synchronised is False, facts.now_s)
        jump = facts.jump if facts.jump and facts.now_s - facts.jump[0] < _JUMPED_S else None
        return judge(facts.utc_s, synchronised, alone_s, jump, self.limits.clock_alone.total_seconds())


def judge(
    utc_s: float, synchronised: bool | None, alone_s: float, jump: tuple[float, float] | None, limit_s: float
) -> Finding:
    """What to say of it.

    Args:
        utc_s: what the clock says.
        synchronised: whether somebody keeps it right; ``None`` if that is not to be had.
        alone_s: for how long nobody has.
        jump: when and by how much it jumped of late.
        limit_s: for how long nobody may.
    """
    said = datetime.fromtimestamp(utc_s, timezone.utc).strftime("%Y-%m-%d %H:%M")
    if utc_s < NOT_BEFORE.timestamp():
        return Finding(State.ALARM, f"the clock says {said}, before this version was made", _SYNC)
    if jump is not None:
        return Finding(
            State.WARNING, f"the clock jumped by {jump[1]:+.1f} s", "see what sets it; the ledger notes each"
        )
    if alone_s > limit_s:
        return Finding(State.WARNING, f"nobody has kept the clock right for {alone_s / 60:.0f} minutes", _SYNC)
    if synchronised is None:
        return Finding(State.UNKNOWN, "whether the clock is kept right is not to be had here")
    return ok("kept right" if synchronised else f"not kept right for {alone_s / 60:.0f} minutes")
