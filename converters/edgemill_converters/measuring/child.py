"""The parent's side of a measuring child: start, ask, end; a crash or a hang becomes an error."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from edgemill_core import errors
from edgemill_core.errors import EdgemillError, EngineError

LIMIT_S = 600.0
"""Longest that one command may take."""


class EngineChild:
    """One engine in a process of its own. Use it as a context manager.

    Args:
        runtime: name of the runtime.
        graph: ONNX file.
        device: the runtime's name of the device.
        limit_s: longest that one command may take.

    Raises:
        EngineError: the child died or hung.
        EdgemillError: the engine cannot be loaded; the class is the one that the engine raised.
    """

    def __init__(self, runtime: str, graph: Path, device: str = "CPU", limit_s: float = LIMIT_S) -> None:
        self._label = f"{runtime} on {graph.name}"
        self._limit_s = limit_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgemill_converters.measuring.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._pending = b""
        try:
            self.ask({"runtime": runtime, "graph": str(graph), "device": device})
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises:
            EngineError: the child died, or did not answer in time.
            EdgemillError: what the engine refused with, of the same class.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        answer: dict[str, Any] = json.loads(self._line())
        if "error" in answer:
            raise _as_raised(answer)
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([handle], [], [], self._limit_s)
            if not ready:
                self._process.kill()
                raise EngineError(
                    f"the engine hung: {self._label}",
                    expected=f"an answer within {self._limit_s:g} s",
                    got="none",
                    fix="leave this variant out, or report it to the runtime's authors",
                )
            piece = os.read(handle, 1 << 16)
            if not piece:
                raise self._died()
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _died(self) -> EngineError:
        code = self._end()
        self._log.seek(0)
        tail = self._log.read()[-400:].decode(errors="replace").strip()
        return EngineError(
            f"the engine's process died: {self._label}",
            expected="an answer",
            got=f"exit status {code}; {tail or 'no last words'}",
            fix="leave this variant out, or report it to the runtime's authors",
        )

    def close(self) -> None:
        """End the child."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        self._end()
        self._log.close()

    def _end(self) -> int:
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> EngineChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _as_raised(answer: dict[str, Any]) -> EdgemillError:
    kind: type[EdgemillError] = getattr(errors, str(answer["error"]), EngineError)
    return kind(str(answer["what"]), expected=answer["expected"], got=answer["got"], fix=answer["to_do"])
