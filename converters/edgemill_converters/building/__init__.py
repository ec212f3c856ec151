"""A build as steps: each a function of files and plain values, cached by content, run in a child process."""

from __future__ import annotations

from edgemill_converters.building.runner import Planned, Runner
from edgemill_converters.building.step import Step
from edgemill_converters.building.store import Entry, Store

__all__ = ["Entry", "Planned", "Runner", "Step", "Store"]
