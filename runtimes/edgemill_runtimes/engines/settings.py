"""How an engine is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgemill_core.precision_hint import PrecisionHint
from edgemill_core.tensors import Limits
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES

if TYPE_CHECKING:
    from edgemill_core.bundle import VariantEntry

Mode = Literal["latency", "throughput"]


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is to run.

    Attributes:
        device: the runtime's own name of the device; never "AUTO" unless asked for.
        threads: threads inside one inference; ``None`` for the runtime's default.
        mode: tuned for the time of one run, or for many runs at once (``Engine.stream``).
        cache: folder for compiled graphs, where the runtime can keep them; ``None`` for none. For TensorRT the box's
            own plans, which are never made while an engine is loaded.
        limits: least and most sizes of open dimensions, by input; runs outside are refused.
        non_finite: whether NaN and infinity in a feed are refused. Trees take NaN for a missing value.
        precision_hint: what to compute in beyond what the graph says; refused where that cannot be had.
        cuda_graph: a GPU begins each run of the same sizes by one call instead of one per kernel; TensorRT alone.
    """

    device: str = "CPU"
    threads: int | None = None
    mode: Mode = "latency"
    cache: Path | None = None
    limits: Mapping[str, Limits] = field(default_factory=dict)
    non_finite: Literal["allow", "refuse"] = "allow"
    precision_hint: PrecisionHint | None = None
    cuda_graph: bool = False

    @classmethod
    def for_variant(
        cls,
        variant: VariantEntry,
        threads: int | None = None,
        mode: Mode = "latency",
        plans: Path | None = None,
    ) -> EngineSettings:
        """As the bundle says that ``variant`` is to run; ``plans`` is what TensorRT compiled for this box."""
        cache = plans if variant.runtime in NVIDIA_RUNTIMES else None
        return cls(variant.device, threads, mode, cache, precision_hint=variant.precision_hint)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "cache": str(self.cache) if self.cache else None, "limits": dict(self.limits)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> EngineSettings:
        """What ``as_dict`` gave, after a way through JSON."""
        cache = Path(told["cache"]) if told["cache"] else None
        limits = {
            name: tuple(None if one is None else (int(one[0]), int(one[1])) for one in each)
            for name, each in told["limits"].items()
        }
        return cls(**{**told, "cache": cache, "limits": limits})
