"""How many bytes a graph's weights take where they are kept as the graph says: what is left to compare without a clock.

A file says nothing of that: TensorRT's dialect of INT8 has its weights in FP32 behind a QuantizeLinear, and the plan
keeps what comes out of it.
"""

from __future__ import annotations

from math import prod

import onnx
from onnx import helper


def weight_bytes(graph: onnx.GraphProto) -> int:
    """Bytes of all constants of ``graph``, those that are quantized as whole numbers. Weights need not be there."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kept = {
        node.input[0]: types[node.input[2]]
        for node in graph.node
        if node.op_type == "QuantizeLinear" and len(node.input) > 2 and node.input[2] in types
    }
    return sum(
        prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(kept.get(tensor.name, tensor.data_type)).itemsize
        for tensor in graph.initializer
    )
