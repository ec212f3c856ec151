"""Memory that is shared, and memory that is held."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edgemill_core.processes.own_memory import peak_resident_bytes, resident_bytes
from edgemill_core.processes.shared_memory import TensorSlots, create_memory


def test_a_process_knows_what_it_holds() -> None:
    before = resident_bytes()
    held = np.ones(8_000_000)
    assert 60e6 < resident_bytes() - before < 200e6
    assert held.nbytes < peak_resident_bytes()


def test_arrays_come_out_of_a_slot_as_they_went_in() -> None:
    descriptor = create_memory(3 * 256)
    slots, others = TensorSlots(descriptor, 256), TensorSlots(descriptor, 256)
    os.close(descriptor)
    given = {"a": np.arange(7, dtype=np.uint8), "b": np.arange(6.0).reshape(2, 3).T, "c": np.zeros((0, 2), np.int64)}
    placed = [slots.write(slot, {name: array + slot for name, array in given.items()}) for slot in range(3)]
    for slot in range(3):
        for name, array in others.read(slot, placed[slot]).items():
            np.testing.assert_array_equal(array, given[name] + slot)
            assert array.dtype == given[name].dtype
    with pytest.raises(ValueError, match="more than 256 bytes"):
        slots.write(0, {"a": np.zeros(100), "b": np.zeros(1)})
    with pytest.raises(ValueError, match="cannot be shared"):
        slots.write(0, {"a": np.array(["text"], object)})
