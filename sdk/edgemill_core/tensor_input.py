"""How named tensors become an engine's one input: which, of what type and shape, and in what order.

Models of text, sound or bytes take what neither a picture nor a row of numbers is, often several tensors at once. The
engine takes them as one flat row, in the order declared; the graph takes them apart again.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from edgemill_core.errors import InputError
from edgemill_core.tensors import Array
from edgemill_core.validation import Strict

ElementType = Literal["float32", "int64", "int32", "uint8", "bool"]
Size = Annotated[int, Field(gt=0)]
_MOST_VALUES = 1 << 26


class DeclaredTensor(Strict):
    """One input of the model.

    Attributes:
        shape: with the batch, which is 1 in most models.
        dtype: what samples hold; the model itself may take another type of numbers.
    """

    shape: Annotated[tuple[Size, ...], Field(min_length=1)]
    dtype: ElementType = "float32"

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


class TensorInput(Strict):
    """Declared input of a model that takes tensors as they are.

    Attributes:
        tensors: by the model's own names; a shape alone is short for ``float32`` of that shape.
        fixed: further inputs of the model that always have the same values, e.g. ``{"sr": 16000}``.
    """

    tensors: Annotated[dict[str, DeclaredTensor], Field(min_length=1)]
    fixed: dict[str, float | int | list[Any]] = Field(default_factory=dict)

    @field_validator("tensors", mode="before")
    @classmethod
    def _short_form(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {name: {"shape": one} if isinstance(one, (list, tuple)) else one for name, one in raw.items()}

    @model_validator(mode="after")
    def _fit_together(self) -> TensorInput:
        twice = sorted(set(self.tensors) & set(self.fixed))
        if twice:
            raise ValueError(f"an input is given or fixed, not both: {', '.join(twice)}")
        if self.size > _MOST_VALUES:
            raise ValueError(f"at most {_MOST_VALUES:,} values in all, not {self.size:,}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self.tensors)

    @property
    def size(self) -> int:
        """Number of values of all tensors."""
        return sum(one.size for one in self.tensors.values())

    @property
    def dtype(self) -> str:
        """Element type of the engine's input: ``int64`` where all tensors hold integers, else ``float32``."""
        return "float32" if any(one.dtype == "float32" for one in self.tensors.values()) else "int64"

    def prepare(self, given: Mapping[str, object]) -> Array:
        """The engine's input, ``float32[1, size]`` or ``int64[1, size]``.

        Raises:
            InputError: a tensor is missing, unknown, of another shape or type, or holds what the engine's type cannot.
        """
        if set(given) != set(self.tensors):
            raise InputError(
                "the sample does not have the model's tensors",
                expected=", ".join(self.tensors),
                got=", ".join(map(str, given)) or "none",
                fix="give one array for each tensor that the bundle declares",
            )
        flat = [_flat(name, one, given[name], self.dtype) for name, one in self.tensors.items()]
        return np.concatenate(flat)[None]

    def apart(self, prepared: Array) -> dict[str, Array]:
        """The tensors of one prepared input, ``[1, size]``, each in its own shape and type."""
        found, place = {}, 0
        for name, one in self.tensors.items():
            found[name] = prepared[0, place : place + one.size].reshape(one.shape).astype(one.dtype)
            place += one.size
        return found


def _flat(name: str, declared: DeclaredTensor, value: object, dtype: str) -> Array:
    """All values of a tensor as ``dtype``, which must hold them to the last bit."""
    array = np.asarray(value)
    own = np.dtype(declared.dtype)
    numbers = "iub" if own.kind in "iub" else "fiu"
    if array.shape != declared.shape or array.dtype.kind not in numbers:
        raise InputError(
            f"tensor {name!r} does not fit the model",
            expected=f"{declared.dtype}{list(declared.shape)}",
            got=f"{array.dtype.name}{list(array.shape)}",
            fix="mend the sample, or the shape under input: tensors: in the recipe",
        )
    with np.errstate(all="ignore"):
        flat = array.reshape(-1).astype(own).astype(dtype)
        back = flat.astype(own)
    exact = own.kind == "f" or np.array_equal(back, array.reshape(-1))
    if not exact or not np.isfinite(flat).all():
        raise InputError(
            f"tensor {name!r} holds what the engine cannot take",
            expected=f"finite values that {declared.dtype} and {dtype} hold exactly",
            got=f"values from {array.min()!s} to {array.max()!s}",
            fix="mend the sample",
        )
    return flat
