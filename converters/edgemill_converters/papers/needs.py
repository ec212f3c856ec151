"""What a graph needs of a box: the oldest runtime that reads it."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgemill_converters.importers.versions import READABLE
from edgemill_core.bundle import Requirements
from edgemill_core.bundle.requirements import release
from edgemill_runtimes.nvidia.plan_facts import facts_beside, read_facts
from edgemill_runtimes.requirements import installed_runtime


def requirements_of(
    runtime: str, graph: Path, weights: Path, plan: Path | None = None, stood_in: bool = False
) -> Requirements:
    """What the graph in ``graph`` needs to run on ``runtime``.

    A graph that is newer than the oldest release reads needs the version that it was built with, which did read it.
    A plan is read by that one alone; a box with another can compile the graph itself.

    Args:
        plan: built ahead, its facts beside it; ``None`` where there is none.
        stood_in: another runtime gave the golden outputs.
    """
    model = onnx.load(graph, load_external_data=False)
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    package = None if stood_in else installed_runtime(runtime)
    built_with = package[1] if package else None
    size = graph.stat().st_size + weights.stat().st_size
    facts = read_facts(plan) if plan is not None else None
    if facts is not None and plan is not None:
        built_with = facts.version
        size += facts.bytes + facts_beside(plan).stat().st_size
    return Requirements(
        least=least_version(runtime, opset, model.ir_version, built_with),
        built_with=built_with,
        opset=opset,
        ir_version=model.ir_version,
        disk_bytes=size,
    )


def least_version(runtime: str, opset: int, ir_version: int, built_with: str | None) -> str | None:
    """The oldest version of ``runtime`` that is known to read such a graph; ``None`` where none is known."""
    floor = READABLE.get(runtime)
    if floor is not None and opset <= floor.opset and ir_version <= floor.ir:
        return floor.release
    return ".".join(map(str, release(built_with or ""))) or None
