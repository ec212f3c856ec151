"""Measure variants on this machine: each in a child process of its own, one at a time, in turns."""

from __future__ import annotations

from edgemill_converters.measuring.bench import Measurement, Subject, measure
from edgemill_converters.measuring.child import EngineChild

__all__ = ["EngineChild", "Measurement", "Subject", "measure"]
