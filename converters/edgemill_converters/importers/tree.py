"""A decision tree as arrays, and whether it is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.tensors import Array

DEEPEST = 1000
"""Splits above each other; runtimes read a tree by recursion, and deeper ones are made by hand to break them."""


class NoTree(ValueError):  # noqa: N818 (as the field says it)
    """Arrays that are no tree; the importer adds which file they came from."""


@dataclass(frozen=True)
class Tree:
    """Nodes by number, the root is 0; a row goes left where its feature compares with the threshold.

    Attributes:
        left, right: numbers of the children; -1 in both where the node is a leaf.
        features: which feature a split compares.
        thresholds: what it is compared with.
        values: what a leaf gives, ``[nodes]`` or ``[nodes, columns]``.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: Array
    values: Array

    @property
    def splits(self) -> NDArray[np.bool_]:
        """Which nodes have children."""
        return self.left >= 0

    def check(self, features: int) -> NDArray[np.int64]:
        """The nodes that a row can come by, from the root on, level by level.

        Args:
            features: how many a row has.

        Raises:
            NoTree: a child that is none, a node with two parents, a feature that rows do not have, a value or
                threshold that is no number, or more levels than any that was trained.
        """
        nodes = len(self.left)
        if not nodes or any(len(column) != nodes for column in (self.right, self.features, self.thresholds)):
            raise NoTree(f"{nodes} left children, {len(self.right)} right ones, {len(self.thresholds)} thresholds")
        if len(self.values) != nodes:
            raise NoTree(f"{nodes} nodes, {len(self.values)} values")
        order = self._walked(nodes)
        splits = order[self.splits[order]]
        leaves = order[~self.splits[order]]
        if splits.size and not (0 <= self.features[splits].min() <= self.features[splits].max() < features):
            raise NoTree(f"a split by feature {self.features[splits].max()} of {features}")
        if np.isnan(self.thresholds[splits]).any() or not np.isfinite(self.values[leaves]).all():
            raise NoTree("a threshold or a leaf that is no number")
        return order

    def _walked(self, nodes: int) -> NDArray[np.int64]:
        if ((self.left < 0) != (self.right < 0)).any():
            raise NoTree("a split with one child")
        levels: list[NDArray[np.int64]] = []
        level = np.zeros(1, np.int64)
        seen = np.zeros(nodes, np.bool_)
        while level.size:
            if level.max() >= nodes or seen[level].any() or len(np.unique(level)) != len(level):
                raise NoTree("a child that is no node, or a node with two parents")
            if len(levels) > DEEPEST:
                raise NoTree(f"more than {DEEPEST} splits above each other")
            seen[level] = True
            levels.append(level)
            inner = level[self.splits[level]]
            level = np.concatenate([self.left[inner], self.right[inner]])
        return np.concatenate(levels)


def leaf(value: Array) -> Tree:
    """A tree that gives ``value``, whatever the row."""
    none = np.full(1, -1, np.int64)
    return Tree(none, none, np.zeros(1, np.int64), np.zeros(1), np.asarray(value)[None])
