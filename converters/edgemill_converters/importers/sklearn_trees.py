"""scikit-learn's forests and boosted trees, exactly as it computes them.

Forests and ``GradientBoosting…`` round a row to float32 and compare it with float64 thresholds;
``HistGradientBoosting…`` compares float64. Sums are float64, in the order of the trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from edgemill_converters.importers import links
from edgemill_converters.importers.graph_writer import GraphWriter
from edgemill_converters.importers.tree import NoTree, Tree
from edgemill_converters.importers.tree_sums import averaged, boosted

Writer = Callable[[GraphWriter, str, Any], tuple[str, int]]
"""Writes the nodes that give an estimator's probabilities or values: their name, and how many columns."""
_LOG_LOSSES = ("HalfBinomialLoss", "HalfMultinomialLoss")
_LINKS = {"IdentityLink": None, "LogLink": links.exponential}


def _forest(writer: GraphWriter, row: str, estimator: Any) -> tuple[str, int]:
    columns = int(estimator.n_classes_ if hasattr(estimator, "n_classes_") else estimator.n_outputs_)
    trees = [of_sklearn(one.tree_, columns) for one in getattr(estimator, "estimators_", [estimator])]
    return averaged(writer, _rounded(writer, row), int(estimator.n_features_in_), trees, columns), columns


def _gradient_boosting(writer: GraphWriter, row: str, estimator: Any) -> tuple[str, int]:
    features, rate = int(estimator.n_features_in_), float(estimator.learning_rate)
    if not (isinstance(estimator.init_, str) or type(estimator.init_).__name__.startswith("Dummy")):
        raise NoTree(f"a start that is a model itself, {type(estimator.init_).__name__}; train without init=")
    columns = [[of_sklearn(one.tree_, 1, rate) for one in column] for column in estimator.estimators_.T]
    base = estimator._raw_predict_init(np.zeros((1, features), np.float32))
    raw = boosted(writer, _rounded(writer, row), features, columns, "<=", np.float64, np.asarray(base))
    return _behind(writer, raw, estimator, len(columns))


def _hist_gradient_boosting(writer: GraphWriter, row: str, estimator: Any) -> tuple[str, int]:
    features = int(estimator.n_features_in_)
    if getattr(estimator, "is_categorical_", None) is not None:
        raise NoTree("splits by category; train with categorical_features=None")
    columns = [[of_hist(one) for one in column] for column in zip(*estimator._predictors, strict=True)]
    base = np.asarray(estimator._baseline_prediction, np.float64)
    raw = boosted(writer, row, features, columns, "<=", np.float64, base.reshape(-1))
    return _behind(writer, raw, estimator, len(columns))


WRITERS: dict[str, Writer] = {
    "RandomForestClassifier": _forest,
    "RandomForestRegressor": _forest,
    "ExtraTreesClassifier": _forest,
    "ExtraTreesRegressor": _forest,
    "DecisionTreeClassifier": _forest,
    "DecisionTreeRegressor": _forest,
    "ExtraTreeClassifier": _forest,
    "ExtraTreeRegressor": _forest,
    "GradientBoostingClassifier": _gradient_boosting,
    "GradientBoostingRegressor": _gradient_boosting,
    "HistGradientBoostingClassifier": _hist_gradient_boosting,
    "HistGradientBoostingRegressor": _hist_gradient_boosting,
}
"""By the name of scikit-learn's class."""


def writer_of(estimator: Any) -> Writer | None:
    """How the estimator's trees are written, if it is one of trees."""
    own = type(estimator).__module__.partition(".")[0] == "sklearn"
    return WRITERS.get(type(estimator).__name__) if own else None


def trees_in(model: Any) -> list[Any]:
    """Every store of nodes in a model, wherever in it: scikit-learn trusts the numbers in them."""
    found, seen, waiting = [], set(), [model]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one).__name__ in ("Tree", "TreePredictor"):
            found.append(one)
        else:
            waiting.extend(_within(one))
    return found


def of_sklearn(tree: Any, columns: int, rate: float | None = None) -> Tree:
    """A ``sklearn.tree._tree.Tree``; its leaves times ``rate``, if one is given.

    Raises:
        NoTree: it has fewer columns.
    """
    values = np.asarray(tree.value, np.float64).reshape(int(tree.node_count), -1)
    if values.shape[1] < columns:
        raise NoTree(f"leaves of {values.shape[1]} values, where there are {columns} outputs")
    ends, left = np.asarray(tree.children_left) == -1, np.asarray(tree.children_left, np.int64)
    right, features = np.asarray(tree.children_right, np.int64), np.asarray(tree.feature, np.int64)
    made = Tree(left, right, np.where(ends, 0, features), np.asarray(tree.threshold, np.float64), values[:, :columns])
    return made if rate is None else replace(made, values=rate * values[:, 0])


def of_hist(predictor: Any) -> Tree:
    """A ``TreePredictor`` of histogram boosting.

    Raises:
        NoTree: it splits by category.
    """
    nodes = predictor.nodes
    if nodes["is_categorical"].any():
        raise NoTree("a split by category; train with categorical_features=None")
    ends = nodes["is_leaf"] != 0
    left, right = (np.where(ends, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    features = np.where(ends, 0, nodes["feature_idx"].astype(np.int64))
    return Tree(left, right, features, nodes["num_threshold"], nodes["value"].astype(np.float64))


def _within(one: Any) -> Iterator[Any]:
    if isinstance(one, dict):
        yield from one.values()
    elif isinstance(one, (list, tuple, set)) or (isinstance(one, np.ndarray) and one.dtype == object):
        yield from np.ravel(one).tolist() if isinstance(one, np.ndarray) else one
    elif hasattr(one, "__dict__"):
        yield from vars(one).values()


def _rounded(writer: GraphWriter, row: str) -> str:
    return writer.cast(writer.cast(row, np.float32), np.float64)


def _behind(writer: GraphWriter, raw: str, estimator: Any, columns: int) -> tuple[str, int]:
    """What the loss puts behind the sums."""
    loss = estimator._loss
    kind = type(loss).__name__
    if not hasattr(estimator, "classes_"):
        link: Callable[[GraphWriter, str], str] | None = _LINKS[type(loss.link).__name__]
        return (raw if link is None else link(writer, raw)), columns
    if kind == "ExponentialLoss":
        return links.two_columns(writer, links.sigmoid(writer, raw, 2.0), np.float64), 2
    if kind not in _LOG_LOSSES:
        raise NoTree(f"loss {kind}, which gives no probabilities")
    if columns > 1:
        return links.softmax(writer, raw), columns
    return links.two_columns(writer, links.sigmoid(writer, raw), np.float64), 2
