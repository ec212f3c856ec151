"""Fill a box's plan store for a bundle: what has no plan that fits is compiled, and proved before it counts.

A plan is compiled, and its golden samples are decided, in a folder aside that is a store of its own; only a plan that
decides as at build is moved into the store. Whatever happens before, an agent that runs finds what it found before.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from edgemill_core.bundle import Bundle, VariantEntry
from edgemill_core.errors import BundleError, EdgemillError, EngineCrashed, EngineError, MissingPartError, ModelError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import Isolation
from edgemill_runtimes.nvidia.asked import Asked, CompileLimits, Progress
from edgemill_runtimes.nvidia.bindings import bindings
from edgemill_runtimes.nvidia.building import builds_for
from edgemill_runtimes.nvidia.compiling import compile_plan
from edgemill_runtimes.nvidia.device import Device, choose, read_device
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES, NvidiaRuntime, in_order, read_facts
from edgemill_runtimes.nvidia.planned import Outcome, Planned
from edgemill_runtimes.nvidia.plans import (
    ASIDE,
    NAME,
    adopt,
    check_whole,
    dismiss,
    fitting_plan,
    graph_digest,
    plans_of,
    sweep,
)
from edgemill_runtimes.nvidia.probing import probe
from edgemill_runtimes.proof import Proof, prove


@dataclass(frozen=True)
class PlanMaker:
    """Makes plans for one box, or ahead for others.

    Attributes:
        store: folder of plans.
        compute_capabilities: of the GPUs that plans are made ahead for; this box's own if none is named.
        limits: what compiling one may take.
        workspace_mb: as for ``Asked``, likewise ``gpu_fallback``.
        tell: told of each variant how far it has come.
        here: finds the GPUs of this box.
        proves: runs the golden samples.
    """

    store: Path
    compute_capabilities: tuple[str, ...] = ()
    limits: CompileLimits = CompileLimits()  # noqa: RUF009 (frozen)
    workspace_mb: int | None = None
    gpu_fallback: bool = False
    tell: Callable[[str, Progress], None] = lambda *_: None
    here: Callable[[], tuple[Gpu, ...]] = probe
    proves: Callable[..., Proof] = prove

    def fill(self, bundle: Bundle) -> list[Planned]:
        """See to every variant of ``bundle`` that TensorRT is to run; of a chain to those of every stage.

        One that fails, whatever ``compile_plan`` or its proof raises, stops none of the others.

        Raises:
            EngineError: the bundle has no such variant.
            MissingPartError: this box has no GPU; another process compiles into the store; it cannot be written.
        """
        chained = bundle.chain is not None
        asked = [
            (f"{one.model.name}/{variant.name}" if chained else variant.name, one, variant)
            for one in bundle.alone()
            for variant in one.model.variants
            if variant.runtime in NVIDIA_RUNTIMES
        ]
        if not asked:
            raise _nothing_asked(bundle)
        gpus = () if self.compute_capabilities else self.here()  # before anything of TensorRT's is there
        with _alone_in(self.store):
            return [self._seen_to(name, one, variant, gpus) for name, one, variant in asked]

    def _seen_to(self, name: str, bundle: Bundle, variant: VariantEntry, gpus: Sequence[Gpu]) -> Planned:
        began = time.monotonic()
        try:
            found = self._see_to(name, bundle, variant, gpus)
        except EdgemillError as error:
            found = Planned(name, "failed", why=error.what, error=error)
        return replace(found, seconds=time.monotonic() - began)

    def _see_to(self, name: str, bundle: Bundle, variant: VariantEntry, gpus: Sequence[Gpu]) -> Planned:
        runtime = cast(NvidiaRuntime, variant.runtime)
        if not gpus and runtime != "tensorrt_rtx":
            return Planned(name, "left out", why=f"{runtime} compiles on the box itself, and for no other")
        try:
            device = read_device(variant.device, runtime)
            gpu = choose(device, gpus) if gpus else None
            trt = bindings(runtime)
        except MissingPartError as error:
            return Planned(name, "left out", why=error.what)
        capabilities = in_order(self.compute_capabilities)
        if gpu is not None and builds_for(trt, runtime, gpu.compute_capability):
            capabilities = (gpu.compute_capability,)
        wanted = _Wanted(name, bundle, variant, runtime, trt.__version__, device, gpu, capabilities)
        there = self._there(wanted)
        if there is None:
            return self._made(wanted)
        try:
            proof = self._proof(wanted, self.store)
        except (ModelError, EngineCrashed):
            # TensorRT refuses it, or dies over it, and will each time. What the bundle brings is not ours to replace.
            if self.store not in there.parents:
                raise
            return self._made(wanted, instead_of=there)
        return Planned(name, _outcome("there", proof), there, read_facts(there), proof)

    def _made(self, wanted: _Wanted, instead_of: Path | None = None) -> Planned:
        """Compiled, proved aside, and moved into the store; there it takes the place of another plan, if of one."""
        with _written(self.store):
            folder = tempfile.TemporaryDirectory(dir=self.store, prefix=ASIDE)
        with folder:
            aside = Path(folder.name)
            tell = partial(self.tell, wanted.name)
            facts = compile_plan(wanted.graph, aside / NAME, self._asked(wanted), self.limits, tell)
            with _written(self.store):
                plan = adopt(aside / NAME, aside)
            proof = self._proof(wanted, aside)
            outcome = _outcome("ahead" if wanted.gpu is None else "compiled", proof)
            if outcome == "refused":
                return Planned(wanted.name, outcome, None, facts, proof)
            with _written(self.store):
                kept = adopt(plan, self.store)
                if instead_of not in (None, kept):
                    dismiss(instead_of, self.store)
        return Planned(wanted.name, outcome, kept, facts, proof)

    def _there(self, wanted: _Wanted) -> Path | None:
        if wanted.gpu is None:
            return self._there_ahead(wanted)
        try:
            return fitting_plan(wanted.graph, self.store, wanted.runtime, wanted.gpu, wanted.version, wanted.device.dla)
        except (MissingPartError, BundleError):
            return None

    def _there_ahead(self, wanted: _Wanted) -> Path | None:
        told = (wanted.runtime, wanted.version, wanted.compute_capabilities)
        digest = graph_digest(wanted.graph)
        for plan in plans_of(wanted.graph, digest, self.store):
            try:
                facts = read_facts(plan)
                check_whole(plan, facts)
            except BundleError:
                continue
            if facts.graph == digest and (facts.runtime, facts.version, facts.compute_capabilities) == told:
                return plan
        return None

    def _asked(self, wanted: _Wanted) -> Asked:
        cache = None
        if wanted.gpu is not None and wanted.runtime == "tensorrt":
            cache = self.store / f"timing-{wanted.version}-sm{wanted.gpu.compute_capability.replace('.', '')}.cache"
        return Asked(
            wanted.runtime,
            wanted.compute_capabilities,
            timing_cache=cache,
            workspace_mb=self.workspace_mb,
            gpu=wanted.device.index,
            dla=wanted.device.dla,
            gpu_fallback=self.gpu_fallback,
        )

    def _proof(self, wanted: _Wanted, store: Path) -> Proof | None:
        if wanted.gpu is None:
            return None
        settings = EngineSettings(wanted.variant.device, cache=store)
        return self.proves(wanted.bundle, wanted.variant, settings=settings, isolated=Isolation())


@dataclass(frozen=True)
class _Wanted:
    name: str
    bundle: Bundle
    variant: VariantEntry
    runtime: NvidiaRuntime
    version: str
    device: Device
    gpu: Gpu | None
    compute_capabilities: tuple[str, ...]

    @property
    def graph(self) -> Path:
        return self.bundle.path(self.variant.graph)


def _outcome(otherwise: Outcome, proof: Proof | None) -> Outcome:
    return otherwise if proof is None or proof.holds else "refused"


@contextmanager
def _alone_in(store: Path) -> Iterator[None]:
    """Hold the store, so that two builds do not want the box's memory at once; what a power cut left is removed."""
    with _written(store):
        store.mkdir(parents=True, exist_ok=True)
        held = os.open(store / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(held, store)
        sweep(store)
        yield
    finally:
        os.close(held)


@contextmanager
def _written(store: Path) -> Iterator[None]:
    """What is done to the store itself may fail for want of room or rights, and says so."""
    try:
        yield
    except OSError as error:
        raise MissingPartError(
            "the plan store cannot be written",
            expected=f"room for plans, and a folder that this user may write to: {store}",
            got=str(error),
            fix="make room, say it as the user that runs the agent, or name another folder with --store",
        ) from error


def _lock(held: int, store: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MissingPartError(
            "another process compiles into this store now",
            expected="one at a time: each takes gigabytes",
            got=f"{store / '.lock'} is held",
            fix="wait until it is done",
        ) from error


def _nothing_asked(bundle: Bundle) -> EngineError:
    return EngineError(
        "the bundle has nothing to compile: no variant of it is for TensorRT",
        expected=" or ".join(NVIDIA_RUNTIMES),
        got=" | ".join(variant.runtime for variant in bundle.model.variants),
        fix="add `- {runtime: tensorrt}` under targets: in the recipe and build again",
    )
