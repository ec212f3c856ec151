"""Memory that two processes share, and that has no name.

The kernel frees it when the last process that holds it is gone (``memfd_create(2)``), so nothing leaks, whatever is
killed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence

import numpy as np

from edgemill_core.tensors import Array

_ALIGNED = 64
Placed = dict[str, tuple[int, str, Sequence[int]]]
"""Where arrays lie in a slot: by name, offset in bytes, dtype and shape. JSON-ready."""


def create_memory(size: int) -> int:
    """Make it; returns a descriptor for children to inherit. Pages take room only once they are written."""
    descriptor = os.memfd_create("edgemill", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    return descriptor


class TensorSlots:
    """A process's view of shared memory that is cut into slots of equal size, each for some arrays."""

    def __init__(self, descriptor: int, slot_bytes: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self.slot_bytes = slot_bytes

    def write(self, slot: int, arrays: Mapping[str, Array]) -> Placed:
        """Copy ``arrays`` into ``slot``.

        Raises:
            ValueError: they do not fit, or hold something else than numbers.
        """
        placed: Placed = {}
        end = 0
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise ValueError(f"{name!r} is {array.dtype.name}, which cannot be shared between processes")
            start = -(-end // _ALIGNED) * _ALIGNED
            end = start + array.nbytes
            if end > self.slot_bytes:
                raise ValueError(f"tensors of more than {self.slot_bytes} bytes in one run")
            placed[name] = (start, array.dtype.str, array.shape)
            self._view(slot, *placed[name])[...] = array
        return placed

    def read(self, slot: int, placed: Placed) -> dict[str, Array]:
        """The arrays in ``slot``, not copied: they hold only until the slot is used again."""
        return {name: self._view(slot, *place) for name, place in placed.items()}

    def _view(self, slot: int, start: int, dtype: str, shape: Sequence[int]) -> Array:
        return np.ndarray(tuple(shape), np.dtype(dtype), self._memory, slot * self.slot_bytes + start)
