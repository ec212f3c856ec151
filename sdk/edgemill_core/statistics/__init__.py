"""Statistics on numpy alone: binomial bounds, paired non-inferiority, bootstrap bounds of means, a sequential test."""

from __future__ import annotations

from edgemill_core.statistics.backtest import kupiec_p_value
from edgemill_core.statistics.binomial import lower_bound, upper_bound
from edgemill_core.statistics.noninferiority import (
    PairedCounts,
    drop_lower_bound,
    drop_upper_bound,
    non_inferiority_p_value,
    samples_needed,
)
from edgemill_core.statistics.paired_mean import relative_increase, relative_increase_upper_bound
from edgemill_core.statistics.sequential import Conclusion, Reached, SequentialTest, sequential_test

__all__ = [
    "Conclusion",
    "PairedCounts",
    "Reached",
    "SequentialTest",
    "drop_lower_bound",
    "drop_upper_bound",
    "kupiec_p_value",
    "lower_bound",
    "non_inferiority_p_value",
    "relative_increase",
    "relative_increase_upper_bound",
    "samples_needed",
    "sequential_test",
    "upper_bound",
]
