"""What goes into and comes out of an engine: names, types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgemill_core.errors import InputError

Array = NDArray[np.generic]


Limits = tuple[tuple[int, int] | None, ...]
"""Least and most size of each dimension that a graph leaves open; ``None`` for those that it does not."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of an engine.

    Attributes:
        name: the tensor's name in the graph.
        dtype: numpy's name of the element type, e.g. ``"uint8"``.
        shape: one entry per dimension; ``None`` where the graph leaves it open.
        limits: of the open dimensions, where they were declared; else empty.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    limits: Limits = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(self._said(axis) for axis in range(len(self.shape)))}]"

    def _said(self, axis: int) -> str:
        size, limit = self.shape[axis], self.limits[axis] if self.limits else None
        return f"{limit[0]}..{limit[1]}" if limit else "?" if size is None else str(size)

    @cached_property
    def element(self) -> np.dtype[np.generic] | None:
        """The element type; ``None`` where numpy has none of this name."""
        try:
            return np.dtype(self.dtype)
        except TypeError:
            return None

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of ``shape`` fits."""
        if shape == self.shape:
            return True
        if len(shape) != len(self.shape):
            return False
        if any(want is not None and want != have for want, have in zip(self.shape, shape, strict=True)):
            return False
        pairs = zip(self.limits, shape, strict=bool(self.limits))
        return all(limit is None or limit[0] <= have <= limit[1] for limit, have in pairs)

    def fits(self, array: object) -> bool:
        """Whether ``array`` is one that the engine takes for this tensor."""
        return type(array) is np.ndarray and array.dtype == self.element and self.admits(array.shape)

    def example(self) -> Array:
        """Zeros of the least admitted size; an open dimension without limits is taken as 1."""
        limits = self.limits or (None,) * len(self.shape)
        sizes = [
            size if size is not None else limit[0] if limit else 1
            for size, limit in zip(self.shape, limits, strict=True)
        ]
        return np.zeros(sizes, self.element)

    def limited(self, limits: Limits) -> TensorSpec:
        """The same tensor with ``limits`` declared.

        Raises:
            InputError: they do not fit the shape, or nothing can fit them.
        """
        right = len(limits) == len(self.shape) and all(
            limit is None or (size is None and 0 < limit[0] <= limit[1])
            for size, limit in zip(self.shape, limits, strict=True)
        )
        if not right:
            raise InputError(
                f"the limits of {self.name!r} do not fit the graph",
                expected=f"least and most for open dimensions of {self}, None for the others",
                got=str(limits),
                fix="mend the limits in the engine's settings",
            )
        return replace(self, limits=limits)


def check_feeds(specs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> None:
    """Refuse feeds that do not fit ``specs``, before any native call sees them.

    Raises:
        InputError: a name is missing or unknown, or a type or shape differs.
    """
    if len(feeds) == len(specs) and all(spec.fits(feeds.get(spec.name)) for spec in specs):
        return
    _check_names(
        specs,
        feeds,
        "the engine was fed other tensors than it takes",
        "feed exactly the tensors that engine.inputs names",
    )
    for spec in specs:
        _check_feed(spec, feeds[spec.name])


def _check_names(specs: Sequence[TensorSpec], given: Mapping[str, Array], what: str, fix: str) -> None:
    names = [spec.name for spec in specs]
    if set(names) != set(given):
        raise InputError(what, expected=", ".join(names), got=", ".join(given) or "nothing", fix=fix)


def _check_feed(spec: TensorSpec, array: object) -> None:
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


def check_finite(feeds: Mapping[str, Array]) -> None:
    """Refuse feeds with a NaN or an infinity in them.

    Raises:
        InputError: naming the tensor, how many, and the first place.
    """
    for name, array in feeds.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            wrong = np.argwhere(~np.isfinite(array))
            raise InputError(
                f"input {name!r} holds numbers that are not finite",
                expected="finite numbers: the engine was loaded with non_finite=refuse",
                got=f"{len(wrong)} of {array.size}, the first at {wrong[0].tolist()}",
                fix="mend the source, or load the engine with non_finite=allow if the model takes them",
            )


def check_buffers(specs: Sequence[TensorSpec], buffers: Mapping[str, Array]) -> None:
    """Refuse output buffers that the outputs cannot be written to.

    Raises:
        InputError: one is missing, unknown, of another type or shape, read-only or not contiguous.
    """
    _check_names(
        specs, buffers, "the output buffers are not those of the engine", "give one buffer for each of engine.outputs"
    )
    for spec in specs:
        array = buffers[spec.name]
        flags = getattr(array, "flags", None)
        if flags is None or not (spec.fits(array) and flags.writeable and flags.c_contiguous):
            got = f"{array.dtype.name}{list(array.shape)}" if flags is not None else type(array).__name__
            raise InputError(
                f"the buffer for output {spec.name!r} does not fit",
                expected=f"{spec}, writeable and contiguous",
                got=got,
                fix="make it with numpy.empty",
            )
