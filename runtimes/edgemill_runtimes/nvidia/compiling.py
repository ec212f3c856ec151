"""Compile a graph to a plan, in a process of its own: a build takes minutes and gigabytes, and now and then dies.

Whatever becomes of that process, this one lives, nothing half-written is left, and a plan that was there before stays.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from edgemill_core.durable import canonical_json, sha256_file, sync_tree, write_bytes
from edgemill_core.errors import EngineCrashed, EngineError, EngineTimeout, MissingPartError
from edgemill_core.processes.channel import MESSAGE_BYTES, decode, encode
from edgemill_core.processes.spawning import end, end_in_words, spawn
from edgemill_runtimes.isolation.process import answered
from edgemill_runtimes.nvidia.asked import Asked, CompileLimits, Progress
from edgemill_runtimes.nvidia.build_progress import left_s
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.header import HEADER_BYTES, read_header
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside
from edgemill_runtimes.nvidia.plans import ASIDE, graph_digest

__all__ = ["Asked", "CompileLimits", "Progress", "compile_plan"]

_TOLD_EVERY_S = 1.0
_SHARED = "or copy a plan from a box of the same kind"


def compile_plan(
    graph: Path,
    plan: Path,
    asked: Asked,
    limits: CompileLimits = CompileLimits(),  # noqa: B008 (frozen)
    tell: Callable[[Progress], None] = lambda _: None,
) -> PlanFacts:
    """Compile ``graph`` to ``plan``, and write its facts beside it.

    Args:
        graph: ONNX file; external weights lie beside it.
        plan: file to write, or to replace.
        asked: what it is to be.
        limits: what that may take.
        tell: told how far it has come, at least once a second.

    Returns:
        What is written beside it.

    Raises:
        ModelError: the parser or the builder refuses the graph; names node and operation.
        MissingPartError: no such runtime or GPU here, no such accelerator, the disk is full, or the machine has no
            room for another process.
        EngineError: it ran out of memory, or the plan says of itself that it is another than was asked for.
        EngineCrashed: the process ended: killed for want of memory, or by a fault of the compiler.
        EngineTimeout: it took longer than its limit.
        InputError: ``asked`` does not fit the graph or the runtime.
        OSError: from ``tell`` alone, as it raised it.
    """
    digest = graph_digest(graph)
    with _writing(plan):
        plan.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=plan.parent, prefix=ASIDE)
    with folder:
        made = Path(folder.name, "plan")
        with _started(graph, asked, limits) as compiler:
            told = compiler.made(made, tell)
        with _writing(plan):
            facts = PlanFacts(
                **told,
                runtime=asked.runtime,
                graph=digest,
                dla=asked.dla,
                plan=sha256_file(made),
                bytes=made.stat().st_size,
            )
            _read_back(made, facts)
            sync_tree(Path(folder.name))
            os.replace(made, plan)
            write_bytes(facts_beside(plan), canonical_json(facts.model_dump(mode="json")))
    return facts


def _read_back(plan: Path, facts: PlanFacts) -> None:
    """What was made says in its own header what was asked for, so far as it says anything."""
    with plan.open("rb") as file:
        header = read_header(file.read(HEADER_BYTES))
    for one in facts.compute_capabilities:
        gpu = Gpu(facts.gpu or "", one, 0, False, facts.cuda or "")
        wrong = header.misfit(facts.runtime, facts.version, gpu, facts.bytes)
        if wrong is not None:
            raise EngineError(
                f"{facts.runtime} made another plan than it was asked for",
                expected=wrong[0],
                got=wrong[1],
                fix="this is not known to happen: report it, with the graph",
            )


class _Compiler:
    """The process, from this side. Use it as a context manager: it ends with that."""

    def __init__(self, graph: Path, asked: Asked, limits: CompileLimits) -> None:
        self._graph, self._asked, self._limits = graph, asked, limits
        self._label = f"{asked.runtime} over {graph.name}"
        with ExitStack() as made:
            self._log: IO[bytes] = made.enter_context(tempfile.TemporaryFile(mode="a+b"))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket = made.enter_context(ours)
            with theirs:
                says = self._log.fileno()
                module = "edgemill_runtimes.nvidia.compile_process"
                self._process = spawn(module, theirs.fileno(), stdout=says, stderr=says)
            made.pop_all()
        self._began = time.monotonic()

    def made(self, into: Path, tell: Callable[[Progress], None]) -> dict[str, Any]:
        """Have the plan written to ``into``; returns what it is for, as facts say it."""
        first = {"graph": str(self._graph.absolute()), "into": str(into.absolute())}
        self._send({**first, "asked": self._asked.as_dict(), "limits": vars(self._limits)})
        step, share = "starting", None
        while True:
            message = self._receive()
            if message is not None and "step" in message:
                step, share = message["step"], message["share"]
            elif message is not None:
                answered(message.get("refused", {}))
                found: dict[str, Any] = message["made"]
                return found
            passed = time.monotonic() - self._began
            tell(Progress(step, share, passed, left_s(passed, share)))

    def __enter__(self) -> _Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)
        self._socket.close()
        self._log.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._socket.sendall(encode(message))
        except OSError:
            raise self._died() from None

    def _receive(self) -> dict[str, Any] | None:
        """A message; ``None`` if none came within the time after which somebody is told of progress."""
        left = None if self._limits.seconds is None else self._began + self._limits.seconds - time.monotonic()
        if left is not None and left <= 0:
            raise self._too_slow()
        self._socket.settimeout(_TOLD_EVERY_S if left is None else min(_TOLD_EVERY_S, left))
        try:
            received = self._socket.recv(MESSAGE_BYTES)
        except TimeoutError:
            return None
        except OSError:
            received = b""
        if not received:
            raise self._died()
        return decode(received)

    def _too_slow(self) -> EngineTimeout:
        return EngineTimeout(
            f"compiling took too long: {self._label}",
            expected=f"a plan within {self._limits.seconds:g} s",
            got="none; its process was ended",
            fix=f"allow it more time, or more cores; {_SHARED}",
        )

    def _died(self) -> EngineCrashed:
        code = end(self._process, 1.0)
        self._log.seek(0)
        words = self._log.read()[-400:].decode(errors="replace").strip()
        return EngineCrashed(
            f"the compiler died: {self._label}",
            expected="a plan",
            got=f"{end_in_words(code)}; {words or 'no last words'}",
            fix=_way_out(code, self._limits.memory_mb),
        )


def _way_out(code: int | None, memory_mb: int | None) -> str:
    if memory_mb is not None:
        return f"allow it more than {memory_mb} MB, if that was too little; {_SHARED}"
    if code == -9:
        return f"most likely the kernel ended it for want of memory (dmesg says so): end what else runs; {_SHARED}"
    return f"compile it again; if that happens again, build this variant for another target, {_SHARED}"


def _started(graph: Path, asked: Asked, limits: CompileLimits) -> _Compiler:
    try:
        return _Compiler(graph, asked, limits)
    except OSError as error:
        raise MissingPartError(
            "the compiler cannot be started",
            expected="room for a process, and for what it says in the folder of temporary files",
            got=str(error),
            fix="end what else runs, or make room",
        ) from error


@contextmanager
def _writing(plan: Path) -> Iterator[None]:
    """What is written here may find no room."""
    try:
        yield
    except OSError as error:
        raise MissingPartError(
            f"the plan {plan.name} cannot be written",
            expected=f"room for it, and a folder that this user may write to: {plan.parent}",
            got=str(error),
            fix="make room, or name another folder",
        ) from error
