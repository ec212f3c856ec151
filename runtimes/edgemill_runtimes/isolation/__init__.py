"""Engines in a process of their own: what kills or hangs the runtime does not touch the caller."""

from __future__ import annotations

from edgemill_runtimes.isolation.engine import IsolatedEngine
from edgemill_runtimes.isolation.process import EngineProcess, Isolation

__all__ = ["EngineProcess", "IsolatedEngine", "Isolation"]
