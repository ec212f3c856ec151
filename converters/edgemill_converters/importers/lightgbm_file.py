"""LightGBM's text form: header and trees, checked before LightGBM itself reads a line of it.

LightGBM reads trees side by side, by the sizes in the header, and ends its process where one does not fit: one digit
changed by hand is enough. It is given the text without these sizes, and then says what it does not like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_converters.importers.tree import NoTree, Tree
from edgemill_core.tensors import Array

VERSIONS = ("v3", "v4")
"""Of the form; LightGBM 3.0 and later."""
ZERO = float(np.float32(1e-35))
"""LightGBM's ``kZeroThreshold``: it takes values up to here, of either sign, for zero before it compares."""
_CATEGORICAL, _MISSING, _ZERO = 1, 3, 1


@dataclass(frozen=True)
class LightGbmText:
    """A text model.

    Attributes:
        header: its keys and values; of ``average_output``, a key without a value, an empty one.
        trees: in the order of the file.
        text: of the model, as LightGBM is to read it.
    """

    header: Mapping[str, str]
    trees: tuple[Tree, ...]
    text: str

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.header["feature_names"].split())

    @property
    def outputs(self) -> int:
        """Trees of one iteration, each of another output."""
        return int(self.header["num_tree_per_iteration"])

    @property
    def objective(self) -> tuple[str, dict[str, str]]:
        """Its name, and its settings; those without a value, e.g. ``sqrt``, are empty."""
        name, *settings = self.header.get("objective", "").split() or [""]
        return name, dict(setting.partition(":")[::2] for setting in settings)


def read_lightgbm(text: str) -> LightGbmText:
    """The model in ``text``.

    Raises:
        NoTree: cut off, of a version that nobody here knows, or not what it says it is; in words.
    """
    lines = [line.strip() for line in text.splitlines()]
    if lines[:1] != ["tree"]:
        raise NoTree(f"its first line is {lines[0][:40]!r}, not 'tree'" if lines else "it is empty")
    if "end of trees" not in lines:
        raise NoTree("it is cut off: there is no line 'end of trees'")
    lines = lines[1 : lines.index("end of trees")]
    blocks = list(_blocks(lines))
    header = blocks[0]
    lacking = [key for key in ("version", "num_tree_per_iteration", "feature_names", "tree_sizes") if key not in header]
    if lacking:
        raise NoTree(f"its header lacks {', '.join(lacking)}")
    if header["version"] not in VERSIONS:
        raise NoTree(f"version {header['version'][:20]} of the form, where {' and '.join(VERSIONS)} are known")
    if len(header["tree_sizes"].split()) != len(blocks) - 1 or len(blocks) == 1:
        raise NoTree(f"{len(blocks) - 1} trees, where the header has {len(header['tree_sizes'].split())}")
    features = len(header["feature_names"].split())
    trees = tuple(_tree(block, number, features) for number, block in enumerate(blocks[1:]))
    odd = [line for line in lines if line and "=" not in line and line != "average_output"]
    if odd:
        raise NoTree(f"a line {odd[0][:40]!r} among the trees")
    kept = [line for line in lines if not line.startswith("tree_sizes=")]
    found = LightGbmText(header, trees, "\n".join(["tree", *kept, "end of trees", ""]))
    _check_counts(found)
    return found


def _check_counts(found: LightGbmText) -> None:
    try:
        outputs, last = found.outputs, int(found.header.get("max_feature_idx", ""))
    except ValueError as error:
        raise NoTree(f"its header has no number: {error}") from error
    if last + 1 != len(found.features):
        raise NoTree(f"{last + 1} features, of which {len(found.features)} have names")
    if outputs < 1 or len(found.trees) % outputs:
        raise NoTree(f"{len(found.trees)} trees for {outputs} outputs")


def _blocks(lines: list[str]) -> Iterator[dict[str, str]]:
    """The header, then each tree."""
    block: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key == "Tree":
            yield block
            block = {}
        elif line:
            block[key] = value
    yield block


def _tree(block: Mapping[str, str], number: int, features: int) -> Tree:
    try:
        tree = _parsed(block)
        tree.check(features)
    except (KeyError, ValueError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise NoTree(f"tree {number}: {said}") from error
    return tree


def _parsed(block: Mapping[str, str]) -> Tree:
    leaves = int(block["num_leaves"])
    values = _numbers(block, "leaf_value", leaves)
    if block.get("num_cat", "0") != "0":
        raise NoTree("a split by category; train without categorical features")
    if block.get("is_linear", "0") != "0":
        raise NoTree("a linear model in each leaf; train without linear_tree")
    if leaves == 1:
        return _of(np.zeros((4, 0)), values)
    splits = [_numbers(block, key, leaves - 1) for key in ("left_child", "right_child", "split_feature", "threshold")]
    kinds = _numbers(block, "decision_type", leaves - 1).astype(np.int64)
    if (kinds & _CATEGORICAL).any():
        raise NoTree("a split by category; train without categorical features")
    if ((kinds >> 2) & _MISSING == _ZERO).any():
        raise NoTree("zero taken for a missing value; train without zero_as_missing")
    return _of(np.stack(splits), values)


def _numbers(block: Mapping[str, str], key: str, count: int) -> NDArray[np.float64]:
    found = [float(word) for word in block[key].split()]
    if len(found) != count or not np.isfinite(found).all():
        raise NoTree(f"{key} is not {count} numbers")
    return np.array(found, np.float64)


def _of(splits: NDArray[np.float64], values: NDArray[np.float64]) -> Tree:
    """Splits and leaves, which LightGBM counts apart, in one numbering: the splits first."""
    count, leaves = splits.shape[1], len(values)
    children = splits[:2].astype(np.int64)
    numbered = np.where(children < 0, count + ~children, children)
    if ((numbered < 0) | (numbered >= count + leaves)).any():
        raise NoTree("a child that is no node")
    none = np.full((2, leaves), -1, np.int64)
    left, right = np.concatenate([numbered, none], axis=1)

    def filled(inner: Array, ends: Array) -> Array:
        return np.concatenate([inner, ends])

    features = filled(splits[2], np.zeros(leaves)).astype(np.int64)
    return Tree(left, right, features, filled(compared(splits[3]), np.zeros(leaves)), filled(np.zeros(count), values))


def compared(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds that part the values as they come as LightGBM's part them once the smallest are zero."""
    below, above = (thresholds >= -ZERO) & (thresholds < 0), (thresholds >= 0) & (thresholds < ZERO)
    return np.where(below, np.nextafter(-ZERO, -1.0), np.where(above, ZERO, thresholds))
