"""What is written beside a plan: for which boxes it is, and what it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from edgemill_core.errors import BundleError
from edgemill_core.validation import Strict, complaint
from edgemill_runtimes.nvidia.gpu import Gpu

NvidiaRuntime = Literal["tensorrt", "tensorrt_rtx"]
NVIDIA_RUNTIMES: tuple[NvidiaRuntime, ...] = ("tensorrt", "tensorrt_rtx")
PLAN, FACTS = ".plan", ".plan.json"
Capability = Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def in_order(compute_capabilities: Iterable[str]) -> tuple[str, ...]:
    """Each once, from the oldest: so that a plan for the same GPUs is the same, however they were named."""
    return tuple(sorted(set(compute_capabilities), key=lambda one: (len(one), one)))


class PlanFacts(Strict):
    """For which boxes a plan is, and what it was made from; lies beside it as ``NAME.plan.json``.

    Attributes:
        runtime: that built it, and alone can read it.
        version: of the runtime, e.g. ``10.3.0`` or ``1.7.1.116``.
        compute_capabilities: of the GPUs that it is for, each once, from the oldest.
        gpu: name of the GPU that it was built on; ``None`` where it was built ahead.
        cuda: newest that the driver spoke which it was built under; ``None`` where it was built ahead.
        driver: that driver's own version, where it was known. Another one of the same CUDA refuses nothing: the plan is
            to be proved again, as the agent does at each start.
        graph: SHA-256 of the graph and of its weights, one after the other.
        dla: core of the deep learning accelerator that it is for, where it is for one.
        plan: SHA-256 of the plan itself.
        bytes: of the plan.
    """

    runtime: NvidiaRuntime
    version: str
    compute_capabilities: Annotated[tuple[Capability, ...], Field(min_length=1), AfterValidator(in_order)]
    gpu: str | None = None
    cuda: str | None = None
    driver: str | None = None
    graph: Digest
    dla: int | None = None
    plan: Digest
    bytes: Annotated[int, Field(gt=0)]

    def misfit(self, gpu: Gpu, version: str) -> tuple[str, str] | None:
        """Why a box cannot use it, as (expected, got); ``None`` if it can, as far as this tells."""
        if self.version != version:
            return f"{self.runtime} {self.version}", version
        if gpu.compute_capability not in self.compute_capabilities:
            return f"compute capability {' or '.join(self.compute_capabilities)}", gpu.compute_capability
        if self.gpu is not None and self.gpu != gpu.name:
            return f"a GPU called {self.gpu}", gpu.name
        if self.cuda is not None and self.cuda != gpu.cuda:
            return f"a driver that speaks CUDA {self.cuda}", f"one that speaks CUDA {gpu.cuda}"
        return None

    @property
    def key(self) -> str:
        """The kind of box that it is for, as a folder's name: boxes of the same key can share it."""
        parts = [self.runtime, self.version, *(f"sm{one.replace('.', '')}" for one in self.compute_capabilities)]
        dla = None if self.dla is None else f"dla{self.dla}"
        parts += [part for part in (self.gpu, self.cuda and f"cuda{self.cuda}", dla) if part is not None]
        return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part) for part in parts)


def facts_beside(plan: Path) -> Path:
    """Where the facts of ``plan`` lie."""
    return plan.with_name(plan.name.removesuffix(PLAN) + FACTS)


def read_facts(plan: Path) -> PlanFacts:
    """What is written beside ``plan``.

    Raises:
        BundleError: nothing, or something else.
    """
    file = facts_beside(plan)
    try:
        return PlanFacts.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(
            f"what {plan.name} is for cannot be read",
            expected=f"{file.name} beside it",
            got=complaint(error),
            fix="compile it again with `edgemill agent compile`, or get the bundle again",
        ) from error
