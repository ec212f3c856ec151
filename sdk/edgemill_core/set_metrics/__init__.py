"""Numbers of a whole set of samples, and how much worse a variant may have made them.

A new one is one new file here, which makes a ``Statistic`` of one side's verdicts and evidence, and one line in
``edgemill_core.metrics``.
"""

from __future__ import annotations

from edgemill_core.set_metrics.base import Rarest, Statistic, Weights
from edgemill_core.set_metrics.by_class import of_classes
from edgemill_core.set_metrics.calibration import calibration_error
from edgemill_core.set_metrics.drop import SetDrop, compare
from edgemill_core.set_metrics.overlap import area_under_per_region_overlap
from edgemill_core.set_metrics.ranking import area_under_roc
from edgemill_core.set_metrics.ratio import character_error_rate, cosine_distance, intersection_over_union

__all__ = [
    "Rarest",
    "SetDrop",
    "Statistic",
    "Weights",
    "area_under_per_region_overlap",
    "area_under_roc",
    "calibration_error",
    "character_error_rate",
    "compare",
    "cosine_distance",
    "intersection_over_union",
    "of_classes",
]
