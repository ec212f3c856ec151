"""The caller's side of an engine's process: start, send, receive within a deadline, end."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgemill_core import errors
from edgemill_core.errors import EdgemillError, EngineCrashed, EngineError, EngineTimeout
from edgemill_core.processes.channel import MESSAGE_BYTES, decode, encode
from edgemill_core.processes.spawning import end, end_in_words, spawn
from edgemill_core.tensors import Limits, TensorSpec
from edgemill_runtimes.engines.facts import Layer
from edgemill_runtimes.engines.settings import EngineSettings

_LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class Isolation:
    """What an engine's process may take.

    Attributes:
        run_s: longest that one run may take, from the moment it is asked for.
        load_s: longest that loading, or any other command, may take.
        memory_mb: most memory that the process may hold for itself (``RLIMIT_DATA``), MB of 10^6 bytes; ``None`` for
            no limit. Where the whole machine runs out, the kernel ends it before its caller.
    """

    run_s: float = 10.0
    load_s: float = 600.0
    memory_mb: int | None = None


class EngineProcess:
    """One engine in a process of its own, which ends with this one. Use it as a context manager.

    Attributes:
        inputs: as the engine has them, with declared limits and those of its plan.
        outputs: likewise.

    Args:
        runtime: name of the runtime.
        graph: ONNX file.
        settings: as for an engine.
        limits: what it may take.
        shared: descriptor of memory that it inherits, and the size of its slots in bytes; ``None`` for none.

    Raises:
        EngineCrashed: the process ended while it loaded.
        EngineTimeout: loading took too long.
        EdgemillError: the engine cannot be loaded; the class is the one that the engine raised.
    """

    def __init__(
        self,
        runtime: str,
        graph: Path,
        settings: EngineSettings = EngineSettings(),  # noqa: B008 (frozen)
        limits: Isolation = Isolation(),
        shared: tuple[int, int] | None = None,
    ) -> None:
        self._label = f"{runtime} on {graph.name}"
        self._limits = limits
        self._log = tempfile.TemporaryFile(mode="a+b")  # noqa: SIM115 (closed in close)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            inherited, log = shared[:1] if shared else (), self._log.fileno()
            serve = "edgemill_runtimes.isolation.serve"
            self._process = spawn(serve, theirs.fileno(), inherited, stdout=log, stderr=log)
        try:
            ready = self.ask(
                {
                    "runtime": runtime,
                    "graph": str(graph.absolute()),
                    "settings": settings.as_dict(),
                    "shared": shared,
                    "memory_mb": limits.memory_mb,
                }
            )
            self.inputs, self.outputs = _specs(ready["inputs"]), _specs(ready["outputs"])
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, message: Mapping[str, Any], within_s: float | None = None) -> dict[str, Any]:
        """Send one command and wait for its answer, while no run is going.

        Args:
            message: the command.
            within_s: how long to wait; ``load_s`` of the limits if not given.

        Raises:
            EngineCrashed: the process ended.
            EngineTimeout: no answer came in time.
            EdgemillError: what the engine refused with, of the same class.
        """
        self.send(message)
        return answered(self.receive(self._limits.load_s if within_s is None else within_s))

    def layers(self) -> tuple[Layer, ...]:
        """Every compute layer of the compiled graph, asked while no run is going.

        Raises:
            EdgemillError: as for ``ask``.
        """
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder, "layers.json")
            self.ask({"command": "layers", "into": str(into)})
            return read_layers(into)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one command.

        Raises:
            EngineCrashed: the process has ended.
        """
        try:
            self._socket.sendall(encode(message))
        except OSError:
            raise self._died() from None

    def receive(self, seconds: float) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            EngineCrashed: the process ended.
            EngineTimeout: none came within ``seconds``; the process is ended.
        """
        # The kernel keeps the time: no call before to ask whether something is there.
        self._socket.settimeout(max(seconds, 1e-3))
        try:
            received = self._socket.recv(MESSAGE_BYTES)
        except TimeoutError:
            ended = end(self._process) is not None
            raise EngineTimeout(
                f"the engine hung: {self._label}",
                expected=f"an answer within {seconds:g} s",
                got=f"none; {'its process was ended' if ended else f'its process: {end_in_words(None)}'}",
                fix="restart it; if that happens again, leave this variant out, or report it to the runtime's authors",
            ) from None
        except OSError:
            received = b""
        if not received:
            raise self._died()
        return decode(received)

    def trim_log(self) -> None:
        """Keep what the runtime prints from filling the disk."""
        if os.fstat(self._log.fileno()).st_size > _LOG_BYTES:
            self._log.truncate(0)

    def hang_up(self) -> None:
        """Wake whoever waits for an answer: none will come any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()

    def close(self) -> None:
        """End the process: in order if it listens, by force after five seconds; one that nothing ends is left."""
        self._socket.close()
        end(self._process, 5.0)
        self._log.close()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _died(self) -> EngineCrashed:
        said = end_in_words(end(self._process, 1.0))
        with suppress(ValueError):  # closed meanwhile
            self._log.seek(0)
            said += f"; {self._log.read()[-400:].decode(errors='replace').strip() or 'no last words'}"
        return EngineCrashed(
            f"the engine's process died: {self._label}",
            expected="an answer",
            got=said,
            fix="restart it; if that happens again, leave this variant out, or report it to the runtime's authors",
        )


def read_layers(file: Path) -> tuple[Layer, ...]:
    """What the command ``layers`` wrote."""
    return tuple(Layer(**told) for told in json.loads(file.read_text(encoding="utf-8")))


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer itself, or the error that it tells of.

    Raises:
        EdgemillError: what the engine refused with, of the same class.
    """
    if "error" not in answer:
        return answer
    kind = getattr(errors, str(answer["error"]), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, EdgemillError)):
        kind = EngineError
    raise kind(str(answer["what"]), expected=answer["expected"], got=answer["got"], fix=answer["to_do"])


def _specs(told: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(one["name"], one["dtype"], tuple(one["shape"]), _limits(one["limits"])) for one in told)


def _limits(told: list[list[int] | None]) -> Limits:
    return tuple(None if one is None else (one[0], one[1]) for one in told)
