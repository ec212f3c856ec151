"""What an engine is told of precision beyond what its graph says."""

from __future__ import annotations

from typing import Literal

PrecisionHint = Literal["bf16"]
"""Precision lives in the graph, save where no runtime reads it there: BF16 on CPUs is a setting of the engine."""
