"""Fold constants and fuse what every target fuses alike, with ONNX Runtime's basic graph optimisations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from edgemill_converters.passes.base import Pass
from edgemill_runtimes.engines.onnxruntime import write_optimised


class Fold(Pass):
    """Constants folded, batch norms fused, identities gone; standard operators only.

    "Basic" is the level that ONNX Runtime documents as independent of the machine. Promises no operator outside
    ONNX's own domains, and a name of its own for every node: the quantization plan goes by names.
    """

    name = "fold"

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "given.onnx"), Path(folder, "made.onnx")
            onnx.save(model, given)
            write_optimised(given, made)
            result = onnx.load(made)
        used = {node.domain for node in result.graph.node}
        kept = [opset for opset in result.opset_import if opset.domain in used | {""}]
        del result.opset_import[:]
        result.opset_import.extend(kept)
        _name_nodes(result.graph)
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        foreign = sorted({n.domain for n in result.graph.node} - {"", "ai.onnx", "ai.onnx.ml"})
        if foreign:
            raise self._broken("ONNX's own operators", ", ".join(foreign))


def _name_nodes(graph: onnx.GraphProto) -> None:
    # Names that are there differ already: ONNX Runtime loads no graph with a name twice.
    for index, node in enumerate(graph.node):
        node.name = node.name or f"edgemill_{node.op_type.lower()}_{index}"
