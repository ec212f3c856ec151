"""Lay out a bundle: graphs and raw weights apart, golden samples, records of this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters.candidates import Candidate
from edgemill_converters.papers.needs import requirements_of
from edgemill_converters.papers.writing import write_papers
from edgemill_converters.passes.base import copy_of
from edgemill_converters.precisions import PRECISIONS
from edgemill_converters.raw_weights import write_apart
from edgemill_converters.recipe import Recipe
from edgemill_converters.standing_in.running import tolerance_of
from edgemill_core.bundle import (
    MIN_AGENT,
    Bundle,
    Card,
    GoldenEntry,
    GoldenInputs,
    Manifest,
    ModelEntry,
    VariantEntry,
    describe_files,
    schema_version,
    write_bundle,
)
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.samples import Sample
from edgemill_core.tasks import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import encode_png, read_picture
from edgemill_runtimes.machine import Machine

GOLDEN_SAMPLES, GOLDEN_FRAMES = 32, 4


@dataclass(frozen=True)
class Shipped:
    """A variant that goes into the bundle, with what it answered to the golden inputs.

    Attributes:
        plans: that were built ahead for it; all files lie where they are named already.
        stand_in: what gave the answers in the stead of its own runtime.
    """

    candidate: Candidate
    graph: str
    weights: str
    outputs: Array
    verdicts: Sequence[Verdict]
    plans: tuple[str, ...] = ()
    stand_in: str | None = None


def save_graph(model: onnx.ModelProto, folder: Path, name: str) -> tuple[str, str]:
    """Write ``models/<name>/graph.onnx`` and its raw weights beside it.

    Returns:
        Both paths, relative to ``folder``.
    """
    place = folder / "models" / name
    place.mkdir(parents=True)
    write_apart(copy_of(model), place / "graph.onnx", place / "graph.weights")
    return f"models/{name}/graph.onnx", f"models/{name}/graph.weights"


def golden_indices(samples: int) -> list[int]:
    """Which samples of the judge set become golden: evenly spread, at most ``GOLDEN_SAMPLES``."""
    count = min(GOLDEN_SAMPLES, samples)
    return [index * samples // count for index in range(count)]


def write_golden_inputs(
    folder: Path, prepared: Array, samples: Sequence[Sample], reference: Sequence[Verdict], indices: Sequence[int]
) -> GoldenInputs:
    """Write the golden inputs, and a few whole frames that prove decode, crop and resize."""
    place = folder / "golden"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "inputs.npy", prepared[list(indices)], allow_pickle=False)
    frames: list[str] = []
    shown = list(indices[:GOLDEN_FRAMES]) if prepared.ndim == 4 else []  # only pictures are
    for number, index in enumerate(shown):
        frames.append(f"golden/frame-{number}.png")
        (folder / frames[-1]).write_bytes(encode_png(read_picture(samples[index].picture)))
    return GoldenInputs(
        inputs="golden/inputs.npy",
        contexts=tuple(dict(samples[index].context) for index in indices),
        reference=tuple(reference[index].decision.value for index in indices),
        frames=tuple(frames),
        prepared=tuple(sha256_bytes(prepared[index].tobytes()) for index in shown),
    )


def write(
    folder: Path,
    target: Path,
    recipe: Recipe,
    task: Task,
    golden: GoldenInputs,
    shipped: Sequence[Shipped],
    machine: Machine,
    card: Card,
    measurements: object,
    report: Path,
) -> Bundle:
    """Write what is missing in ``folder`` (graphs and golden inputs lie there already), seal it, move it."""
    variants = [_variant(folder, item, machine) for item in shipped]
    (folder / "measurements.json").write_bytes(canonical_json(json.loads(json.dumps(measurements))))
    (folder / "report.html").write_bytes(report.read_bytes())
    files = {golden.inputs, *golden.frames}
    for variant in variants:
        files |= set(variant.files)
    model = ModelEntry(
        name=recipe.name,
        task=task.model_dump(mode="json"),
        input=recipe.input,
        golden=golden,
        variants=tuple(variants),
    )
    manifest = Manifest(
        schema_version=schema_version([model]),
        min_agent=MIN_AGENT,
        name=recipe.name,
        version=recipe.version,
        models=(model,),
        files=write_papers(folder, card, recipe, [model], describe_files(folder, sorted(files))),
        records=describe_files(folder, ["measurements.json", "report.html"]),
    )
    return write_bundle(folder, manifest, target)


def _variant(folder: Path, item: Shipped, machine: Machine) -> VariantEntry:
    candidate = item.candidate
    precision = PRECISIONS[candidate.precision]
    plan = folder / item.plans[0] if item.plans else None
    needs = requirements_of(
        candidate.target.runtime, folder / item.graph, folder / item.weights, plan, item.stand_in is not None
    )
    tolerance = precision.tolerance if item.stand_in is None else tolerance_of(candidate.precision, item.outputs)
    outputs = f"golden/{candidate.name}.npy"
    np.save(folder / outputs, item.outputs, allow_pickle=False)
    return VariantEntry(
        name=candidate.name,
        runtime=candidate.target.runtime,
        device=candidate.target.device,
        precision=candidate.precision,
        graph=item.graph,
        weights=item.weights,
        plans=item.plans,
        cpu=machine.int8_family if precision.integer and item.stand_in is None else None,
        precision_hint=candidate.precision_hint,
        requires=needs,
        golden=GoldenEntry(
            outputs=outputs,
            decisions=tuple(verdict.decision.value for verdict in item.verdicts),
            tolerance=tolerance,
            stand_in=item.stand_in,
        ),
    )
