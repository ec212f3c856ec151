"""Memory that creeps: small per part, and the end of the box after a month."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from edgemill_agent.health.base import Check
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_core.processes.own_memory import own_bytes

if TYPE_CHECKING:
    from edgemill_agent.settings import AgentSettings

_MB = 1 << 20
_SAMPLES = 60
"""In a window."""
_SETTLES = 5
"""Samples of a new process that say nothing: it still loads and warms up."""
_LEAST_SHARE = 0.05
"""Of the box's memory that should be left."""


def slope(samples: Iterable[tuple[float, float]]) -> float:
    """Theil–Sen: the median of the slopes of all pairs (Sen 1968); up to 29 % of the samples may be anything.

    Args:
        samples: of x and y; 0 is returned for fewer than two.
    """
    pairs = combinations(samples, 2)
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairs if later[0] != earlier[0]]
    return median(slopes) if slopes else 0.0


@dataclass(frozen=True)
class Creep:
    """How a process grows.

    Attributes:
        mb_per_hour: robust slope over the window.
        grown_mb: since it had settled.
    """

    process: str
    mb_per_hour: float
    grown_mb: float


@dataclass
class Track:
    """Samples of one process: monotonic seconds and bytes.

    Attributes:
        settled: bytes that it held once it had settled; ``None`` until then.
    """

    pid: int
    skipped: int = 0
    samples: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_SAMPLES + 1))
    settled: float | None = None

    def add(self, now_s: float, size: float) -> None:
        """Take a sample in."""
        if self.skipped < _SETTLES:
            self.skipped += 1
            return
        self.samples.append((now_s, size))
        if self.settled is None and len(self.samples) == _SETTLES:
            self.settled = median(bytes_ for _, bytes_ in self.samples)

    def creep(self, process: str, window_s: float) -> Creep | None:
        """``None`` while half of the window has not gone by."""
        if self.settled is None or self.samples[-1][0] - self.samples[0][0] < window_s / 2:
            return None
        now = median(bytes_ for _, bytes_ in list(self.samples)[-_SETTLES:])
        return Creep(process, slope(self.samples) * 3600 / _MB, (now - self.settled) / _MB)


class Memory(Check):
    """Memory of each process that is its own alone, over time; and what the box has left."""

    name = "memory"
    mends = "restarts, between two parts, a worker that creeps and has grown beyond the limit"

    def __init__(
        self,
        settings: AgentSettings,
        station: str = "",
        read: Callable[[int], int] = own_bytes,
        meminfo: Path = Path("/proc/meminfo"),
    ) -> None:
        super().__init__(settings, station)
        self._read, self._meminfo = read, meminfo
        self._window_s = self.limits.memory_window.total_seconds()
        self._due_s = float("-inf")
        self._tracks: dict[str, Track] = {}

    def look(self, facts: Facts) -> Finding:
        """See ``judge``."""
        if facts.now_s >= self._due_s:
            self._due_s = facts.now_s + self._window_s / _SAMPLES
            self._sample(facts)
        creeps = [found for name, track in self._tracks.items() if (found := track.creep(name, self._window_s))]
        free, whole = box_memory(self._meminfo.read_text(encoding="ascii"))
        limits = self.limits
        return judge(creeps, free / whole, limits.memory_creep_mb_per_hour, limits.memory_grown_mb)

    def _sample(self, facts: Facts) -> None:
        for name, pid in facts.processes.items():
            try:
                size = self._read(pid) if pid is not None else None
            except OSError:  # it has just ended
                size = None
            if pid is None or size is None:
                self._tracks.pop(name, None)
                continue
            track = self._tracks.get(name)
            if track is None or track.pid != pid:
                track = self._tracks[name] = Track(pid)
            track.add(facts.now_s, size)


def judge(creeps: Sequence[Creep], free_share: float, limit_mb_per_hour: float, limit_mb: float) -> Finding:
    """What to say of it.

    Args:
        creeps: how each process grows.
        free_share: of the box's memory that is left.
        limit_mb_per_hour: slope from where on it is called a creep.
        limit_mb: growth from where on a creeping process is restarted.
    """
    worst = max((one for one in creeps if one.mb_per_hour > limit_mb_per_hour), key=_grown, default=None)
    if worst is not None:
        told = f"{worst.process} grows by {worst.mb_per_hour:.0f} MB an hour, by {worst.grown_mb:.0f} MB so far"
        if worst.grown_mb <= limit_mb:
            return Finding(State.WARNING, told, "report it, with bundle and runtime")
        if worst.process == "line":
            return Finding(State.ALARM, told, "restart the agent between two parts, and report it")
        return Finding(State.ALARM, told, "report it, with bundle and runtime", restart=worst.process)
    if free_share < _LEAST_SHARE:
        what = f"{100 * free_share:.0f} % of the box's memory are left"
        return Finding(State.WARNING, what, "see what else runs here, or run fewer stations", holds_s=30)
    fastest = max((one.mb_per_hour for one in creeps), default=None)
    return ok("too early to say whether any process creeps" if fastest is None else f"at most {fastest:.1f} MB an hour")


def box_memory(meminfo: str) -> tuple[int, int]:
    """Kilobytes available, and in all, as proc(5) tells them."""
    found = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.splitlines() if ":" in line}
    return found["MemAvailable"], found["MemTotal"]


def _grown(creep: Creep) -> float:
    return creep.grown_mb
