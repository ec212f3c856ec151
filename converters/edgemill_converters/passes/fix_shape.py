"""Set every dimension of the model's input."""

from __future__ import annotations

import onnx

from edgemill_converters.passes.base import Pass, copy_of, model_inputs, with_shapes_anew
from edgemill_core.errors import ModelError
from edgemill_core.picture_input import Layout, PictureInput


class FixShape(Pass):
    """Give the one picture input its batch of 1, channels, height and width.

    Promises an input without open dimensions.
    """

    name = "fix-shape"

    def __init__(self, declared: PictureInput) -> None:
        width, height = declared.size
        channels = declared.channels
        nchw = declared.layout is Layout.NCHW
        self._shape = (1, channels, height, width) if nchw else (1, height, width, channels)

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        result = copy_of(model)
        dims = picture_input(result).type.tensor_type.shape.dim
        for dim, size in zip(dims, self._shape, strict=True):
            if dim.dim_value > 0 and dim.dim_value != size:
                raise ModelError(
                    "the recipe's input does not fit the model",
                    expected=str([d.dim_value or d.dim_param or "?" for d in dims]),
                    got=str(list(self._shape)),
                    fix="mend input: size, layout or colour in the recipe",
                )
            dim.dim_value = size
        return with_shapes_anew(result)

    def _check(self, result: onnx.ModelProto) -> None:
        dims = [d.dim_value for d in picture_input(result).type.tensor_type.shape.dim]
        if tuple(dims) != self._shape:
            raise self._broken(str(self._shape), str(dims))


def picture_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The model's one input, which must take a batch of pictures.

    Raises:
        ModelError: several inputs, or not four dimensions.
    """
    inputs = model_inputs(model)
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        got = ", ".join(f"{i.name} ({len(i.type.tensor_type.shape.dim)} dimensions)" for i in inputs)
        raise ModelError(
            "the model does not take one batch of pictures",
            expected="one input of 4 dimensions",
            got=got or "no input",
            fix="export the model with one picture input",
        )
    return inputs[0]
