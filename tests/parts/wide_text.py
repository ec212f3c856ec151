"""The tiny text model with layers wide enough to be worth storing otherwise: a convolution and a product."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tiny_text import tiny_model

WIDTH = 2048
SOFTNESS = 0.15
"""Of the scores: what is as good as certain hides every difference between precisions."""


def wide_model() -> onnx.ModelProto:
    """What ``tiny_model`` computes, less certain, over ``WIDTH`` channels: a convolution spreads, a product gathers."""
    model = tiny_model()
    graph = model.graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    spread = np.random.default_rng(3).normal(size=(WIDTH, 3)).astype(np.float32)
    gather = SOFTNESS * (weights["w"].reshape(3, 3) @ np.linalg.pinv(spread)).T
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in (
            ("spread", spread.reshape(WIDTH, 3, 1, 1)),
            ("gather", gather.astype(np.float32)),
            ("b", (SOFTNESS * weights["b"]).astype(np.float32)),
            ("two", weights["two"]),
        )
    )
    pool = graph.node[0]
    nodes = [
        pool,
        helper.make_node("Conv", ["mean", "spread"], ["wide"], "conv"),
        helper.make_node("Squeeze", ["wide", "two"], ["row"], "squeeze"),
        helper.make_node("Transpose", ["row"], ["steps"], "transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["steps", "gather"], ["gathered"], "product"),
        helper.make_node("Add", ["gathered", "b"], ["scores"], "bias"),
        helper.make_node("Softmax", ["scores"], ["p"], "softmax", axis=-1),
    ]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return model
