"""The same, layer by layer: every tensor that both graphs have is made an output of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from edgemill_converters.comparing.differences import Difference, finite
from edgemill_converters.passes.base import copy_of
from edgemill_core.errors import InputError, ModelError

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class LayerDifference:
    """Of one layer's result.

    Attributes:
        layer: the node that makes the tensor at A.
        kind: its operator.
        difference: of the tensor.
        arrived: largest relative difference of what flows into the layer.
    """

    layer: str
    kind: str
    difference: Difference
    arrived: float

    @property
    def rise(self) -> float:
        """What the layer adds to the relative difference; 0 where it takes away."""
        return self.difference.relative - self.arrived if self.difference.relative > self.arrived else 0.0

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {"layer": self.layer, "kind": self.kind, **self.difference.as_dict(), "rise": finite(self.rise)}


def read_graph(path: Path) -> onnx.ModelProto:
    """A graph with its weights.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's own errors, and those of missing weights
        raise ModelError(
            f"{path.name} cannot be read",
            expected="an ONNX graph, with its weights beside it",
            got=str(error).strip()[:400] or type(error).__name__,
            fix="check the file",
        ) from error


def shared_tensors(a: onnx.ModelProto, b: onnx.ModelProto) -> list[str]:
    """Float tensors that a node of each graph makes, in the order of A's nodes.

    Raises:
        InputError: there is none.
    """
    made = [_made(model) for model in (a, b)]
    found = [name for name in made[0] if name in made[1]]
    if not found:
        raise InputError(
            "the two graphs have no tensor in common",
            expected="names of A's layers at B, as quantization leaves them",
            got=f"{len(made[0])} at A, {len(made[1])} at B, all different",
            fix="compare graphs made from the same one, or leave out --layers",
        )
    return found


def _made(model: onnx.ModelProto) -> list[str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.output]}
    return [name for node in model.graph.node for name in node.output if kinds.get(name) in _FLOATS]


def watched(model: onnx.ModelProto, tensors: Iterable[str], path: Path) -> Path:
    """Write ``model`` with ``tensors`` as further outputs."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = {value.name: value for value in inferred.value_info}
    present = {value.name for value in model.graph.output}
    result = copy_of(model)
    result.graph.output.extend(known[name] for name in tensors if name not in present)
    onnx.save(result, path)
    return path


def attributed(model: onnx.ModelProto, differences: Mapping[str, Difference]) -> list[LayerDifference]:
    """Each tensor's difference with what had arrived at its layer, in the order of the graph."""
    flowing: dict[str, float] = {}
    found = []
    for node in model.graph.node:
        arrived = max((flowing.get(name, 0.0) for name in node.input), default=0.0)
        for name in node.output:
            known = differences.get(name)
            flowing[name] = arrived if known is None else known.relative
            if known is not None:
                found.append(LayerDifference(node.name or name, node.op_type, known, arrived))
    return found


def steepest(layers: Sequence[LayerDifference], count: int) -> list[LayerDifference]:
    """Those that add most, first."""
    return sorted(layers, key=lambda one: -one.rise)[:count]
