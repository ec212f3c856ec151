"""Connected regions of a mask, in numpy alone: the core has no picture library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def regions(mask: NDArray[np.bool_]) -> Whole:
    """Number the regions of pixels that touch by an edge or a corner.

    Each row's runs of pixels are joined with those that they touch in the row above, until no number changes.

    Args:
        mask: ``bool[height, width]``.

    Returns:
        ``int64[height, width]``: 0 outside, else 1, 2, … in the order of each region's first pixel, row by row.
    """
    row, start, end = _runs(mask)
    if not len(row):
        return np.zeros(mask.shape, np.int64)
    upper, lower = _touching(row, start, end, mask.shape[1])
    of_run = _joined(len(row), upper, lower)
    _, numbered = np.unique(of_run, return_inverse=True)
    lengths = end - start
    found = np.zeros(mask.shape, np.int64)
    found[mask] = np.repeat(numbered.reshape(-1) + 1, lengths)
    return found


def _runs(mask: NDArray[np.bool_]) -> tuple[Whole, Whole, Whole]:
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    row, start = np.nonzero(steps == 1)
    _, end = np.nonzero(steps == -1)
    return row.astype(np.int64), start.astype(np.int64), end.astype(np.int64)


def _touching(row: Whole, start: Whole, end: Whole, width: int) -> tuple[Whole, Whole]:
    """Pairs of runs in neighbouring rows that touch, also by a corner."""
    stride = width + 2  # one number line for all rows, on which no two rows touch
    first = np.searchsorted(row * stride + end, (row - 1) * stride + start, side="left")
    last = np.searchsorted(row * stride + start, (row - 1) * stride + end, side="right")
    counts = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(row)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.repeat(first, counts) + within).astype(np.int64), lower.astype(np.int64)


def _joined(count: int, upper: Whole, lower: Whole) -> Whole:
    """The lowest run of each run's region (Shiloach and Vishkin 1982, "An O(log n) parallel connectivity
    algorithm").
    """
    root = np.arange(count)
    while True:
        low = np.minimum(root[upper], root[lower])
        before = root.copy()
        np.minimum.at(root, root[upper], low)
        np.minimum.at(root, root[lower], low)
        while not np.array_equal(root, root[root]):
            root = root[root]
        if np.array_equal(root, before):
            return root.astype(np.int64)
