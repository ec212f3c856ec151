"""What libraries put behind the sum of their trees: from scores to probabilities or to the target's own scale.

Every function here writes what the library's code does, operation by operation and in its type; what is left is the
last bit of an exponential, which runtimes and libraries take from different places.
"""

from __future__ import annotations

import numpy as np

from edgemill_converters.importers.graph_writer import GraphWriter


def sigmoid(writer: GraphWriter, scores: str, slope: float = 1.0) -> str:
    """1 / (1 + exp(-slope x)) in float64: LightGBM's ``BinaryLogloss::ConvertOutput``, scikit-learn's ``expit``."""
    one = writer.constant(np.array(1.0))
    steep = writer.add("Mul", scores, writer.constant(np.array(-slope)))
    return writer.add("Div", one, writer.add("Add", one, writer.add("Exp", steep)))


def softmax(writer: GraphWriter, scores: str) -> str:
    """Exponentials of the distance to the largest, over their sum, in float64."""
    powers = writer.add("Exp", _from_largest(writer, scores))
    return writer.add("Div", powers, writer.add("ReduceSum", powers, _axis(writer), keepdims=1))


def exponential(writer: GraphWriter, scores: str) -> str:
    """Of counts and other positive targets."""
    return writer.add("Exp", scores)


def signed_square(writer: GraphWriter, scores: str) -> str:
    """sign(x) x x: LightGBM's ``reg_sqrt``."""
    return writer.add("Mul", writer.add("Mul", writer.add("Sign", scores), scores), scores)


def log_one_plus_exp(writer: GraphWriter, scores: str) -> str:
    """log(1 + exp(x)): LightGBM's ``cross_entropy_lambda``, which takes ``log1p`` for it.

    ONNX has no such operator: this is W. Kahan's way, log(u) z / (u - 1) with u = 1 + z, and z where u is 1.
    """
    one, small = writer.constant(np.array(1.0)), writer.add("Exp", scores)
    more = writer.add("Add", one, small)
    share = writer.add("Div", small, writer.add("Sub", more, one))
    found = writer.add("Mul", writer.add("Log", more), share)
    return writer.add("Where", writer.add("Equal", more, one), small, found)


def sigmoid32(writer: GraphWriter, scores: str) -> str:
    """XGBoost's ``common::Sigmoid`` in float32: 1 / (exp(min(-x, 88.7)) + 1)."""
    limit = writer.constant(np.array(88.7, np.float32))
    one = writer.constant(np.array(1.0, np.float32))
    power = exponential32(writer, writer.add("Min", writer.add("Neg", scores), limit))
    return writer.add("Div", one, writer.add("Add", power, one))


def softmax32(writer: GraphWriter, scores: str) -> str:
    """XGBoost's ``common::Softmax``: float32, the sum in float64."""
    powers = exponential32(writer, _from_largest(writer, scores))
    total = writer.add("ReduceSum", writer.cast(powers, np.float64), _axis(writer), keepdims=1)
    return writer.add("Div", powers, writer.cast(total, np.float32))


def exponential32(writer: GraphWriter, scores: str) -> str:
    """``expf``: in float64 and rounded, which is what glibc's gives in all but one of some thousand cases."""
    return writer.cast(writer.add("Exp", writer.cast(scores, np.float64)), np.float32)


def two_columns(writer: GraphWriter, probability: str, dtype: type[np.generic]) -> str:
    """One probability as two: 1 - p, p."""
    other = writer.add("Sub", writer.constant(np.array(1.0, dtype)), probability)
    return writer.add("Concat", other, probability, axis=1)


def _from_largest(writer: GraphWriter, scores: str) -> str:
    return writer.add("Sub", scores, writer.add("ReduceMax", scores, axes=[1], keepdims=1))


def _axis(writer: GraphWriter) -> str:
    return writer.constant(np.array([1], np.int64))
