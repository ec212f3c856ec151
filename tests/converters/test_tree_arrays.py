"""Trees as arrays: what is none is refused without a hang, and sums come in their own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_converters.importers.graph_writer import ROW, GraphWriter
from edgemill_converters.importers.tree import DEEPEST, NoTree, Tree, leaf
from edgemill_converters.importers.tree_sums import averaged, boosted
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

FEATURES = 4


def grown(rng: np.random.Generator, splits: int, columns: int = 0) -> Tree:
    """A tree of so many splits; its nodes in any order but for the root."""
    left, right = [-1], [-1]
    for _ in range(splits):
        ends = [node for node, child in enumerate(left) if child < 0]
        node = int(rng.choice(ends))
        left[node], right[node] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    nodes = len(left)
    values = rng.normal(size=(nodes, columns) if columns else nodes) * 10.0 ** rng.integers(-6, 6)
    return Tree(
        np.array(left), np.array(right), rng.integers(0, FEATURES, nodes), rng.normal(size=nodes).round(1), values
    )


def walked(tree: Tree, row: Array, mode: str) -> Any:
    node = 0
    while tree.left[node] >= 0:
        value, threshold = row[tree.features[node]], tree.thresholds[node].astype(row.dtype)
        goes_left = value <= threshold if mode == "<=" else value < threshold
        node = tree.left[node] if goes_left else tree.right[node]
    return tree.values[node]


def answers(writer: GraphWriter, given_: str, columns: int, dtype: Any, rows: Array, folder: Path) -> Array:
    onnx.save(writer.model(given_, columns, dtype), folder / "sums.onnx")
    with load("onnxruntime", folder / "sums.onnx") as engine:
        return np.concatenate([engine.run({ROW: row[None]})["scores"] for row in rows])


@pytest.mark.parametrize(("dtype", "mode"), [(np.float64, "<="), (np.float32, "<")])
@pytest.mark.parametrize("counts", [(1,), (7, 5, 0), (150, 149)])
def test_sums_are_those_of_one_tree_after_the_other(tmp_path: Path, dtype: Any, mode: str, counts: Any) -> None:
    rng = np.random.default_rng(sum(counts))
    columns = [[grown(rng, int(rng.integers(0, 6))) for _ in range(count)] for count in counts]
    base = rng.normal(size=len(counts)).astype(dtype)
    rows = rng.normal(size=(60, FEATURES)).round(1)  # thresholds are round too, so that many are met
    writer = GraphWriter(FEATURES)
    row = ROW if dtype is np.float64 else writer.cast(ROW, dtype)
    found = answers(
        writer, boosted(writer, row, FEATURES, columns, mode, dtype, base), len(counts), dtype, rows, tmp_path
    )
    for number, one in enumerate(rows.astype(dtype)):
        sums = base.copy()
        for place, trees in enumerate(columns):
            for tree in trees:
                sums[place] = dtype(sums[place] + dtype(walked(tree, one, mode)))
        assert (found[number] == sums).all()


def test_means_of_leaves_with_several_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    trees = [grown(rng, int(rng.integers(0, 6)), 3) for _ in range(90)]
    rows = rng.normal(size=(60, FEATURES)).round(1)
    writer = GraphWriter(FEATURES)
    found = answers(writer, averaged(writer, ROW, FEATURES, trees, 3), 3, np.float64, rows, tmp_path)
    for number, row in enumerate(rows):
        sums = np.zeros(3)
        for tree in trees:
            sums += walked(tree, row, "<=")
        assert (found[number] == sums / 90).all()


def changed(**columns: Any) -> Tree:
    """A root with two leaves, and something wrong with it."""
    right = {
        "left": [1, -1, -1],
        "right": [2, -1, -1],
        "features": [0] * 3,
        "thresholds": [0.5] * 3,
        "values": [1.0] * 3,
    }
    return Tree(**{key: np.array(value) for key, value in {**right, **columns}.items()})


NO_TREES = {
    "a circle": ({"left": [1, 0, -1], "right": [2, 2, -1]}, "two parents"),
    "one leaf of two": ({"left": [1, -1, -1], "right": [1, -1, -1]}, "two parents"),
    "a child beyond": ({"right": [7, -1, -1]}, "no node"),
    "one child": ({"right": [-1, -1, -1]}, "one child"),
    "a feature beyond": ({"features": [4, 0, 0]}, "feature 4 of 4"),
    "a feature before": ({"features": [-1, 0, 0]}, "feature"),
    "no number as a leaf": ({"values": [0.0, np.nan, 0.0]}, "no number"),
    "no number as a threshold": ({"thresholds": [np.nan, 0.0, 0.0]}, "no number"),
    "a column too short": ({"thresholds": [0.5]}, "1 thresholds"),
    "too few values": ({"values": [0.5]}, "1 values"),
    "nothing": ({key: [] for key in ("left", "right", "features", "thresholds", "values")}, "0 left"),
}


@pytest.mark.parametrize("what", NO_TREES)
def test_what_is_no_tree_is_said(what: str) -> None:
    assert changed().check(FEATURES).tolist() == [0, 1, 2]
    columns, said = NO_TREES[what]
    with pytest.raises(NoTree, match=said):
        changed(**columns).check(FEATURES)


def test_a_tree_deeper_than_any_is_refused() -> None:
    splits = DEEPEST + 2
    nodes = 2 * splits + 1
    left, right = np.full(nodes, -1), np.full(nodes, -1)
    left[: 2 * splits : 2] = np.arange(splits) * 2 + 1
    right[: 2 * splits : 2] = np.arange(splits) * 2 + 2
    zero = np.zeros(nodes)
    with pytest.raises(NoTree, match="above each other"):
        Tree(left, right, zero.astype(np.int64), zero, zero).check(1)


def test_nodes_that_no_row_comes_by_may_be_anything() -> None:
    odd = changed(
        left=[1, -1, -1, 9], right=[2, -1, -1, 9], features=[0, 0, 0, 99], thresholds=[0.5] * 4, values=[1.0] * 4
    )
    assert odd.check(FEATURES).tolist() == [0, 1, 2]
    assert leaf(np.array(2.0)).check(0).tolist() == [0]


@given(st.lists(st.tuples(st.integers(-2, 6), st.integers(-2, 6)), min_size=1, max_size=6))
@settings(max_examples=120, deadline=None)
def test_whatever_the_children_are_it_ends(children: list[tuple[int, int]]) -> None:
    left, right = (np.array(side) for side in zip(*children, strict=True))
    zero = np.zeros(len(left))
    tree = Tree(left, right, zero.astype(np.int64), zero, zero)
    try:
        order = tree.check(1)
    except NoTree:
        return
    assert len(set(order.tolist())) == len(order)
    assert (2 * tree.splits[order].sum() + 1) == len(order)
