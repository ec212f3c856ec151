"""Prove on this box, before anything is swapped, that a bundle decides and computes as it should, and in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgemill_agent.settings import StationSettings
from edgemill_agent.updating.in_time import time_alone
from edgemill_core.bundle import Bundle
from edgemill_core.errors import EdgemillError
from edgemill_runtimes.declared import not_as_declared
from edgemill_runtimes.isolation import Isolation
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES
from edgemill_runtimes.pipeline import ChainPipeline, ModelPipeline, Pipeline, open_pipeline, variant_for
from edgemill_runtimes.proof import Proof, prove, prove_all

_USABLE = ("there", "compiled")
"""What may have become of a plan that can be used."""
_LIMITS = Isolation(run_s=30.0, load_s=900.0)


@dataclass(frozen=True)
class Proven:
    """What a box found out about a bundle.

    Attributes:
        runtime: the first, best first, that is proved; ``None`` if none is.
        why: for each that is not, the reason.
    """

    runtime: str | None
    why: tuple[str, ...]


def prove_bundle(
    bundle: Bundle, stations: Iterable[StationSettings], plans: Path | None = None, first: str | None = None
) -> Proven:
    """Try the bundle's variants, best first, each in a process of its own, as every station would run it.

    A variant of TensorRT without a plan for this box is compiled first, if this box has a GPU: at low priority, in a
    process with limits.

    Args:
        plans: folder of this box's plans of TensorRT.
        first: the runtime to try before all others, because it judges already.
    """
    asked = tuple(stations)
    named = {station.runtime for station in asked} - {None}
    runtimes = dict.fromkeys(variant.runtime for variant in bundle.model.variants)
    why = []
    for runtime in sorted(runtimes, key=lambda one: one != first):
        if named and named != {runtime}:
            continue
        try:
            _compile(bundle, runtime, asked, plans)
            _prove(bundle, runtime, asked, plans)
        except EdgemillError as error:
            why.append(f"{runtime}: {error.what} ({error.got})")
            continue
        return Proven(runtime, tuple(why))
    return Proven(None, tuple(why) or (f"it has no variant for {', '.join(sorted(filter(None, named)))}",))


def _compile(bundle: Bundle, runtime: str, stations: Sequence[StationSettings], plans: Path | None) -> None:
    if runtime not in NVIDIA_RUNTIMES or plans is None:
        return
    from edgemill_runtimes.nvidia.proved_plans import PlanMaker

    own = {variant.name for one in bundle.alone() for variant in one.model.variants if variant.runtime == runtime}
    may_differ = min((station.proof.may_differ for station in stations), default=0)
    maker = PlanMaker(plans, proves=partial(prove, allowed=may_differ))
    made = [one for one in maker.fill(bundle) if one.variant.rpartition("/")[2] in own]
    bad = [f"{one.variant}: {one.outcome} {one.why}".strip() for one in made if one.outcome not in _USABLE]
    if bad:
        raise EdgemillError(
            f"there is no plan of {runtime} for this box",
            expected="one that fits, or that can be compiled here and is proved",
            got="; ".join(bad),
            fix="see `edgemill agent compile`",
        )


def _prove(bundle: Bundle, runtime: str, stations: Sequence[StationSettings], plans: Path | None) -> None:
    for mode in dict.fromkeys(station.mode for station in stations):
        own = [station for station in stations if station.mode == mode]
        with open_pipeline(bundle, runtime, isolated=_LIMITS, mode=mode, plans=plans) as pipeline:
            _check_declared(bundle, pipeline)
            for station in own:
                pipeline.tune(station.tune)
                _check_decisions(prove_all(pipeline, bundle, station.proof.may_differ).values(), station)
            _check_in_time(bundle, pipeline, own)


def _check_declared(bundle: Bundle, pipeline: Pipeline) -> None:
    """The engines compute in what the manifest says, where it says."""
    models = [one.model for one in pipeline.stages] if isinstance(pipeline, ChainPipeline) else [pipeline]
    for model, alone in zip(models, bundle.alone(), strict=True):
        assert isinstance(model, ModelPipeline)
        variant, engine = variant_for(alone, pipeline.runtime), model.engine
        facts = engine.facts()
        wrong = not_as_declared(variant.precision, facts, engine.layers() if facts.elsewhere else ())
        if wrong is not None:
            raise EdgemillError(
                "it does not compute here in what it is declared to",
                expected=f"{variant.name} in {variant.precision} on {variant.device}",
                got=wrong,
                fix="build a variant for this kind of box",
            )


def _check_decisions(proofs: Iterable[Proof], station: StationSettings) -> None:
    for proof in proofs:
        if not proof.holds:
            allowed = station.proof.may_differ
            raise EdgemillError(
                "it does not decide here as it did on the bench",
                expected=f"{proof.samples} golden samples decided as at build, of which {allowed} may differ",
                got=f"{proof.variant}: {proof.changed} of {proof.samples} golden samples decided otherwise, of which "
                f"{allowed} may; outputs up to {proof.largest_difference:.4g} apart, {proof.tolerance:g} is allowed",
                fix="build it for this kind of box",
            )


def _check_in_time(bundle: Bundle, pipeline: Pipeline, stations: Iterable[StationSettings]) -> None:
    """Alone, it must be quicker than any deadline, or no part will ever be in time."""
    deadlines = [station.deadline_ms for station in stations if station.deadline_ms is not None]
    if not deadlines:
        return
    found = time_alone(pipeline, bundle)
    if found.p99_ms > min(deadlines):
        raise EdgemillError(
            "it is too slow for a station's deadline",
            expected=f"p99 within {min(deadlines)} ms",
            got=f"p99 of {found.p99_ms:.1f} ms over {found.runs} parts, alone, where {min(deadlines)} ms are allowed",
            fix="build a faster variant, or give the station a longer deadline_ms",
        )
