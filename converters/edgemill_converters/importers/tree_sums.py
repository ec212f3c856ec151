"""Sums over trees as ONNX writes them, each in the order in which the library adds.

One ``TreeEnsemble`` node gives every tree a column of its own, so that the runtime adds nothing; ``CumSum``, which adds
one after the other by definition, does. (Sums within ``TreeEnsemble`` are split among threads where there are many
trees, which changes the last bit with the number of cores.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import onnx
from onnx import numpy_helper

from edgemill_converters.importers.graph_writer import ML, GraphWriter
from edgemill_converters.importers.tree import NoTree, Tree, leaf
from edgemill_core.tensors import Array

EXPORTER = "TreeEnsemble of ai.onnx.ml 5"
MODES = {"<=": 0, "<": 1}
"""Of ``nodes_modes``: when a row goes left."""
Number = type[np.float32] | type[np.float64]


def boosted(
    writer: GraphWriter,
    row: str,
    features: int,
    columns: Sequence[Sequence[Tree]],
    mode: str,
    dtype: Number,
    base: Array | None = None,
) -> str:
    """``[1, columns]``: in each, the sum of its trees' leaves, one after the other.

    Args:
        writer: of the graph.
        row: the tensor that the trees read, ``dtype[1, features]``.
        features: how many there are.
        columns: the trees of each, in the order in which they are added.
        mode: how a row is compared where it goes left, ``<=`` or ``<``.
        dtype: of thresholds and sums.
        base: what each sum starts from; zero if not given.

    Raises:
        NoTree: one of them is none.
    """
    most = max(map(len, columns))
    nothing = leaf(np.zeros((), dtype))  # adding zero changes no bit
    filled = [[*column, *([nothing] * (most - len(column)))] for column in columns]
    leaves = _leaves(writer, row, features, list(chain.from_iterable(filled)), mode, dtype)
    shaped = writer.add("Reshape", leaves, writer.constant(np.array([len(columns), most], np.int64)))
    if base is not None:
        start = writer.constant(np.asarray(base, dtype).reshape(len(columns), 1))
        shaped, most = writer.add("Concat", start, shaped, axis=1), most + 1
    added = writer.add("CumSum", shaped, writer.constant(np.array(1, np.int64)))
    last = writer.add("Gather", added, writer.constant(np.array(most - 1, np.int64)), axis=1)
    return writer.add("Reshape", last, writer.constant(np.array([1, len(columns)], np.int64)))


def averaged(writer: GraphWriter, row: str, features: int, trees: Sequence[Tree], columns: int) -> str:
    """``float64[1, columns]``: the mean of trees whose leaves have ``columns`` values, added one after the other.

    The trees give the number of the leaf; what stands there is looked up in a table.

    Raises:
        NoTree: one of them is none.
    """
    table, numbered, count = [], [], 0
    for tree in trees:
        numbers = count + np.cumsum(~tree.splits) - 1
        table.append(tree.values[~tree.splits].reshape(-1, columns))
        count += len(table[-1])
        numbered.append(Tree(tree.left, tree.right, tree.features, tree.thresholds, numbers.astype(np.float64)))
    if not all(np.isfinite(values).all() for values in table):
        raise NoTree("a leaf that is no number")
    places = _leaves(writer, row, features, numbered, "<=", np.float64)
    flat = writer.add("Reshape", writer.cast(places, np.int64), writer.constant(np.array([len(trees)], np.int64)))
    values = writer.add("Gather", writer.constant(np.concatenate(table).astype(np.float64)), flat, axis=0)
    added = writer.add("CumSum", values, writer.constant(np.array(0, np.int64)))
    last = writer.add("Gather", added, writer.constant(np.array([len(trees) - 1], np.int64)), axis=0)
    return writer.add("Div", last, writer.constant(np.array(len(trees), np.float64)))


def _leaves(writer: GraphWriter, row: str, features: int, trees: Sequence[Tree], mode: str, dtype: Number) -> str:
    """``dtype[1, trees]``: the leaf of each tree."""
    parts = [_columns(tree, features) for tree in trees]
    splits = [len(part["thresholds"]) for part in parts]
    roots = np.concatenate([[0], np.cumsum(splits)[:-1]]).astype(np.int64)
    leaves = np.concatenate([[0], np.cumsum([len(part["weights"]) for part in parts])[:-1]]).astype(np.int64)

    def joined(key: str) -> Array:
        return np.concatenate([part[key] for part in parts])

    def children(side: str) -> list[int]:
        sides = zip(parts, roots, leaves, strict=True)
        moved = [np.where(part[f"{side} leaf"], first, root) + part[side] for part, root, first in sides]
        return [int(number) for number in np.concatenate(moved)]

    return writer.add(
        "TreeEnsemble",
        row,
        domain=ML,
        n_targets=len(trees),
        aggregate_function=1,
        post_transform=0,
        tree_roots=roots.tolist(),
        nodes_featureids=joined("features").tolist(),
        nodes_splits=_tensor(joined("thresholds").astype(dtype)),
        nodes_modes=_tensor(np.full(sum(splits), MODES[mode], np.uint8)),
        nodes_truenodeids=children("left"),
        nodes_trueleafs=joined("left leaf").astype(np.int64).tolist(),
        nodes_falsenodeids=children("right"),
        nodes_falseleafs=joined("right leaf").astype(np.int64).tolist(),
        leaf_targetids=np.repeat(np.arange(len(trees)), [len(part["weights"]) for part in parts]).tolist(),
        leaf_weights=_tensor(joined("weights").astype(dtype)),
    )


def _columns(tree: Tree, features: int) -> dict[str, Array]:
    """A tree as the node has it: splits and leaves counted apart, without the nodes that no row comes by."""
    order = tree.check(features)
    inner, ends = order[tree.splits[order]], order[~tree.splits[order]]
    if not inner.size:  # ONNX knows no tree without a split: here both ways lead to the same
        one, same = np.zeros(1, np.int64), np.ones(1, np.bool_)
        both = {"left": one, "left leaf": same, "right": one + 1, "right leaf": same}
        return {**both, "features": one, "thresholds": np.zeros(1), "weights": np.repeat(tree.values[:1], 2)}
    place = np.zeros(len(tree.left), np.int64)
    place[inner], place[ends] = np.arange(len(inner)), np.arange(len(ends))
    found: dict[str, Array] = {
        "features": tree.features[inner],
        "thresholds": tree.thresholds[inner],
        "weights": tree.values[ends],
    }
    for side, child in (("left", tree.left[inner]), ("right", tree.right[inner])):
        found[side], found[f"{side} leaf"] = place[child], ~tree.splits[child]
    return found


def _tensor(values: Array) -> onnx.TensorProto:
    return numpy_helper.from_array(values)
