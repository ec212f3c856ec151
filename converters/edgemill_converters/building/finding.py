"""From the results of a build's steps to what the build found out, and to the bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgemill_converters import bundling
from edgemill_converters.building import steps
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
from edgemill_core.budget import Ruling
from edgemill_core.bundle import Bundle, GoldenInputs
from edgemill_core.durable import sha256_file
from edgemill_core.errors import CacheError
from edgemill_core.verdict import Verdict

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
        choice=_choice(sources.recipe.objective, variants),
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
    ruling: Ruling = read_plain(judged.path(steps.RULING), Ruling)
    gates = _gates(recipe, candidate, plan.candidates, measured)
    return VariantResult(
        name=name,
        runtime=candidate.target.runtime,
        device=candidate.target.device,
        precision=candidate.precision,
        steps=candidate.steps,
        measurement=measured[name],
        ruling=replace(ruling, gates=(*ruling.gates, *gates)),
        verdicts=read_plain(judged.path(steps.VERDICTS), tuple[Verdict, ...]),
        yardstick=candidate.yardstick,
    )


def _gates(
    recipe: Recipe, candidate: Candidate, everyone: Sequence[Candidate], measured: Mapping[str, Measurement]
) -> tuple[str, ...]:
    if candidate.is_model_itself:
        return ()
    fp32, own = fp32_beside(candidate, everyone), measured[candidate.name]
    yardstick = measured[fp32.name].turn_medians_ms if fp32 is not None else None
    return gates_against(recipe.gates, own.unfused, own.turn_medians_ms, yardstick)


def _choice(objective: Objective, variants: tuple[VariantResult, ...]) -> Choice:
    def cost(measurement: Measurement) -> float:
        return measurement.p99_ms if objective is Objective.LATENCY_P99 else measurement.p50_ms

    unit = "ms p99" if objective is Objective.LATENCY_P99 else "ms p50"
    return choose(
        [
            Entrant(
                v.name,
                f"{v.runtime}-{v.device}",
                cost(v.measurement),
                v.ruling.outcome,
                v.ruling.why,
                unit,
                v.yardstick,
            )
            for v in variants
        ]
    )


def write_bundle(
    sources: Sources, plan: BuildPlan, done: Entries, result: BuildResult, place: Path, target: Path
) -> Bundle:
    """Lay the bundle out in ``place`` and move it to ``target``; one that lies there already and is the same stays."""
    recipe = sources.recipe
    golden = GoldenInputs.model_validate_json((done["golden"].path(steps.GOLDEN)).read_text(encoding="utf-8"))
    for name in (golden.inputs, *golden.frames):
        _copy(done["golden"], name, place)
    indices = bundling.golden_indices(len(sources.judge.samples))
    shipped = []
    for name in result.choice.shipped:
        rendered = plan.rendered[name]
        for file in (rendered.graph, rendered.weights):
            _copy(done["render"], file, place)
        outputs = np.load(done[f"run {name}"].path(steps.OUTPUTS), mmap_mode="r", allow_pickle=False)
        verdicts = [result.variant(name).verdicts[index] for index in indices]
        graph = (rendered.graph, rendered.weights)
        shipped.append(bundling.Shipped(rendered.candidate, *graph, outputs[indices], verdicts))
    measurements = {
        "environment": result.environment,
        "import": plain(result.imported),
        "variants": {v.name: v.measurement.as_dict() for v in result.variants},
        "rulings": {v.name: [j.as_dict() for j in v.ruling.judgements] for v in result.variants},
    }
    card = model_card(sources, result)
    return bundling.write(
        place, target, recipe, sources.task, golden, shipped, sources.machine, card, measurements, result.report
    )


def _copy(entry: Entry, name: str, place: Path) -> None:
    """Copy a file of the cache to where the bundle is laid out.

    Raises:
        CacheError: it is not what its step wrote: a disk that loses bits tells nobody.
    """
    # A copy, not a link: whoever alters the bundle must not alter the cache.
    target = place / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(entry.path(name), target)
    if (got := sha256_file(target)) != entry.files[name]:
        raise CacheError(
            f"the cache is damaged: {entry.path(name)}",
            expected=entry.files[name],
            got=got,
            fix="check the disk, and build again with --fresh",
        )
