"""Tiny models of what real networks are made of, each ``raw: float[1, 8, 16, 16]`` to ``y``, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.fold import Fold


class Net:
    """A graph in the making: each call adds a node and gives the name of what it writes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.known: list[TensorProto] = []
        self._rng = np.random.default_rng(5)
        self.nodes.append(helper.make_node("Mul", ["raw", self.const(2)], ["x"], "begin"))

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def const(self, value: object, dtype: type = np.float32) -> str:
        name = f"known_{len(self.known)}"
        self.known.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def normal(self, *shape: int) -> str:
        return self.const(self._rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])))

    def conv(self, x: str, out: int = 8, of: int = 8, size: int = 3, group: int = 1) -> str:
        weights, bias = self.normal(out, of // group, size, size), self.normal(out)
        return self.op("Conv", x, weights, bias, pads=[size // 2] * 4, group=group)

    def model(self, output: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"], "end"))
        raw = helper.make_tensor_value_info("raw", TensorProto.FLOAT, [1, 8, 16, 16])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [raw], [y], self.known)
        return Fold()(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def conv_norm_relu(net: Net) -> str:
    norm = [net.const(np.linspace(0.5, 2, 8)), net.const(np.zeros(8)), net.const(np.zeros(8)), net.const(np.ones(8))]
    return net.conv(net.op("Relu", net.op("BatchNormalization", net.conv("x"), *norm)))


def depthwise(net: Net) -> str:
    inner = net.op("Clip", net.conv("x", 16), net.const(0), net.const(6))
    wide = net.op("Clip", net.conv(inner, 16, 16, group=16), net.const(0), net.const(6))
    return net.conv(wide, 8, 16, size=1)


def residual(net: Net) -> str:
    first = net.op("Relu", net.conv("x"))
    return net.conv(net.op("Relu", net.op("Add", net.conv(net.op("Relu", net.conv(first))), first)))


def squeeze_excite(net: Net) -> str:
    x = net.op("Relu", net.conv("x"))
    narrow = net.op("Relu", net.conv(net.op("ReduceMean", x, axes=[2, 3]), 4, size=1))
    gate = net.op("Sigmoid", net.conv(narrow, 8, 4, size=1))
    return net.conv(net.op("Mul", x, gate))


def hard_swish(net: Net) -> str:
    x = net.conv("x")
    return net.conv(net.op("Mul", x, net.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)))


def gelu(net: Net) -> str:
    x = net.conv("x")
    erf = net.op("Erf", net.op("Div", x, net.const(2**0.5)))
    return net.conv(net.op("Mul", net.op("Mul", x, net.op("Add", erf, net.const(1))), net.const(0.5)))


def attention(net: Net) -> str:
    rows = net.op("Reshape", "x", net.const([1, 8, 256], np.int64))
    rows = net.op("Transpose", rows, perm=[0, 2, 1])
    q, k, v = (net.op("MatMul", rows, net.normal(8, 8)) for _ in range(3))
    scores = net.op("Mul", net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1])), net.const(0.05))
    return net.op("MatMul", net.op("MatMul", net.op("Softmax", scores, axis=-1), v), net.normal(8, 8))


def concat(net: Net) -> str:
    both = net.op("Concat", net.op("Relu", net.conv("x")), net.conv("x", 4), axis=1)
    return net.conv(both, 8, 12)


def resize(net: Net) -> str:
    scales = net.const([1, 1, 2, 2])
    wide = net.op("Resize", net.op("Relu", net.conv("x")), "", scales, mode="nearest")
    return net.conv(wide)


def pooling(net: Net) -> str:
    x = net.op("MaxPool", net.op("Relu", net.conv("x")), kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("AveragePool", net.conv(x), kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Flatten", net.op("GlobalAveragePool", net.conv(x)))
    return net.op("Gemm", x, net.normal(5, 8), net.normal(5), transB=1)


def shared_weights(net: Net) -> str:
    weights = net.normal(8, 8, 3, 3)
    x = net.op("Relu", net.op("Conv", "x", weights, net.normal(8), pads=[1] * 4))
    return net.op("Conv", x, weights, pads=[1] * 4)


def direct_output(net: Net) -> str:
    return net.conv("x")


KINDS: dict[str, Callable[[Net], str]] = {
    kind.__name__: kind
    for kind in (
        *(conv_norm_relu, depthwise, residual, squeeze_excite, hard_swish, gelu),
        *(attention, concat, resize, pooling, shared_weights, direct_output),
    )
}


def tiny_layers(kind: str) -> onnx.ModelProto:
    """The folded FP32 graph of one kind."""
    net = Net()
    return net.model(KINDS[kind](net))
