"""``edgemill bench``: how fast a graph, or each variant of a bundle, is on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line, progress
from edgemill_core.bundle.one_file import is_one_file
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.errors import InputError, MissingPartError
from edgemill_runtimes.benching import BenchResult, Subject, bench
from edgemill_runtimes.benching.feeds import parse_shape
from edgemill_runtimes.engines import EngineSettings, runtime_names
from edgemill_runtimes.machine import this_machine
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES
from edgemill_runtimes.pipeline import variant_for


@dataclass(frozen=True)
class BenchSettings:
    """What the command line said."""

    model: Path
    runtime: str | None
    mode: Literal["latency", "throughput"]
    device: str | None
    threads: int | None
    shapes: tuple[str, ...]
    inputs: Path | None
    seconds: float
    json: bool
    plans: Path | None = None


def run(settings: BenchSettings) -> None:
    """Time, and print what was found."""
    is_bundle = settings.model.is_dir() or settings.model.name == MANIFEST or is_one_file(settings.model)
    subjects = _of_bundle(settings) if is_bundle else _of_graph(settings)
    passes_over = is_bundle and settings.runtime is None
    with tempfile.TemporaryDirectory() as folder, progress() as tell:
        results, missing = _time(subjects, Path(folder), settings.seconds, tell, passes_over)
    if settings.json:
        found = [{"name": name, **result.as_dict()} for name, result in results.items()]
        not_here = {name: error.what for name, error in missing.items()}
        machine = this_machine().as_dict()
        print_json({"model": str(settings.model), "results": found, "not_here": not_here, "machine": machine})
        return
    _print(results)
    for name, error in missing.items():
        print_line(f"{name}: not to be had here: {error.what}")


def _of_bundle(settings: BenchSettings) -> dict[str, Subject]:
    if settings.shapes or settings.inputs or settings.device:
        raise InputError(
            "a bundle brings its own samples and device",
            expected="no --shape, --inputs or --device with a bundle",
            got="one of them",
            fix="leave it out, or name the graph inside the bundle",
        )
    bundle = open_given(settings.model)
    return {
        f"{one.model.name}/{variant.name}" if bundle.chain else variant.name: Subject(
            variant.runtime,
            one.path(variant.graph),
            EngineSettings.for_variant(variant, settings.threads, settings.mode, settings.plans),
            one.path(one.model.golden.inputs),
        )
        for one in bundle.alone()
        for variant in ([variant_for(one, settings.runtime)] if settings.runtime else one.model.variants)
    }


def _time(
    subjects: Mapping[str, Subject], folder: Path, seconds: float, tell: Callable[[str], None], passes_over: bool
) -> tuple[dict[str, BenchResult], dict[str, MissingPartError]]:
    """What was timed, and why others were not.

    Args:
        passes_over: those of GPUs that are not here are no error, unless nothing else is left.

    Raises:
        MissingPartError: one of another runtime is not to be had here, or none is.
    """
    missing: dict[str, MissingPartError] = {}

    def not_here(name: str, error: MissingPartError) -> None:
        if not passes_over or subjects[name].runtime not in NVIDIA_RUNTIMES:
            raise error
        missing[name] = error

    results = bench(subjects, folder, seconds, progress=tell, missing=not_here)
    if missing and not results:
        raise next(iter(missing.values()))
    return results, missing


def _of_graph(settings: BenchSettings) -> dict[str, Subject]:
    if settings.runtime is None:
        raise InputError(
            "a bare graph does not say what it is to run on",
            expected=f"--runtime {' | '.join(sorted(runtime_names()))}",
            got="no --runtime",
            fix="name one, or give a bundle",
        )
    device, plans = ("GPU", settings.plans) if settings.runtime in NVIDIA_RUNTIMES else ("CPU", None)
    engine = EngineSettings(settings.device or device, settings.threads, settings.mode, plans)
    shapes = dict(map(parse_shape, settings.shapes))
    name = f"{settings.runtime}-{engine.device.lower()}"
    return {name: Subject(settings.runtime, settings.model, engine, settings.inputs, shapes)}


def _print(results: dict[str, BenchResult]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("engine", no_wrap=True)
    for title in ("p50 ms", "p90 ms", "p99 ms", "runs/s", "peak MB", "mJ/run", "runs"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("settled")
    for name, one in results.items():
        energy = "-" if one.joules_per_run is None else f"{one.joules_per_run * 1e3:.3g}"
        percentiles = (f"{one.percentile(percent):.3f}" for percent in (50, 90, 99))
        settled = "yes" if one.settling.settled else "NO"
        figures = (f"{one.throughput_per_s:.1f}", f"{one.peak_memory_mb:.0f}", energy, str(len(one.latencies_ms)))
        table.add_row(name, *percentiles, *figures, settled)
    Console(soft_wrap=True).print(table)
    for name, one in results.items():
        if one.note:
            print_line(f"{name}: {one.note}")
    for note in sorted({one.energy_note for one in results.values() if one.energy_note}):
        print_line(f"no energy: {note}")
