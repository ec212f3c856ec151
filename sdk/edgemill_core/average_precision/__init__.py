"""Mean average precision of a detector, and how much a variant of it may have lost, by a bootstrap over pictures."""

from __future__ import annotations

from edgemill_core.average_precision.curves import Curve, Curves, mean_average_precision
from edgemill_core.average_precision.drop import ComparedBoxes, Drop, compare
from edgemill_core.average_precision.matching import curves_of

__all__ = ["ComparedBoxes", "Curve", "Curves", "Drop", "compare", "curves_of", "mean_average_precision"]
