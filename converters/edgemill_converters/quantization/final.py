"""Tensors behind which no layer comes, and what their range has to hold.

What is clipped there stays clipped, and what is rare there is what the model is for: the score of a detector is near
zero almost everywhere. So these tensors get their outermost extremes whatever the method; and where a bounded
activation follows, its own domain, so that a score can be represented that no calibration picture has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import onnx

from edgemill_converters.quantization.plan import Range
from edgemill_converters.quantization.statistics import Statistics
from edgemill_converters.quantization.wiring import Wiring

LAYERS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "LSTM", "GRU", "RNN"})
"""Operators that mix values by weights, quantized or not."""
_MOVES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "Concat", "Gather"}
)
"""Operators that change no value."""


@dataclass(frozen=True)
class Domain:
    """Where a bounded activation is not flat.

    Attributes:
        needed: values to represent, seen or not.
        useful: beyond it nothing changes that matters.
    """

    needed: Range
    useful: Range

    def joined(self, other: Domain) -> Domain:
        """What both need."""
        return Domain(_outer(self.needed, other.needed), _outer(self.useful, other.useful))


_STEP = log(254)
_FLAT = 8.0
SIGMOID = Domain(Range(-_STEP, _STEP), Range(-_FLAT, _FLAT))
"""At ± ln 254 a sigmoid is one 255th from its limit, the step of an 8-bit score; at ± 8 one 3,000th."""


def stand_ins(graph: onnx.GraphProto) -> dict[str, str]:
    """Outputs of layers that a ReLU or Clip alone reads, with what is left behind it (or behind several in a row).

    What is cut off is in no other layer's input, so the range of the layer's output is that of what is left of it;
    then runtimes fuse the cut into the layer.
    """
    wiring = Wiring(graph)
    outputs = [name for node in wiring.nodes if node.op_type in LAYERS for name in node.output]
    return {name: left for name in outputs if (left := wiring.behind_cuts(name)) != name}


def _mixes(node: onnx.NodeProto) -> bool:
    """Whether it is a layer, or has one in a graph within it."""
    inner = (graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs))
    return node.op_type in LAYERS or any(_mixes(one) for graph in inner for one in graph.node)


def final_tensors(graph: onnx.GraphProto) -> dict[str, Domain | None]:
    """Outputs of layers behind which no layer comes, with the domain of the activation that alone reads them."""
    wiring = Wiring(graph)
    readers, given = wiring.readers, wiring.outputs
    # Backwards, so that whoever reads a tensor was seen before it.
    followed: dict[str, bool] = {}
    domains: dict[str, Domain | None] = {}
    for node in reversed(wiring.nodes):
        for name in node.output:
            followed[name] = any(
                _mixes(reader) or any(followed[output] for output in reader.output) for reader in readers[name]
            )
            domains[name] = None if name in given else _domain(readers[name], domains)
    return {
        name: domains[name]
        for node in graph.node
        if node.op_type in LAYERS
        for name in node.output
        if not followed[name]
    }


def _domain(readers: list[onnx.NodeProto], domains: dict[str, Domain | None]) -> Domain | None:
    found: Domain | None = None
    for reader in readers:
        for one in [domains[output] for output in reader.output] if reader.op_type in _MOVES else [_bounds(reader)]:
            if one is None:
                return None
            found = one if found is None else found.joined(one)
    return found


def _bounds(node: onnx.NodeProto) -> Domain | None:
    if node.op_type == "Sigmoid":
        return SIGMOID
    if node.op_type == "HardSigmoid":
        given = {attribute.name: attribute.f for attribute in node.attribute}
        alpha, beta = given.get("alpha", 0.2), given.get("beta", 0.5)
        bounds = Range(min(-beta / alpha, 0.0), max((1 - beta) / alpha, 0.0))
        return Domain(bounds, bounds)
    return None


def final_range(seen: Statistics, domain: Domain | None) -> Range:
    """What a final tensor has to hold."""
    if domain is None:
        return Range(min(seen.low, 0.0), max(seen.high, 0.0))
    wide = _outer(domain.needed, Range(seen.low, seen.high))
    return Range(max(wide.low, domain.useful.low), min(wide.high, domain.useful.high))


def _outer(one: Range, other: Range) -> Range:
    return Range(min(one.low, other.low), max(one.high, other.high))
