"""What a plan is to be, what compiling it may take, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgemill_core.tensors import Limits
from edgemill_runtimes.nvidia.plan_facts import NvidiaRuntime, in_order


@dataclass(frozen=True)
class Asked:
    """What a plan is to be.

    Attributes:
        runtime: that is to read it.
        compute_capabilities: of the GPUs that it is to be for, e.g. ``("8.6", "8.9")``, with ``tensorrt_rtx``, which
            needs no GPU for that; this box's GPU if none is named. In which order does not matter.
        limits: least and most sizes of open dimensions, by input. It is tuned for the most.
        timing_cache: file of what earlier builds measured of kernels, read and written; ``None`` for none. TensorRT-RTX
            has no use for one.
        workspace_mb: most scratch memory of the GPU that a kernel may want, MB of 10^6 bytes; TensorRT's own choice if
            ``None``.
        gpu: of this box, in the driver's order, where it has several.
        dla: core of the deep learning accelerator that is to run it.
        gpu_fallback: layers that the accelerator cannot run may go to the GPU; else they are an error.
    """

    runtime: NvidiaRuntime
    compute_capabilities: tuple[str, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    timing_cache: Path | None = None
    workspace_mb: int | None = None
    gpu: int = 0
    dla: int | None = None
    gpu_fallback: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "compute_capabilities", in_order(self.compute_capabilities))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "timing_cache": str(self.timing_cache) if self.timing_cache else None}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Asked:
        """What ``as_dict`` gave, after a way through JSON."""
        limits = {
            name: tuple(None if one is None else (int(one[0]), int(one[1])) for one in each)
            for name, each in told["limits"].items()
        }
        cache = Path(told["timing_cache"]) if told["timing_cache"] else None
        capabilities = tuple(told["compute_capabilities"])
        return cls(**{**told, "limits": limits, "timing_cache": cache, "compute_capabilities": capabilities})


@dataclass(frozen=True)
class CompileLimits:
    """What compiling may take.

    Attributes:
        seconds: of wall time; ``None`` for no limit.
        memory_mb: that the process may hold for itself (``RLIMIT_DATA``), MB of 10^6 bytes; ``None`` for no limit.
            Where the whole machine runs out, the kernel ends it before anything else of ours.
        cores: that it may run on; ``None`` for all that this process may.
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
        share: of all steps, 0 to 1; ``None`` where this version does not tell.
        seconds: since it began.
        left_s: seconds that it may still take; ``None`` while that cannot be said.
    """

    step: str
    share: float | None
    seconds: float
    left_s: float | None
