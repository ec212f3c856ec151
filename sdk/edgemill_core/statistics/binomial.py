"""One-sided exact bounds on a proportion (Clopper and Pearson 1934, Biometrika 26, 404-413)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@lru_cache(maxsize=32)
def log_factorials(n: int) -> Floats:
    """``log(k!)`` for k = 0 … n."""
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))))


def cumulative(k: int, n: int, p: float) -> float:
    """P(X ≤ k) for X binomial with ``n`` trials of probability ``p``."""
    if k >= n or p <= 0:
        return 1.0
    if k < 0 or p >= 1:
        return 0.0
    logs = log_factorials(n)
    x = np.arange(k + 1)
    terms = logs[n] - logs[x] - logs[n - x] + x * np.log(p) + (n - x) * np.log1p(-p)
    return float(min(1.0, np.exp(terms).sum()))


def upper_bound(k: int, n: int, confidence: float) -> float:
    """Largest proportion that ``k`` of ``n`` does not rule out at ``confidence`` (one-sided)."""
    if n == 0 or k >= n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cumulative(k, n, middle) > 1 - confidence else (low, middle)
    return high


def lower_bound(k: int, n: int, confidence: float) -> float:
    """Smallest proportion that ``k`` of ``n`` does not rule out at ``confidence`` (one-sided)."""
    return 1.0 - upper_bound(n - k, n, confidence)
