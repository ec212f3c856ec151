"""Room: on the disk for what the ledger's quota still allows, and in the quota for what may not be evicted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgemill_agent.health.base import Check
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_core.ledger import EVICTED_FIRST, Kind

_LEAST_INODES = 1000
_FIXED_SHARE = 0.8
"""Of the quota; headers that take more leave verdicts too little room."""
_FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


@dataclass(frozen=True)
class Room:
    """Of one disk, and of the ledger on it; bytes.

    Attributes:
        free: what this user may still write.
        inodes: files that may still be made; ``None`` where the file system does not count them.
        used: by ledger and kept frames.
        fixed: what of that may not be evicted.
    """

    free: int
    inodes: int | None
    used: int
    fixed: int


class Disk(Check):
    """Free bytes and inodes of the state folder, and the ledger's quota."""

    name = "disk"

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        room = read_room(facts)
        return judge(room, self.settings.retention.quota, self.limits.disk_free, facts.ledger_trouble)


def read_room(facts: Facts) -> Room:
    """What the system and the ledger say."""
    found = os.statvfs(facts.state)
    used = sum(_size(facts.state / name) for name in _FILES) + facts.held.get(Kind.EVIDENCE, 0)
    evictable = sum(facts.held.get(kind, 0) for kind in EVICTED_FIRST)
    return Room(
        found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None, used, max(0, used - evictable)
    )


def judge(room: Room, quota: int, least_free: int, trouble: str) -> Finding:
    """The worst of what there is to say."""
    if trouble:
        what = f"records cannot be written: {trouble.splitlines()[0]}"
        return Finding(State.ALARM, what, "free some space, or see `retention:` in agent.yaml; records wait in memory")
    if room.free < least_free:
        what = f"{_mb(room.free)} MB are free on the disk of the state folder, less than {_mb(least_free)}"
        return Finding(State.ALARM, what, "free some space, or lower `quota:` under `retention:` in agent.yaml")
    if room.inodes is not None and room.inodes < _LEAST_INODES:
        what = f"the disk of the state folder takes only {room.inodes} more files"
        return Finding(State.ALARM, what, "remove small files from it, or keep less `evidence:`")
    needs = quota - room.used
    if room.free < needs:
        what = f"the ledger may still grow by {_mb(needs)} MB, and {_mb(room.free)} MB are free"
        return Finding(State.WARNING, what, "free some space, or lower `quota:` under `retention:` in agent.yaml")
    if room.fixed > _FIXED_SHARE * quota:
        what = f"headers that may not be evicted take {_mb(room.fixed)} MB of the quota of {_mb(quota)}"
        return Finding(State.WARNING, what, "raise `quota:` under `retention:` in agent.yaml, or shorten `headers:`")
    return ok(f"{_mb(room.free)} MB free; the ledger takes {_mb(room.used)} of {_mb(quota)} MB")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _mb(size: float) -> int:
    return round(size / (1 << 20))
