"""How fast an engine is here: timed in a process of its own until the figures have settled."""

from __future__ import annotations

from edgemill_runtimes.benching.bench import BenchResult, Subject, bench
from edgemill_runtimes.benching.timing import Timed, time_runs

__all__ = ["BenchResult", "Subject", "Timed", "bench", "time_runs"]
