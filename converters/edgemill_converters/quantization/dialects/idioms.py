"""What ONNX Runtime knows in float and no longer behind a DequantizeLinear, written as the one node it has for it.

GELU: ``x · (1 + erf(x / √2)) / 2`` where x is one tensor. Where x is dequantized, ONNX Runtime first gives each reader
a DequantizeLinear of its own, and then does not see that they are the same. The mean over a plane: as ReduceMean it
stays in float and is slow with channels last; as GlobalAveragePool it runs in INT8.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from edgemill_converters.quantization.wiring import Wiring

DOMAIN = "com.microsoft"


def write_idioms(model: onnx.ModelProto) -> None:
    """Replace them in place; a node that stays last keeps its name."""
    wiring = Wiring(model.graph)
    replaced: dict[int, onnx.NodeProto] = {}
    gone: set[int] = set()
    for node in wiring.nodes:
        if _is_plane_mean(node):
            replaced[id(node)] = helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name)
        found = _gelu(node, wiring) if node.op_type == "Erf" else None
        if found is not None:
            x, *inner, last = found
            replaced[id(last)] = helper.make_node("Gelu", [x.input[0]], last.output, last.name, domain=DOMAIN)
            gone |= {id(one) for one in (x, *inner)}
    nodes = [replaced.get(id(node), node) for node in wiring.nodes if id(node) not in gone]
    if any(node.domain == DOMAIN for node in nodes) and DOMAIN not in {o.domain for o in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    put_nodes(model.graph, nodes)


def put_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Make ``nodes`` the graph's; some may be the graph's already."""
    kept = onnx.GraphProto()
    kept.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(kept.node)


def _is_plane_mean(node: onnx.NodeProto) -> bool:
    told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axes = sorted(told.get("axes", []))  # an attribute up to opset 17; the input of later ones is left alone
    return node.op_type == "ReduceMean" and axes in ([2, 3], [-2, -1]) and told.get("keepdims", 1) == 1


def _gelu(erf: onnx.NodeProto, wiring: Wiring) -> tuple[onnx.NodeProto, ...] | None:
    """All its nodes, the one that takes x first and the last one last; ``None`` if this is no GELU."""
    into, plus = wiring.writers.get(erf.input[0]), wiring.only_reader(erf.output[0])
    if (
        into is None
        or plus is None
        or not _is(plus, "Add", 1.0, wiring)
        or wiring.only_reader(into.output[0]) is not erf
    ):
        return None
    if not (_is(into, "Div", 2**0.5, wiring) or _is(into, "Mul", 0.5**0.5, wiring)):
        return None
    product = wiring.only_reader(plus.output[0])
    if product is None or product.op_type != "Mul":
        return None
    x = into.input[0]
    other = next((name for name in product.input if name != plus.output[0]), "")
    last, half = wiring.only_reader(product.output[0]), wiring.writers.get(other)
    if other == x and last is not None and _is(last, "Mul", 0.5, wiring):
        return into, erf, plus, product, last
    if half is not None and _is(half, "Mul", 0.5, wiring) and x in half.input and wiring.only_reader(other) is product:
        return into, erf, plus, half, product
    return None


def _is(node: onnx.NodeProto, kind: str, number: float, wiring: Wiring) -> bool:
    """Whether the node is a ``kind`` with the constant ``number``."""
    known = [numpy_helper.to_array(wiring.constants[name]) for name in node.input if name in wiring.constants]
    return node.op_type == kind and any(one.size == 1 and abs(one.item() - number) < 1e-4 for one in known)
