"""Looks after processes: starts them, again where they end, and ends them all with itself.

Each of them may be killed at any moment; what it had written is there, and what it had not is done again.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from edgemill_core.processes.channel import MESSAGE_BYTES, encode
from edgemill_core.processes.spawning import end, end_in_words, spawn

_LONGEST_WAIT_S, _HEALTHY_S, _TICK_S, _ENDS_WITHIN_S = 30.0, 30.0, 0.1, 8.0


@dataclass(frozen=True)
class Part:
    """A process that is to run.

    Attributes:
        name: for what is said of it.
        module: run as ``python -m module``; says ``{"ready": true}`` when it is.
        first: its first message.
        inherited: descriptors that it has.
    """

    name: str
    module: str
    first: Mapping[str, Any]
    inherited: tuple[int, ...] = ()


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    channel: socket.socket | None = None
    born_s: float = 0.0
    next_s: float = 0.0
    wait_s: float = 0.5
    ready: bool = False
    refused: Mapping[str, Any] = field(default_factory=dict)


class Supervisor:
    """Runs parts until it is told to stop.

    Args:
        tell: told, in words, what happens to them.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, parts: Sequence[Part], tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._all = [_Running(part) for part in parts]
        self._tell = tell
        self._clock = clock

    def step(self) -> bool:
        """Look after each of them once, and wait a moment; gives whether all are ready."""
        for one in self._all:
            if one.process is None:
                if self._clock() >= one.next_s:
                    self._start(one)
                continue
            self._listen(one)
            if one.process.poll() is not None:
                self._bury(one)
        time.sleep(_TICK_S)
        return all(one.ready for one in self._all)

    @property
    def refused(self) -> Mapping[str, Any] | None:
        """Why a part ended that never was ready: it will not be the next time either; ``None`` if there is none."""
        return next((one.refused for one in self._all if one.refused and not one.born_s), None)

    @property
    def pids(self) -> dict[str, int]:
        """Of those that run, by their names."""
        return {one.part.name: one.process.pid for one in self._all if one.process is not None}

    def stop(self) -> None:
        """End them in order: each has a moment to finish what it is at."""
        running = [one for one in self._all if one.process is not None]
        for one in running:
            assert one.process is not None
            with suppress(ProcessLookupError):
                one.process.send_signal(signal.SIGTERM)
        until_s = self._clock() + _ENDS_WITHIN_S
        for one in running:
            assert one.process is not None
            end(one.process, max(0.0, until_s - self._clock()))
            self._close(one)

    def _start(self, one: _Running) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            one.process = spawn(one.part.module, theirs.fileno(), one.part.inherited)
        ours.setblocking(False)
        ours.send(encode(one.part.first))
        one.channel, one.born_s, one.ready, one.refused = ours, self._clock(), False, {}

    def _listen(self, one: _Running) -> None:
        assert one.channel is not None
        with suppress(BlockingIOError, ConnectionResetError):
            while received := one.channel.recv(MESSAGE_BYTES):
                message = json.loads(received)
                one.ready = one.ready or "ready" in message
                one.refused = message.get("refused", one.refused)
                if "said" in message:
                    self._tell(f"{one.part.name}: {message['said']}")

    def _bury(self, one: _Running) -> None:
        assert one.process is not None
        self._listen(one)
        lived_s = self._clock() - one.born_s
        one.wait_s = 0.5 if lived_s > _HEALTHY_S else min(_LONGEST_WAIT_S, one.wait_s * 2)
        one.next_s = self._clock() + one.wait_s
        if one.refused and not one.ready:
            one.born_s = 0.0
        why = one.refused.get("what") or end_in_words(one.process.returncode)
        self._tell(f"{one.part.name} ended: {why}; it is started again in {one.wait_s:g} s")
        self._close(one)

    def _close(self, one: _Running) -> None:
        if one.channel is not None:
            one.channel.close()
        one.process = one.channel = None
        one.ready = False
