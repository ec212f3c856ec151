"""Set every dimension of a model's inputs that takes numbers or tensors."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from edgemill_converters.passes.base import Pass, copy_of, model_inputs, with_shapes_anew
from edgemill_core.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]


class FixShapes(Pass):
    """Give each input its declared shape.

    Promises inputs of these names without open dimensions.
    """

    name = "fix-shapes"

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = dict(shapes)

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        inputs = {value.name: value for value in model_inputs(result)}
        if set(inputs) != set(self._shapes):
            raise ModelError(
                "the recipe's tensors are not those of the model",
                expected="; ".join(_said(value) for value in inputs.values()) or "no inputs",
                got=", ".join(self._shapes),
                fix="name each of the model's inputs under input: tensors: or fixed: in the recipe",
            )
        for name, value in inputs.items():
            _fix(value, self._shapes[name])
        return with_shapes_anew(result)

    def _check(self, result: onnx.ModelProto) -> None:
        found = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in model_inputs(result)
        }
        if found != self._shapes:
            raise self._broken(str(self._shapes), str(found))


def _fix(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(shape) or any(d.dim_value > 0 and d.dim_value != s for d, s in zip(dims, shape, strict=False)):
        raise ModelError(
            f"the recipe's shape of {value.name!r} does not fit the model",
            expected=_said(value),
            got=str(list(shape)),
            fix="mend input: in the recipe; the first size is the batch",
        )
    for dim, size in zip(dims, shape, strict=True):
        dim.dim_value = size


def _said(value: onnx.ValueInfoProto) -> str:
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    dims = ", ".join(str(d.dim_value or d.dim_param or "?") for d in value.type.tensor_type.shape.dim)
    return f"{value.name}: {kind}[{dims}]"
