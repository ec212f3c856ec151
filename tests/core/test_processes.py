"""Memory that is shared and held, and processes that are started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemill_core.processes.channel import MESSAGE_BYTES, decode, encode
from edgemill_core.processes.own_memory import peak_resident_bytes, resident_bytes
from edgemill_core.processes.shared_memory import TensorSlots, create_memory
from edgemill_core.processes.spawning import end_in_words, spawn


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


def started(module: str = "this") -> subprocess.Popen[bytes]:
    """A process that prints something and ends."""
    with open(os.devnull) as channel:
        return spawn(module, channel.fileno())


def test_processes_are_started_after_a_fork_too() -> None:
    assert started().wait() == 0
    with warnings.catch_warnings(action="ignore"):  # of a fork beside threads, which is what this is about
        pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        os._exit(started().wait())
    assert os.waitpid(pid, 0)[1] == 0


def test_a_process_outlives_the_thread_that_asked_for_it() -> None:
    """The kernel ends a child with the thread that started it."""
    made: list[subprocess.Popen[bytes]] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def ask() -> None:
        made.append(spawn("edgemill_runtimes.isolation.serve", theirs.fileno()))
        time.sleep(1)  # until the child has told the kernel whom to watch

    asker = threading.Thread(target=ask)
    asker.start()
    asker.join()
    with ours, theirs, pytest.raises(subprocess.TimeoutExpired):
        made[0].wait(0.3)  # it waits for a first message
    made[0].kill()
    assert end_in_words(made[0].wait()) == "killed by SIGKILL"
    assert end_in_words(started("no_such_module").wait()) == "exit status 1"


@given(
    some.dictionaries(
        some.text(), some.none() | some.booleans() | some.integers(-(2**63), 2**64) | some.text(), max_size=5
    )
)
def test_a_message_comes_out_as_it_went_in(message: dict[str, object]) -> None:
    assert decode(encode(message)) == message


def test_a_message_may_say_what_json_cannot() -> None:
    """Names of files that are no UTF-8, and what an engine may compute."""
    told = {"item": "a\udcff.png", "low": -float("inf"), "counts": (1, 2), "huge": 10**30}
    assert decode(encode(told)) == {**told, "counts": [1, 2]}
    assert np.isnan(decode(encode({"p": float("nan")}))["p"])
    with pytest.raises(ValueError, match="is the most"):
        encode({"text": "x" * MESSAGE_BYTES})
    with pytest.raises(TypeError):
        encode({"not": object()})
