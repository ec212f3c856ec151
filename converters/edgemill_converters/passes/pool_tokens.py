"""From a vector a token to one a text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.model_source import Pooling
from edgemill_converters.passes.base import Pass, copy_of
from edgemill_core.errors import ModelError
from edgemill_core.tensors import Array

EMBEDDING = "embedding"


class PoolTokens(Pass):
    """The output ``tokens: float32[n, length, width]`` becomes ``embedding: float32[n, width]``, the one output.

    Promises that. The mean is over the tokens that the input ``mask: int64[n, length]`` keeps; a model without it is a
    ``ModelError``.
    """

    name = "pool-tokens"

    def __init__(self, pooling: Pooling, tokens: str, mask: str) -> None:
        self._pooling, self._tokens, self._mask = pooling, tokens, mask

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        graph = result.graph
        self._check_mask([value.name for value in graph.input])
        (old,) = (value for value in graph.output if value.name == self._tokens)
        dims = old.type.tensor_type.shape.dim
        shape = [one.dim_value or one.dim_param or None for one in (dims[0], dims[2])]
        nodes, weights = self._mean() if self._pooling is Pooling.MEAN else self._first()
        graph.node.extend(nodes)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, shape))
        return result

    def _check_mask(self, inputs: list[str]) -> None:
        if self._pooling is Pooling.MEAN and self._mask not in inputs:
            raise ModelError(
                "pooling: mean needs to be told which tokens count",
                expected=f"a model with the input {self._mask}",
                got=", ".join(inputs),
                fix="write pooling: first, or leave it out, under model: in the recipe",
            )

    def _mean(self) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
        steps = [
            ("Cast", [self._mask], "pool_kept", {"to": TensorProto.FLOAT}),
            ("Unsqueeze", ["pool_kept", "pool_last"], "pool_wide", {}),
            ("Mul", [self._tokens, "pool_wide"], "pool_some", {}),
            ("ReduceSum", ["pool_some", "pool_length"], "pool_sum", {"keepdims": 0}),
            ("ReduceSum", ["pool_kept", "pool_length"], "pool_count", {"keepdims": 1}),
            ("Max", ["pool_count", "pool_least"], "pool_some_count", {}),
            ("Div", ["pool_sum", "pool_some_count"], EMBEDDING, {}),
        ]
        nodes = [helper.make_node(kind, given, [made], made, **more) for kind, given, made, more in steps]
        whole = {"pool_last": np.array([-1], np.int64), "pool_length": np.array([1], np.int64)}
        return nodes, {**whole, "pool_least": np.array([1], np.float32)}

    def _first(self) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
        node = helper.make_node("Gather", [self._tokens, "pool_place"], [EMBEDDING], "pool_first", axis=1)
        return [node], {"pool_place": np.array(0, np.int64)}

    def _check(self, result: onnx.ModelProto) -> None:
        names = [value.name for value in result.graph.output]
        if names != [EMBEDDING]:
            raise self._broken(EMBEDDING, ", ".join(names))


def pooled(pooling: Pooling, tokens: Array, feeds: Mapping[str, Array], mask: str) -> Array:
    """The same by hand, ``[n, width]``; of the model's inputs only the mean reads any, the one named ``mask``."""
    if pooling is Pooling.FIRST:
        return np.asarray(tokens[:, 0])
    kept: NDArray[np.float32] = feeds[mask].astype(np.float32)[..., None]
    given: NDArray[np.float32] = tokens.astype(np.float32)
    return np.asarray((given * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1))
