"""Frames in memory that source worker and engine worker share; the line process only says whose turn a slot is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemill_core.processes.shared_memory import TensorSlots, create_memory


def create_ring(slots: int, slot_bytes: int) -> int:
    """Make the memory; returns a descriptor for children to inherit."""
    return create_memory(slots * slot_bytes)


class FrameRing:
    """A worker's view of the ring."""

    def __init__(self, descriptor: int, slot_bytes: int) -> None:
        self._slots = TensorSlots(descriptor, slot_bytes)
        self.slot_bytes = slot_bytes

    def write(self, slot: int, frame: NDArray[np.uint8]) -> None:
        """Copy ``frame``, ``uint8[height, width, channels]``, into ``slot``; it must fit."""
        self._slots.write(slot, {"frame": frame})

    def read(self, slot: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The frame in ``slot``, not copied: it holds only until the slot is given back."""
        return self._slots.read(slot, {"frame": (0, "uint8", shape)})["frame"].view(np.uint8)
