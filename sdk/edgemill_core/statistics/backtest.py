"""Is a value at risk passed as often as it says? Tests of exceptions."""

from __future__ import annotations

from math import erfc, log, sqrt


def kupiec_p_value(exceptions: int, days: int, rate: float) -> float:
    """P-value of the proportion-of-failures test (Kupiec 1995, "Techniques for verifying the accuracy of risk
    measurement models"): the chance of a count as unlikely as this, if exceptions came at ``rate``.

    Args:
        exceptions: days whose loss was larger than the value at risk.
        days: all days.
        rate: expected share, e.g. 0.01 for 99 %.

    Returns:
        From the chi-square distribution with one degree of freedom, which the likelihood ratio has for many days.
    """
    if not 0 <= exceptions <= days or days == 0:
        raise ValueError(f"{exceptions} exceptions in {days} days")
    seen = exceptions / days
    ratio = 2 * (_log_likelihood(exceptions, days, seen) - _log_likelihood(exceptions, days, rate))
    return erfc(sqrt(max(ratio, 0.0) / 2))


def _log_likelihood(exceptions: int, days: int, rate: float) -> float:
    hit = exceptions * log(rate) if exceptions else 0.0
    missed = (days - exceptions) * log(1 - rate) if exceptions < days else 0.0
    return hit + missed
