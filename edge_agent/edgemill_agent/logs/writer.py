"""Writes the log from a thread of its own, because whoever reads it may hang: systemd's journal, a pipe, a terminal."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgemill_agent.logs.lines import JsonLines, TextLines

HELD_MOST = 10_000
_LAST_WORDS_S = 1.0
"""A log that nobody reads keeps the agent from ending for no longer."""


class PatientHandler(logging.Handler):
    """Takes lines without ever waiting. While nobody reads, lines are held; beyond ``held_most`` they are counted.

    Args:
        descriptor: where they go; it may block.
        held_most: lines that may wait.
    """

    def __init__(self, descriptor: int, held_most: int = HELD_MOST) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._held: deque[str] = deque()
        self._held_most = held_most
        self._left_out = 0
        self._work, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hold the line; the thread writes it."""
        try:
            line = self.format(record)
        except Exception:  # a message that does not fit its arguments must not cost a part
            line = f"a line of the log cannot be written: {record.msg!r}"
        if len(self._held) >= self._held_most:
            self._left_out += 1
            return
        self._held.append(line)
        self._idle.clear()
        self._work.set()

    def last_words(self, seconds: float = _LAST_WORDS_S) -> bool:
        """Wait until everything is written, but no longer than so many seconds; says whether it is."""
        return self._idle.wait(seconds)

    def _write_on(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            while self._held:
                self._write(self._held.popleft())
                left_out, self._left_out = self._left_out, 0
                if left_out:
                    self._write(self.format(_left_out(left_out)))
            if not self._work.is_set():
                self._idle.set()

    def _write(self, line: str) -> None:
        left = memoryview(f"{line}\n".encode(errors="replace"))
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever gave it to us made it so
                time.sleep(0.05)
            except OSError:  # nobody will ever read it
                return


def _left_out(count: int) -> logging.LogRecord:
    what = "%d lines of the log were left out: nobody read them in time"
    return logging.LogRecord("edgemill.log", logging.WARNING, __file__, 0, what, (count,), None)


@contextmanager
def agent_log(form: str, device: str, secrets: Sequence[str] = (), descriptor: int = 2) -> Iterator[None]:
    """While it lasts, everything that is logged in this process goes to ``descriptor``.

    Args:
        form: ``json`` or ``text``.
        device: the box's id.
        secrets: what must not be read in any line.
        descriptor: standard error, if not said.
    """
    handler = PatientHandler(descriptor)
    handler.setFormatter(JsonLines(device, secrets) if form == "json" else TextLines(secrets))
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        handler.last_words()
        root.handlers[:] = before
        root.setLevel(level)
