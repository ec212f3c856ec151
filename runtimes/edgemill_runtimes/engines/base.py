"""The Engine: a variant loaded by a runtime.

The base class holds order, checks and messages. A runtime writes ``_open``, ``_run``, ``_compiled`` and ``_close``; it
may write ``_start`` and ``_finish`` if it has an asynchronous form of its own, and ``_run_into`` if it can write into
a caller's buffers.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edgemill_core.errors import EdgemillError, EngineError, InputError, ModelError
from edgemill_core.precision_hint import PrecisionHint
from edgemill_core.processes.own_memory import resident_bytes
from edgemill_core.tensors import Array, TensorSpec, check_buffers, check_feeds, check_finite
from edgemill_runtimes.engines import facts as engine_facts
from edgemill_runtimes.engines.facts import Compiled, EngineFacts, Layer, NodeTime
from edgemill_runtimes.engines.ordering import in_order
from edgemill_runtimes.engines.precision_hints import check_machine, check_runtime
from edgemill_runtimes.engines.settings import EngineSettings
from edgemill_runtimes.machine import this_machine

Outputs = dict[str, Array]
Result = TypeVar("Result")


class Engine(ABC):
    """A loaded variant. Use it as a context manager. Threads may share one.

    Args:
        graph: ONNX file; external weights lie beside it.
        settings: device, threads and the like.

    Raises:
        ModelError: the graph cannot be read by this runtime.
        MissingPartError: the runtime, the device or the precision that it is told is not to be had here.
        InputError: the settings do not fit the graph.
    """

    runtime: str
    obeyed_hints: tuple[PrecisionHint, ...] = ()

    def __init__(self, graph: Path, settings: EngineSettings = EngineSettings()) -> None:  # noqa: B008 (frozen)
        if not graph.is_file():
            raise ModelError(
                f"there is no graph at {graph}",
                expected="an ONNX file",
                got="no such file",
                fix="check the path; a bundle is opened with edgemill.open_bundle",
            )
        self.graph = graph
        self.settings = settings
        self._is_open = False
        self._threads: ThreadPoolExecutor | None = None
        self._facts: EngineFacts | None = None
        self._told: Compiled | None = None
        check_runtime(settings.precision_hint, self.runtime, self.obeyed_hints)
        if settings.precision_hint is not None:
            check_machine(settings.precision_hint, settings.device, this_machine())
        before, start = resident_bytes(), time.perf_counter()
        inputs, self.outputs = self._open()
        self._build_seconds = time.perf_counter() - start
        self._memory_mb = max(resident_bytes() - before, 0) / 1e6
        self._is_open = True
        self.inputs = self._limited(inputs)

    @classmethod  # noqa: B027 (most import what they need)
    def check_installed(cls) -> None:
        """Whether what the class itself does not import is installed.

        Raises:
            MissingPartError: it is not.
        """

    def run(self, feeds: Mapping[str, Array], into: Mapping[str, Array] | None = None) -> Outputs:
        """One inference.

        Args:
            feeds: one array per input, as ``inputs`` describes.
            into: one array per output to write the results to, of their exact shapes; new ones if not given.

        Returns:
            One array per output, owned by the caller.

        Raises:
            InputError: the feeds or buffers do not fit.
            EngineError: the engine is closed, or the runtime failed; ``EngineCrashed`` or ``EngineTimeout`` where it is
                isolated.
        """
        self._check(feeds)
        if into is not None:
            check_buffers(self.outputs, into)
            return self._native(self._run_into, feeds, into)
        return self._native(self._run, feeds)

    def stream(self, feeds: Iterable[Mapping[str, Array]], depth: int | None = None) -> Iterator[Outputs]:
        """Many inferences, ``depth`` of them at once; the results come in the order of ``feeds``.

        Args:
            feeds: taken one by one, as places come free; each stays untouched until its result is there.
            depth: how many at once; ``best_depth`` if not given.

        Raises:
            InputError: feeds do not fit; raised when the results before them have been given.
            EngineError: as for ``run``.
        """
        depth = self.best_depth() if depth is None else depth
        if depth < 1:
            raise InputError(
                "a stream needs room for at least one run", expected="depth ≥ 1", got=str(depth), fix="give more"
            )
        return in_order(feeds, depth, self.start, self.finish)

    def best_depth(self) -> int:
        """How many runs at once keep a stream of this engine busy."""
        return self._best_depth()

    def start(self, feeds: Mapping[str, Array]) -> Any:
        """Begin one inference; ``finish`` takes what this gives. The feeds stay untouched until then.

        Raises:
            InputError: they do not fit.
            EngineError: the engine is closed, or cannot begin.
        """
        self._check(feeds)
        return self._native(self._start, feeds)

    def finish(self, started: Any) -> Outputs:
        """Wait for an inference that ``start`` began.

        Raises:
            EngineError: it failed.
        """
        return self._native(self._finish, started)

    def warm_up(self, runs: int = 3) -> None:
        """Run zeros of the least admitted shapes, so that the first part of a line waits for nothing."""
        for _ in range(runs):
            self.run({spec.name: spec.example() for spec in self.inputs})

    def facts(self) -> EngineFacts:
        """What the engine really runs on, read back from the compiled graph. The first call may take a while."""
        if self._facts is None:
            self._check_open()
            self._facts = self._read_facts()
        return self._facts

    def layers(self) -> tuple[Layer, ...]:
        """Every compute layer of the compiled graph, in the order in which they run; ``facts`` counts the same ones."""
        self._check_open()
        return self._read_layers()

    def require(
        self, precision: str | None = None, device: str | None = None, unfused: int | None = None, share: float = 1.0
    ) -> None:
        """Turn a surprise into an error, see ``facts.require``.

        Raises:
            RequirementError: naming each thing that is not as required.
        """
        engine_facts.require(self.facts(), precision, device, unfused, share)

    def node_times(self, feeds: Mapping[str, Array], runs: int = 10) -> tuple[NodeTime, ...]:
        """Least time of every node of the compiled graph in ``runs`` runs, in the order in which they run.

        The least is what the node itself takes; all above it is the machine's other work. The graph is loaded a second
        time for that, because being watched makes it slower. Empty where the runtime does not tell.

        Raises:
            InputError: the feeds do not fit.
            EngineError: the engine is closed, or the runtime failed.
        """
        self._check(feeds)
        return self._native(self._node_times, feeds, runs)

    def close(self) -> None:
        """Free the native engine; closing twice is fine."""
        if self._is_open:
            self._is_open = False
            if self._threads is not None:
                self._threads.shutdown()
            self._close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Load and compile; return inputs and outputs."""

    @abstractmethod
    def _run(self, feeds: Mapping[str, Array]) -> Outputs:
        """Call the runtime; the feeds are checked. Several threads may call it."""

    @abstractmethod
    def _compiled(self) -> Compiled:
        """What the runtime tells of the graph that it compiled."""

    @abstractmethod
    def _close(self) -> None:
        """Drop every native handle."""

    def _run_into(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> Outputs:
        found = self._run(feeds)
        for name, array in found.items():
            check_shape(name, into[name], array.shape)
            np.copyto(into[name], array)
        return dict(into)

    def _node_times(self, feeds: Mapping[str, Array], runs: int) -> tuple[NodeTime, ...]:  # noqa: ARG002
        return ()

    def _start(self, feeds: Mapping[str, Array]) -> Any:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix=self.runtime)
        return self._threads.submit(self._run, feeds)

    def _finish(self, started: Any) -> Outputs:
        found: Outputs = started.result()
        return found

    def _best_depth(self) -> int:
        return len(os.sched_getaffinity(0)) + 1

    def _check(self, feeds: Mapping[str, Array]) -> None:
        self._check_open()
        check_feeds(self.inputs, feeds)
        if self.settings.non_finite == "refuse":
            check_finite(feeds)

    def _check_open(self) -> None:
        if not self._is_open:
            raise EngineError(
                "the engine is closed",
                expected="an open engine",
                got=f"{self.runtime} engine of {self.graph.name}, closed",
                fix="run inside the `with` block, or load it again",
            )

    def _native(self, call: Callable[..., Result], *given: Any) -> Result:
        try:
            return call(*given)
        except EdgemillError:
            raise
        except Exception as error:  # native runtimes raise without a common root
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EngineError:
        try:
            self._check_open()
        except EngineError as closed:
            return closed  # by another thread, in the middle of this one's run
        return EngineError(
            f"{self.runtime} failed on {self.graph.name}",
            expected="outputs",
            got=str(error).strip()[-400:],
            fix="run `edgemill check` on the bundle",
        )

    def _limited(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        limits = self.settings.limits
        unknown = sorted(set(limits) - {spec.name for spec in inputs})
        try:
            if unknown:
                raise InputError(
                    f"limits were declared for {', '.join(unknown)}, which the graph does not take",
                    expected=", ".join(spec.name for spec in inputs),
                    got=", ".join(unknown),
                    fix="mend the limits in the engine's settings",
                )
            return tuple(spec.limited(limits[spec.name]) if spec.name in limits else spec for spec in inputs)
        except InputError:
            self.close()
            raise

    def _told_once(self) -> Compiled:
        if self._told is None:
            self._told = self._compiled()
        return self._told

    def _read_layers(self) -> tuple[Layer, ...]:
        return self._told_once().layers

    def _read_facts(self) -> EngineFacts:
        compiled = self._told_once()
        return EngineFacts(
            runtime=self.runtime,
            version=compiled.version,
            device=compiled.device,
            layers=dict(Counter(layer.precision for layer in compiled.layers)),
            macs={} if compiled.hidden else engine_facts.shares(compiled.layers),
            unfused=tuple(layer.name for layer in compiled.layers if layer.unfused),
            elsewhere=compiled.elsewhere,
            memory_mb=self._memory_mb,
            build_seconds=self._build_seconds,
            options=compiled.options,
            hidden=compiled.hidden,
        )


def check_shape(name: str, buffer: Array, shape: tuple[int, ...]) -> None:
    """Refuse a buffer of another shape than the result has.

    Raises:
        InputError: naming both.
    """
    if buffer.shape != shape:
        raise InputError(
            f"the buffer for output {name!r} does not fit the result",
            expected=str(list(shape)),
            got=str(list(buffer.shape)),
            fix="make it of this shape",
        )
