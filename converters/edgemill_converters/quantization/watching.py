"""The FP32 graph with eyes on some tensors: it computes extremes, channel means and a sample of each itself.

Nothing large leaves the graph, so neither time nor memory goes into copying activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.base import copy_of
from edgemill_converters.passes.upgrade_opset import opset_of
from edgemill_core.tensors import Array

SAMPLE = 2048
"""Values that a histogram takes of one picture's tensor; smaller tensors are taken whole."""
_RUN = 8
"""Neighbours that are sampled together: most of a sample's time is the memory's, which fetches them together anyway."""
PHASE = "edgemill_phase"
"""Input that shifts the places of the samples: ``int64[1]``, another one for each picture."""
_AXES_AS_INPUT = 18
"""From this opset on, reductions take their axes as an input."""
_REDUCTIONS = {"low": "ReduceMin", "high": "ReduceMax", "means": "ReduceMean"}


@dataclass(frozen=True)
class Seen:
    """One tensor of one picture: ``low``, ``high`` and ``means`` per channel, and a sample of its values."""

    low: Array
    high: Array
    means: Array
    values: Array

    @property
    def finite(self) -> bool:
        """No NaN, no infinity: a mean takes up every value of its channel."""
        return bool(np.isfinite(self.means.sum()))


@dataclass(frozen=True)
class WatchedGraph:
    """``model`` has the outputs that ``seen`` reads; ``phased`` if it has the input ``PHASE``."""

    model: onnx.ModelProto
    tensors: tuple[str, ...]
    phased: bool

    def seen(self, outputs: Mapping[str, Array]) -> Iterator[tuple[str, Seen]]:
        """What one run showed of every tensor, in the order of the graph."""
        for tensor in self.tensors:
            low, high, means = (outputs[f"{tensor}/{name}"] for name in _REDUCTIONS)
            yield tensor, Seen(low, high, means, outputs[f"{tensor}/values"])


def watched(model: onnx.ModelProto, channels: Mapping[str, int]) -> WatchedGraph:
    """Put eyes on tensors.

    Args:
        channels: axis of the channels by tensor; negative counts from the end.
    """
    shapes = _shapes(model)
    eyes = _Eyes(copy_of(model))
    for tensor, axis in channels.items():
        eyes.watch(tensor, axis, shapes.get(tensor))
    return WatchedGraph(eyes.model, tuple(channels), eyes.phased)


class _Eyes:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.phased = False
        self._axes_as_input = opset_of(model) >= _AXES_AS_INPUT
        self._constants: set[str] = set()
        del model.graph.output[:]

    def watch(self, tensor: str, axis: int, shape: Sequence[int] | None) -> None:
        axes = [] if shape is None else [i for i in range(len(shape)) if i != axis % len(shape)]
        for name, kind in _REDUCTIONS.items():
            self._reduce(kind, tensor, axes, f"{tensor}/{name}")
        self._sample(tensor, 0 if shape is None else prod(shape))
        for name in (*_REDUCTIONS, "values"):
            told = helper.make_tensor_value_info(f"{tensor}/{name}", TensorProto.FLOAT, None)
            self.model.graph.output.append(told)

    def _reduce(self, kind: str, tensor: str, axes: Sequence[int], output: str) -> None:
        if not axes:
            self._node(kind, [tensor], output, keepdims=0)
        elif self._axes_as_input:
            name = "edgemill_axes_" + "_".join(map(str, axes))
            self._node(kind, [tensor, self._constant(name, axes)], output, keepdims=0)
        else:
            self._node(kind, [tensor], output, keepdims=0, axes=list(axes))

    def _sample(self, tensor: str, size: int) -> None:
        if size <= SAMPLE:
            self._node("Reshape", [tensor, self._constant("edgemill_flat", [-1])], f"{tensor}/values")
            return
        run = gcd(size, _RUN)
        self._node("Reshape", [tensor, self._constant(f"edgemill_runs_{run}", [-1, run])], f"{tensor}/runs")
        self._node("Gather", [f"{tensor}/runs", self._places(size // run, SAMPLE // run)], f"{tensor}/values")

    def _places(self, runs: int, taken: int) -> str:
        """Which of a tensor's runs to take: one, by chance, of each of ``taken`` equal stretches."""
        name = f"edgemill_places_{runs}_{taken}"
        if name in self._constants:
            return name
        if not self.phased:
            self.phased = True
            self.model.graph.input.append(helper.make_tensor_value_info(PHASE, TensorProto.INT64, [1]))
        chance = np.random.default_rng(runs).random(taken)
        places = ((np.arange(taken) + chance) * runs / taken).astype(np.int64)
        self._constants.add(name)
        self._node("Add", [self._constant(f"{name}_before", places), PHASE], f"{name}_after")
        self._node("Mod", [f"{name}_after", self._constant(f"{name}_end", [runs])], name)
        return name

    def _constant(self, name: str, values: Sequence[int] | Array) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> None:
        self.model.graph.node.append(helper.make_node(kind, inputs, [output], f"edgemill_watch_{output}", **attributes))


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the tensors for which every dimension is known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    found = {}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        if kind.HasField("shape") and shape and all(shape):
            found[value.name] = shape
    return found
