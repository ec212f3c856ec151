"""What a child process writes to its standard error, line by line into the log, so that each says whose it is.

A child must never wait for its log: what it writes is taken at once, and what is too much is left out and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os

_log = logging.getLogger("edgemill.worker")
_PIECE = 1 << 16
_LINE_MOST = 2000
"""Bytes of a line; the rest is cut off."""
_LINES_MOST = 100
"""In one second, of one process."""


class Output:
    """Standard error of one process, from its start to its end.

    Args:
        name: of the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._ours, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._ours, False)
        self._loop = asyncio.get_running_loop()
        self._begun = b""
        self._second, self._lines, self._left_out = 0.0, 0, 0
        self._loop.add_reader(self._ours, self._read)

    def started(self) -> None:
        """The child has its end: ours of it is closed, so that the pipe ends with the child."""
        os.close(self.theirs)

    def close(self) -> None:
        """The child is gone: take what is left."""
        while self._read():
            pass
        self._tell(self._begun)
        self._say_left_out()
        self._loop.remove_reader(self._ours)
        os.close(self._ours)

    def _read(self) -> bool:
        """Take a piece; false if there is none now."""
        try:
            piece = os.read(self._ours, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self._loop.remove_reader(self._ours)
            return False
        self._new_second()
        if self._lines >= _LINES_MOST:  # a flood is not worth being cut into lines
            self._left_out += piece.count(b"\n")
            self._begun = b""
            return True
        *lines, self._begun = (self._begun + piece).split(b"\n")
        for line in lines:
            self._tell(line)
        self._begun = self._begun[:_LINE_MOST]
        return True

    def _new_second(self) -> None:
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._second, self._lines = now, 0
            self._say_left_out()

    def _say_left_out(self) -> None:
        if self._left_out:
            _log.warning("%d more lines were left out", self._left_out, extra={"output_of": self._name})
            self._left_out = 0

    def _tell(self, line: bytes) -> None:
        text = line[:_LINE_MOST].decode(errors="replace").rstrip()
        if not text:
            return
        if self._lines >= _LINES_MOST:
            self._left_out += 1
            return
        self._lines += 1
        _log.warning("%s", text, extra={"output_of": self._name})
