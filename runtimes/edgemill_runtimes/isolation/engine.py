"""An engine in a process of its own, with the contract of any other."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from edgemill_core.errors import EngineCrashed, InputError
from edgemill_core.precision_hint import PrecisionHint
from edgemill_core.processes.shared_memory import TensorSlots, create_memory
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines.base import Engine, check_shape
from edgemill_runtimes.engines.facts import Compiled, EngineFacts, Layer
from edgemill_runtimes.engines.settings import EngineSettings
from edgemill_runtimes.isolation.process import EngineProcess, Isolation, answered, read_layers

RUNS = 16
"""Most runs at once; each has a slot for what goes in, and one for what comes out."""
SLOT_BYTES = 256 << 20
"""Most bytes of the feeds, and of the outputs, of one run. Only what is written takes memory."""


class IsolatedEngine(Engine):
    """Runs ``runtime`` in another process: a segfault, a kill for lack of memory or a hang is an error here.

    After ``EngineCrashed`` or ``EngineTimeout`` every run says ``EngineCrashed`` until ``restart``.
    """

    obeyed_hints: tuple[PrecisionHint, ...] = get_args(PrecisionHint)  # the other process refuses what it does not obey

    def __init__(
        self,
        runtime: str,
        graph: Path,
        settings: EngineSettings = EngineSettings(),  # noqa: B008 (frozen)
        limits: Isolation = Isolation(),  # noqa: B008 (frozen)
    ) -> None:
        self.runtime = runtime
        self.limits = limits
        super().__init__(graph, settings)

    @property
    def pid(self) -> int:
        """Of the engine's process."""
        return self._process.pid

    def restart(self) -> None:
        """End the process, whatever it is doing, and load the engine again in a new one.

        Raises:
            EdgemillError: as for loading.
        """
        self._check_open()
        self._process.kill()
        with self._sending, self._receiving:
            self._process.close()
            self._begin()

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        self._memory = create_memory(2 * RUNS * SLOT_BYTES)
        self._slots = TensorSlots(self._memory, SLOT_BYTES)
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        try:
            self._begin()
        except BaseException:
            os.close(self._memory)
            raise
        return self._process.inputs, self._process.outputs

    def _begin(self) -> None:
        self._process = EngineProcess(self.runtime, self.graph, self.settings, self.limits, (self._memory, SLOT_BYTES))
        self._number = 0
        self._down: EngineCrashed | None = None
        self._free = list(range(RUNS))
        self._answers: dict[int, dict[str, Any]] = {}

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._finish(self._start(feeds))

    def _run_into(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> dict[str, Array]:
        return self._finish(self._start(feeds), into)

    def _start(self, feeds: Mapping[str, Array]) -> _Going:
        with self._sending:
            self._check_up()
            if not self._free:
                raise InputError(
                    "too many runs at once in an isolated engine",
                    expected=f"at most {RUNS}",
                    got=str(RUNS + 1),
                    fix="give the stream less depth, or use fewer threads",
                )
            slot = self._free.pop()
            try:
                placed = self._slots.write(2 * slot, feeds)
            except ValueError as error:
                self._free.append(slot)
                raise InputError(
                    "the feeds cannot go to an isolated engine",
                    expected=f"numbers, at most {SLOT_BYTES >> 20} MiB in one run",
                    got=str(error),
                    fix="feed less at once, or load the engine without isolation",
                ) from error
            return self._send({"slot": slot, "feeds": placed}, slot, self.limits.run_s)

    def _send(self, message: Mapping[str, Any], slot: int | None, seconds: float) -> _Going:
        self._number += 1
        if self._number % 1024 == 0:
            self._process.trim_log()
        going = _Going(self._process, self._number, slot, time.monotonic() + seconds)
        try:
            self._process.send({**message, "number": going.number})
        except EngineCrashed as error:
            self._down = error
            raise
        return going

    def _finish(self, started: _Going, into: Mapping[str, Array] | None = None) -> dict[str, Array]:
        try:
            answer = answered(self._await(started))
            found = self._slots.read(2 * started.slot + 1, answer["outputs"]) if started.slot is not None else {}
            if into is None:
                return {name: np.array(array) for name, array in found.items()}
            for name, array in found.items():
                check_shape(name, into[name], array.shape)
                np.copyto(into[name], array)
            return dict(into)
        finally:
            if started.slot is not None and started.process is self._process:
                self._free.append(started.slot)

    def _await(self, going: _Going) -> dict[str, Any]:
        """The answer to one message; whoever waits takes in the answers of all."""
        while True:
            with self._receiving:
                if going.number in self._answers and going.process is self._process:
                    return self._answers.pop(going.number)
                if going.process is not self._process:
                    raise _lost()
                self._check_up()
                try:
                    answer = self._process.receive(going.until - time.monotonic())
                except EngineCrashed as error:
                    self._down = error
                    raise
                except Exception:
                    self._down = _lost()
                    raise
                self._answers[answer["number"]] = answer

    def _check_up(self) -> None:
        if self._down is not None:
            raise EngineCrashed(
                f"the engine is down: {self._down.what}",
                expected="a running process",
                got=self._down.got,
                fix="call restart() on the engine",
            )

    def _compiled(self) -> Compiled:
        raise AssertionError("facts come whole from the other process")

    def _read_facts(self) -> EngineFacts:
        with self._sending:
            self._check_up()
            going = self._send({"command": "facts"}, None, self.limits.load_s)
        return EngineFacts.from_dict(answered(self._await(going))["facts"])

    def _read_layers(self) -> tuple[Layer, ...]:
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder, "layers.json")
            with self._sending:
                self._check_up()
                going = self._send({"command": "layers", "into": str(into)}, None, self.limits.load_s)
            answered(self._await(going))
            return read_layers(into)

    def _close(self) -> None:
        self._process.hang_up()
        with self._sending, self._receiving:
            self._process.close()
        os.close(self._memory)


class _Going:
    """A message whose answer is awaited until a time of the monotonic clock."""

    def __init__(self, process: EngineProcess, number: int, slot: int | None, until: float) -> None:
        self.process = process
        self.number = number
        self.slot = slot
        self.until = until


def _lost() -> EngineCrashed:
    return EngineCrashed(
        "the engine hung or was restarted while this run was going",
        expected="an answer",
        got="its process was ended",
        fix="run again, after restart() if nobody called it yet",
    )
