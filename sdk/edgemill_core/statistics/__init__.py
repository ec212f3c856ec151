"""Exact small-sample statistics on numpy alone: binomial bounds and paired non-inferiority."""

from __future__ import annotations

from edgemill_core.statistics.binomial import lower_bound, upper_bound
from edgemill_core.statistics.noninferiority import (
    PairedCounts,
    drop_lower_bound,
    drop_upper_bound,
    non_inferiority_p_value,
    samples_needed,
)

__all__ = [
    "PairedCounts",
    "drop_lower_bound",
    "drop_upper_bound",
    "lower_bound",
    "non_inferiority_p_value",
    "samples_needed",
    "upper_bound",
]
