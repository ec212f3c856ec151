"""What a deserialized plan takes and gives, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgemill_core.errors import InputError, ModelError
from edgemill_core.tensors import Limits, TensorSpec

if TYPE_CHECKING:
    import tensorrt as trt

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
"""By TensorRT's own names; its other types have none in numpy."""


def plan_tensors(module: Any, native: trt.ICudaEngine) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs, with the sizes that the plan was made for, and outputs, in the plan's order.

    Args:
        module: the bindings.
        native: the deserialized plan.

    Raises:
        ModelError: one has a type that numpy has not, or lies where ours do not.
    """
    names = [native.get_tensor_name(index) for index in range(native.num_io_tensors)]
    taken = [name for name in names if native.get_tensor_mode(name) == module.TensorIOMode.INPUT]
    specs = {name: _spec(module, native, name, name in taken) for name in names}
    return tuple(specs[name] for name in taken), tuple(specs[name] for name in names if name not in taken)


def _spec(module: Any, native: trt.ICudaEngine, name: str, is_input: bool) -> TensorSpec:
    kind = native.get_tensor_dtype(name).name
    plain = native.get_tensor_format(name) == module.TensorFormat.LINEAR
    if kind not in _DTYPES or not plain or native.get_tensor_location(name) != module.TensorLocation.DEVICE:
        raise ModelError(
            f"{name!r} cannot be {'fed' if is_input else 'read'}",
            expected=f"a plain tensor on the GPU, of {', '.join(_DTYPES.values())}",
            got=f"{kind}, {native.get_tensor_format_desc(name)}, {native.get_tensor_location(name).name}",
            fix="cast it in the graph; sizes that are themselves an input must be constants",
        )
    shape = tuple(None if size < 0 else int(size) for size in native.get_tensor_shape(name))
    if not is_input or None not in shape:
        return TensorSpec(name, _DTYPES[kind], shape)
    least, _, most = (tuple(sizes) for sizes in native.get_tensor_profile_shape(name, 0))
    limits = [
        None if size is not None else (int(low), int(high)) for size, low, high in zip(shape, least, most, strict=True)
    ]
    return TensorSpec(name, _DTYPES[kind], shape, tuple(limits))


def check_limits(inputs: tuple[TensorSpec, ...], declared: Mapping[str, Limits]) -> None:
    """Refuse declared sizes that the plan was not made for; those that do not fit the graph are refused later.

    Raises:
        InputError: naming the sizes that it was made for.
    """
    for spec in inputs:
        asked = declared.get(spec.name, ())
        if len(asked) == len(spec.limits) and any(map(_exceeds, asked, spec.limits)):
            raise InputError(
                f"the limits of {spec.name!r} go beyond what the plan was compiled for",
                expected=str(spec),
                got=str(asked),
                fix="declare less, or compile it again with `edgemill agent compile` for more",
            )


def _exceeds(asked: tuple[int, int] | None, have: tuple[int, int] | None) -> bool:
    return asked is not None and have is not None and not have[0] <= asked[0] <= asked[1] <= have[1]
