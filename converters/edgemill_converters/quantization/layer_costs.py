"""What leaving a layer in float costs on the target: the kernels' own times, brought back to the layers of the graph.

A runtime fuses and renames: a convolution swallows its activation and takes its name, a quantization becomes a node of
its own. Every node of the compiled graph is charged to one layer, so that the costs of all layers add up to what FP32
takes more than INT8: a compute node to the layer that it is, any other to the layer whose output it works on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import onnx

from edgemill_runtimes.engines.facts import NodeTime


def owners(graph: onnx.GraphProto, layers: Sequence[str]) -> dict[str, str]:
    """The layer that each node and tensor belongs to: itself, the nearest before it, or the first that reads it."""
    made: dict[str, str] = {}
    found: dict[str, str] = {}
    for node in graph.node:
        before = next((made[name] for name in node.input if name in made), None)
        owner = node.name if node.name in layers else before
        if owner is not None:
            found.update(dict.fromkeys([name for name in (node.name, *node.output) if name], owner))
            made.update(dict.fromkeys(node.output, owner))
    for node in reversed(graph.node):
        after = found.get(node.name) or next((found[name] for name in node.output if name in found), None)
        for name in (node.name, *node.output, *node.input):
            if after is not None and name:
                found.setdefault(name, after)
    return found


def charged(times: Iterable[NodeTime], owner: Mapping[str, str], layers: Sequence[str]) -> dict[str, float]:
    """Milliseconds by layer; what cannot be told apart goes to the layer that ran before."""
    found = dict.fromkeys(layers, 0.0)
    last = layers[0]
    for node in times:
        last = _layer(node, owner, found) or last
        found[last] += node.ms
    return found


def _layer(node: NodeTime, owner: Mapping[str, str], layers: Mapping[str, float]) -> str | None:
    known = [name for told in node.names if (name := _known(told, owner)) is not None]
    itself = [name for name in known if node.heavy and name in layers]
    return itself[0] if itself else next((owner[name] for name in known), None)


def _known(told: str, owner: Mapping[str, str]) -> str | None:
    """The longest beginning of ``told`` that the graph knows: runtimes append to names, behind ``_`` or ``/``."""
    cuts = [len(told), *(match.start() for match in reversed(list(re.finditer(r"[_/:.]", told))))]
    return next((told[:cut] for cut in cuts if told[:cut] in owner), None)


def layer_costs(
    graph: onnx.GraphProto, layers: Sequence[str], in_float: Sequence[NodeTime], in_int8: Sequence[NodeTime]
) -> dict[str, float]:
    """Milliseconds that each layer takes more in float than in INT8; equal parts where the runtime tells nothing."""
    if not in_float or not in_int8:
        return dict.fromkeys(layers, 1.0 / len(layers))
    owner = owners(graph, layers)
    slow, fast = (charged(times, owner, layers) for times in (in_float, in_int8))
    return {name: slow[name] - fast[name] for name in layers}
