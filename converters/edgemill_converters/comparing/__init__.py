"""Where two engines part: outputs, verdicts, and layer by layer."""

from __future__ import annotations

from edgemill_converters.comparing.compare import Comparison, compare
from edgemill_converters.comparing.sides import Side, read_side

__all__ = ["Comparison", "Side", "compare", "read_side"]
