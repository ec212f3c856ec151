"""What goes into and comes out of an engine: names, types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import InputError

Array = NDArray[np.generic]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an engine.

    Attributes:
        name: the tensor's name in the graph.
        dtype: numpy's name of the element type, e.g. ``"uint8"``.
        shape: one entry per dimension; ``None`` where the graph leaves it open.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of ``shape`` fits."""
        return len(shape) == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, shape, strict=True)
        )


def check_feeds(specs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> None:
    """Refuse feeds that do not fit ``specs``, before any native call sees them.

    Raises:
        InputError: a name is missing or unknown, or a type or shape differs.
    """
    names = [spec.name for spec in specs]
    if set(names) != set(feeds):
        raise InputError(
            "the engine was fed other tensors than it takes",
            expected=", ".join(names),
            got=", ".join(feeds) or "nothing",
            fix="feed exactly the tensors that engine.inputs names",
        )
    for spec in specs:
        array = feeds[spec.name]
        if not isinstance(array, np.ndarray):
            raise InputError(
                f"input {spec.name!r} is not a numpy array",
                expected=str(spec),
                got=type(array).__name__,
                fix="pass a numpy array",
            )
        if array.dtype.name != spec.dtype or not spec.admits(array.shape):
            raise InputError(
                f"input {spec.name!r} does not fit the engine",
                expected=str(spec),
                got=f"{array.dtype.name}{list(array.shape)}",
                fix="prepare pictures with edgemill_runtimes.frames, as the bundle's manifest declares",
            )
