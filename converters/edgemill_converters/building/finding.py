"""From the results of a build's steps to what the build found out, and to the bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgemill_converters import bundling
from edgemill_converters.building import steps
from edgemill_converters.building.away_steps import PLAN, plan_in
from edgemill_converters.building.plain import plain, read_plain
from edgemill_converters.building.planning import BuildPlan
from edgemill_converters.building.sources import Sources
from edgemill_converters.building.store import Entry
from edgemill_converters.candidates import Candidate, fp32_beside
from edgemill_converters.choosing import Choice, Entrant, choose
from edgemill_converters.gates import gates_against
from edgemill_converters.measuring import Measurement
from edgemill_converters.papers.cards import model_card
from edgemill_converters.recipe import Objective, Recipe
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_converters.standing_in.running import stand_in
from edgemill_converters.standing_in.weight_bytes import weight_bytes
from edgemill_core.budget import Ruling
from edgemill_core.bundle import Bundle, GoldenInputs
from edgemill_core.durable import sha256_file
from edgemill_core.errors import CacheError
from edgemill_core.verdict import Verdict
from edgemill_runtimes.nvidia.plan_facts import facts_beside

Entries = Mapping[str, Entry]


def result_of(sources: Sources, plan: BuildPlan, done: Entries, report: Path) -> BuildResult:
    """What the build found out, without a bundle."""
    measured = _measured(done["measure"])
    variants = tuple(_variant(sources.recipe, plan, done, name, measured) for name in plan.rendered)
    return BuildResult(
        recipe=sources.recipe,
        model={"file": sources.model_file, "sha256": sources.model_sha256},
        environment=sources.machine.as_dict(),
        samples=tuple(sources.judge.samples),
        reference=read_plain(done["decide"].path(steps.VERDICTS), tuple[Verdict, ...]),
        variants=variants,
        choice=_choice(sources.recipe.objective, variants, {v.name: _weights(plan, done, v.name) for v in variants}),
        plan=plan.plan_in(done),
        seconds={name: entry.seconds for name, entry in done.items() if name != "report"},
        bundle=None,
        report=report,
        fallbacks=plan.mixes_in(done),
        searches=plan.forms_in(done),
        digests=sources.digests,
        imported=plan.imported_in(done),
    )


def _measured(entry: Entry) -> dict[str, Measurement]:
    found: dict[str, Measurement] = read_plain(entry.path(steps.MEASUREMENTS), dict[str, Measurement])
    return found


def _variant(
    recipe: Recipe, plan: BuildPlan, done: Entries, name: str, measured: Mapping[str, Measurement]
) -> VariantResult:
    candidate = plan.rendered[name].candidate
    judged = done[f"judge {name}"]
    verdicts: tuple[Verdict, ...] = read_plain(judged.path(steps.VERDICTS), tuple[Verdict, ...])
    ruling: Ruling = read_plain(judged.path(steps.RULING), Ruling)
    gates = _gates(recipe, candidate, plan.candidates, measured) if name in measured else ()
    compiled, refusal = plan_in(done[f"compile {name}"]) if name in plan.compiled else (None, None)
    gates += (refusal,) if refusal is not None else ()
    return VariantResult(
        name=name,
        runtime=candidate.target.runtime,
        device=candidate.target.device,
        precision=candidate.precision,
        steps=candidate.steps,
        measurement=measured.get(name),
        size_bytes=sum(done["render"].path(file).stat().st_size for file in plan.files_of(name)),
        ruling=replace(ruling, gates=(*ruling.gates, *gates)),
        verdicts=verdicts,
        yardstick=candidate.yardstick,
        stand_in=stand_in() if verdicts and not candidate.target.runs_here else "",
        plan=compiled,
    )


def _gates(
    recipe: Recipe, candidate: Candidate, everyone: Sequence[Candidate], measured: Mapping[str, Measurement]
) -> tuple[str, ...]:
    if candidate.is_model_itself:
        return ()
    fp32, own = fp32_beside(candidate, everyone), measured[candidate.name]
    yardstick = measured[fp32.name].turn_medians_ms if fp32 is not None else None
    return gates_against(recipe.gates, own.unfused, own.turn_medians_ms, yardstick)


def _weights(plan: BuildPlan, done: Entries, name: str) -> int:
    graph = onnx.load(done["render"].path(plan.rendered[name].graph), load_external_data=False)
    return weight_bytes(graph.graph)


def _choice(objective: Objective, variants: tuple[VariantResult, ...], weights: Mapping[str, int]) -> Choice:
    return choose([_entrant(objective, variant, weights[variant.name]) for variant in variants])


def _entrant(objective: Objective, v: VariantResult, weights: int) -> Entrant:
    target = f"{v.runtime}-{v.device}"
    if v.measurement is None:
        # Not by the plan: built ahead, it is mostly padding and the source text of kernels (decision 0036).
        size = weights / 1e6
        return Entrant(v.name, target, size, v.ruling.outcome, v.ruling.why, "MB of weights", v.yardstick, False)
    tail = objective is Objective.LATENCY_P99
    cost, unit = (v.measurement.p99_ms, "ms p99") if tail else (v.measurement.p50_ms, "ms p50")
    return Entrant(v.name, target, cost, v.ruling.outcome, v.ruling.why, unit, v.yardstick)


def write_bundle(
    sources: Sources, plan: BuildPlan, done: Entries, result: BuildResult, place: Path, target: Path
) -> Bundle:
    """Lay the bundle out in ``place`` and move it to ``target``; one that lies there already and is the same stays."""
    recipe = sources.recipe
    golden = GoldenInputs.model_validate_json((done["golden"].path(steps.GOLDEN)).read_text(encoding="utf-8"))
    for name in (golden.inputs, *golden.frames):
        _copy(done["golden"], name, place / name)
    indices = bundling.golden_indices(len(sources.judge.samples))
    shipped = []
    for name in result.choice.shipped:
        rendered = plan.rendered[name]
        for file in plan.files_of(name):
            _copy(done["render"], file, place / file)
        plans = _copy_plan(done[f"compile {name}"], place, rendered.graph) if name in plan.compiled else ()
        outputs = np.load(done[f"run {name}"].path(steps.OUTPUTS), mmap_mode="r", allow_pickle=False)
        verdicts = [result.variant(name).verdicts[index] for index in indices]
        stood_in = result.variant(name).stand_in or None
        files = (rendered.graph, rendered.weights)
        shipped.append(bundling.Shipped(rendered.candidate, *files, outputs[indices], verdicts, plans, stood_in))
    measurements = {
        "environment": result.environment,
        "import": plain(result.imported),
        "variants": {v.name: _measured_or_not(v) for v in result.variants},
        "rulings": {v.name: [j.as_dict() for j in v.ruling.judgements] for v in result.variants},
    }
    card = model_card(sources, result)
    return bundling.write(
        place, target, recipe, sources.task, golden, shipped, sources.machine, card, measurements, result.report
    )


def _measured_or_not(variant: VariantResult) -> dict[str, object]:
    if variant.measurement is not None:
        return variant.measurement.as_dict()
    plan = variant.plan.model_dump(mode="json") if variant.plan is not None else None
    return {"measured": False, "stand_in": variant.stand_in, "size_bytes": variant.size_bytes, "plan": plan}


def _copy_plan(compiled: Entry, place: Path, graph: str) -> tuple[str, ...]:
    """Beside the graph, where an engine looks for it."""
    name = str(Path(graph).with_name(PLAN))
    for file in (PLAN, facts_beside(Path(PLAN)).name):
        _copy(compiled, file, (place / name).with_name(file))
    return (name,)


def _copy(entry: Entry, name: str, target: Path) -> None:
    """Copy a file of the cache to where the bundle is laid out.

    Raises:
        CacheError: it is not what its step wrote: a disk that loses bits tells nobody.
    """
    # A copy, not a link: whoever alters the bundle must not alter the cache.
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(entry.path(name), target)
    if (got := sha256_file(target)) != entry.files[name]:
        raise CacheError(
            f"the cache is damaged: {entry.path(name)}",
            expected=entry.files[name],
            got=got,
            fix="check the disk, and build again with --fresh",
        )
