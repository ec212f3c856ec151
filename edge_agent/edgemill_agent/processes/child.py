"""The line process's end of a child: start, speak, kill, start again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from edgemill_agent.back_off import BackOff
from edgemill_agent.processes.output import Output
from edgemill_core.processes.channel import MESSAGE_BYTES, decode, encode

_AT_ONCE = 32
"""Messages of one child that are taken before others have their turn."""
_LONGEST_WAIT_S, _HEALTHY_S = 30.0, 30.0


class Child:
    """One process, started again whenever it ends, until ``stop``.

    Args:
        name: for logs and ``processes.json``.
        module: run as ``python -m module``.
        first: makes the first message, anew at each start.
        descriptors: files that the process inherits.
        silent_s: a process that says nothing for longer than this, not even that it is alive, is killed; ``None`` for
            one whose answers somebody else waits for.
        changed: told whenever the process was started or has ended.
    """

    def __init__(
        self,
        name: str,
        module: str,
        first: Callable[[], Mapping[str, Any]],
        descriptors: Sequence[int] = (),
        silent_s: float | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._module = module
        self._first = first
        self._descriptors = tuple(descriptors)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._output: Output | None = None
        self._stopping = False
        self._silent_s = silent_s
        self._changed = changed
        self._heard = 0.0

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None else None

    async def keep(self, message: Callable[[dict[str, Any]], None], ended: Callable[[], None]) -> None:
        """Run it, and run it again after a growing pause, until ``stop``.

        Args:
            message: told of each message that comes.
            ended: told when the process has ended, after its last message.
        """
        loop, wait = asyncio.get_running_loop(), BackOff(most_s=_LONGEST_WAIT_S)
        while not self._stopping:
            born = loop.time()
            self._start()
            watch = asyncio.create_task(self._watch_silence())
            try:
                await self._listen(message)
            finally:
                watch.cancel()
                self._reap()
                ended()
            if self._stopping:
                return
            if loop.time() - born > _HEALTHY_S:
                wait.reset()
            self.restarts += 1
            await asyncio.sleep(wait.wait_s())

    def send(self, message: Mapping[str, Any]) -> None:
        """Send without waiting. A process that reads nothing any more is killed; one that is gone gets nothing."""
        try:
            self.nudge(message)
        except BlockingIOError:
            self.kill()

    def nudge(self, message: Mapping[str, Any]) -> None:
        """Send without waiting.

        Raises:
            BlockingIOError: the process is behind with reading; the message was not sent.
        """
        if self._socket is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self._socket.send(encode(message))

    def kill(self) -> None:
        """End it now (``SIGKILL``); ``keep`` starts it again."""
        if self._process is not None:
            self._process.kill()

    def stand(self, still: bool) -> None:
        """Stop it where it is (``SIGSTOP``), or let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    def retire(self, message: Mapping[str, Any]) -> None:
        """Tell it to end by itself, and do not start it again."""
        self._stopping = True
        self.send(message)

    def stop(self) -> None:
        """End it for good."""
        self._stopping = True
        self.kill()

    def _start(self) -> None:
        self._output = Output(self.name)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(), *self._descriptors),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._output.theirs,
            )
        self._output.started()
        self._socket = ours
        self.send(self._first())
        self._changed()

    async def _watch_silence(self) -> None:
        if self._silent_s is None:
            return
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while loop.time() - self._heard < self._silent_s:
            await asyncio.sleep(self._silent_s / 10)
        self.kill()

    async def _listen(self, message: Callable[[dict[str, Any]], None]) -> None:
        assert self._socket is not None
        loop, messages, over = asyncio.get_running_loop(), self._socket, asyncio.get_running_loop().create_future()

        def read() -> None:
            try:
                for _ in range(_AT_ONCE):
                    received = messages.recv(MESSAGE_BYTES)
                    if not received:
                        break
                    self._heard = loop.time()
                    told = decode(received)
                    if "alive" not in told:
                        message(told)
                else:
                    return
            except BlockingIOError:
                return
            except ConnectionResetError:
                pass
            except Exception as error:  # whoever keeps this child is told of it
                loop.remove_reader(messages)
                over.set_exception(error)
                return
            loop.remove_reader(messages)
            over.set_result(None)

        # A reader that stays, not a task that waits for each message: at many parts a second that is half the work.
        loop.add_reader(messages, read)
        try:
            await over
        finally:
            loop.remove_reader(messages)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._changed()
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
