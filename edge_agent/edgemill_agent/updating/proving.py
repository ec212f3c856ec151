"""Prove on this box, before anything is swapped, that a bundle decides as on the bench, and in time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgemill_agent.settings import StationSettings
from edgemill_core.bundle import Bundle
from edgemill_core.errors import EdgemillError
from edgemill_runtimes.isolation import Isolation
from edgemill_runtimes.pipeline import ModelPipeline, Pipeline, open_pipeline
from edgemill_runtimes.proof import load_array, prove_all

TIMED = 200
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


def prove_bundle(bundle: Bundle, stations: Iterable[StationSettings]) -> Proven:
    """Try the bundle's variants, best first, each in a process of its own, as every station would run it."""
    asked = tuple(stations)
    named = {station.runtime for station in asked} - {None}
    why = []
    for runtime in dict.fromkeys(variant.runtime for variant in bundle.model.variants):
        if named and named != {runtime}:
            continue
        try:
            _prove(bundle, runtime, asked)
        except EdgemillError as error:
            why.append(f"{runtime}: {error.what} ({error.got})")
            continue
        return Proven(runtime, tuple(why))
    return Proven(None, tuple(why) or (f"it has no variant for {', '.join(sorted(filter(None, named)))}",))


def _prove(bundle: Bundle, runtime: str, stations: Iterable[StationSettings]) -> None:
    with open_pipeline(bundle, runtime, isolated=_LIMITS) as pipeline:
        for station in stations:
            if station.tune:
                pipeline.tune(station.tune)
            for proof in prove_all(pipeline, bundle).values():
                if not proof.holds:
                    raise EdgemillError(
                        "it does not decide here as it did on the bench",
                        expected=f"{proof.samples} golden samples decided as at build",
                        got=f"{proof.changed} of {proof.samples} golden samples decided otherwise, outputs up to "
                        f"{proof.largest_difference:.4g} apart where {proof.tolerance:g} is allowed",
                        fix="build it for this kind of box",
                    )
        _check_in_time(bundle, pipeline, stations)


def _check_in_time(bundle: Bundle, pipeline: Pipeline, stations: Iterable[StationSettings]) -> None:
    """The engine alone must be quicker than any deadline, or no part will ever be in time."""
    deadlines = [station.deadline_ms for station in stations if station.deadline_ms is not None]
    if not deadlines or not isinstance(pipeline, ModelPipeline):
        return
    inputs = load_array(bundle, bundle.model.golden.inputs)
    pipeline.warm_up()
    took = []
    for index in range(TIMED):
        start = time.perf_counter()
        pipeline.outputs(inputs[index % len(inputs)][None])
        took.append((time.perf_counter() - start) * 1e3)
    p99 = float(np.percentile(took, 99))
    if p99 > min(deadlines):
        raise EdgemillError(
            "it is too slow for a station's deadline",
            expected=f"p99 of the engine alone within {min(deadlines)} ms",
            got=f"{p99:.1f} ms over {TIMED} runs",
            fix="build a faster variant, or give the station a longer deadline_ms",
        )
