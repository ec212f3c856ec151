"""Compile a graph to a plan, in a process of its own: a build takes minutes and gigabytes, and now and then dies.

Whatever becomes of that process, this one lives, nothing half-written is left, and a plan that was there before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgemill_core.tensors import Limits
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime, PlanFacts


@dataclass(frozen=True)
class Asked:
    """What a plan is to be.

    Attributes:
        runtime: that is to read it.
        compute_capabilities: of the GPUs that it is to be for, e.g. ``("8.6", "8.9")``, with ``tensorrt_rtx``, which
            needs no GPU for that; this box's GPU if none is named.
        limits: least and most sizes of open dimensions, by input. It is tuned for the most.
        timing_cache: file of what earlier builds measured of kernels, read and written; ``None`` for none.
        workspace_mb: most scratch memory of the GPU that a kernel may want, MB of 10^6 bytes; TensorRT's own choice if
            ``None``.
        dla: core of the deep learning accelerator that is to run it.
        gpu_fallback: layers that the accelerator cannot run may go to the GPU; else they are an error.
    """

    runtime: NvidiaRuntime
    compute_capabilities: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    timing_cache: Path | None = None
    workspace_mb: int | None = None
    dla: int | None = None
    gpu_fallback: bool = False


@dataclass(frozen=True)
class CompileLimits:
    """What compiling may take.

    Attributes:
        seconds: of wall time; ``None`` for no limit.
        memory_mb: that the process may hold for itself (``RLIMIT_DATA``), MB of 10^6 bytes; ``None`` for no limit.
            Where the whole machine runs out, the kernel ends it before anything else of ours.
        cores: that it may run on; ``None`` for all.
        niceness: added to that of the caller; it goes behind everything else on the box.
    """

    seconds: float | None = None
    memory_mb: int | None = None
    cores: int | None = None
    niceness: int = 19


@dataclass(frozen=True)
class Progress:
    """How far compiling has come.

    Attributes:
        step: TensorRT's own word for what it is doing.
        share: of all work, 0 to 1; ``None`` where this version does not tell.
        seconds: since it began.
        left_s: seconds that it may still take; ``None`` while that cannot be said.
    """

    step: str
    share: float | None
    seconds: float
    left_s: float | None


def compile_plan(
    graph: Path,
    plan: Path,
    asked: Asked,
    limits: CompileLimits = CompileLimits(),
    tell: Callable[[Progress], None] = lambda _: None,
) -> PlanFacts:
    """Compile ``graph`` to ``plan``, and write its facts beside it.

    Args:
        graph: ONNX file; external weights lie beside it.
        plan: file to write, or to replace.
        asked: what it is to be.
        limits: what that may take.
        tell: told how far it has come, about once a second.

    Returns:
        What is written beside it.

    Raises:
        ModelError: the parser or the builder refuses the graph; names node and operation.
        MissingPartError: no such runtime or GPU here, no such accelerator, or the disk is full.
        EngineCrashed: the process ended: killed for want of memory, or by a fault of the compiler.
        EngineTimeout: it took longer than its limit.
        InputError: ``asked`` does not fit the graph or the runtime.
    """
    raise NotImplementedError
