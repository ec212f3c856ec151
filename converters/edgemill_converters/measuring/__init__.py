"""Measure variants on this machine: each in a child process of its own, one at a time, in turns."""

from __future__ import annotations

from edgemill_converters.measuring.bench import Measurement, Subject, measure

__all__ = ["Measurement", "Subject", "measure"]
