"""What each step of a build does: top-level functions of files and plain values, which write what they found.

Each is called as ``step(into, tell, **given)``, see ``Step``; the names that others read are the constants here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import onnx
from pydantic import TypeAdapter

from edgemill_converters import bundling, judging
from edgemill_converters.bake import BakedModel, bake, first_output
from edgemill_converters.building.plain import read_plain, write_plain
from edgemill_converters.building.step import Tell
from edgemill_converters.candidates import Candidate, ExtraVariant, candidates
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.importers.versions import readable_by
from edgemill_converters.measuring import Subject, measure
from edgemill_converters.mixing_targets import fallbacks
from edgemill_converters.parity import (
    ImportFacts,
    OutputParity,
    Parity,
    flipped,
    parity_indices,
)
from edgemill_converters.parity_check import reference_beside_graph
from edgemill_converters.passes.upgrade_opset import opset_of
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.recipe import Recipe
from edgemill_converters.result import BuildResult
from edgemill_converters.searching.artefacts import Given
from edgemill_converters.searching.cluster import crew_of
from edgemill_converters.searching.search import search_targets
from edgemill_converters.searching.settings import Search
from edgemill_converters.sight import Sight
from edgemill_core.budget import judge
from edgemill_core.samples import Sample
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.machine import Machine

GRAPH, STEPS, IMPORT, TRANSLATED = "graph.onnx", "steps.json", "import.json", "translated.onnx"
PREPARED = "prepared.npy"
PLAN = "plan.json"
MIXES = "mixes.json"
FORMS = "forms.json"
CANDIDATES = "candidates.json"
OUTPUTS = "outputs.npy"
IMPORTED, DIFFERENCES, PARITY = "imported.npy", "differences.json", "parity.json"
VERDICTS, RULING = "verdicts.json", "ruling.json"
MEASUREMENTS = "measurements.json"
GOLDEN = "golden.json"
REPORT = "report.html"


@dataclass(frozen=True)
class Rendered:
    """A candidate whose graph lies in the cache, and not in ``candidate``.

    Attributes:
        graph: relative to the entry of the step, as is ``weights``.
    """

    candidate: Candidate
    graph: str
    weights: str


def bake_model(into: Path, _: Tell, recipe: Recipe) -> None:
    """The FP32 graph with everything baked in: ``GRAPH``, and the names of its passes: ``STEPS``.

    Also how it came in: ``IMPORT``, and of a model that it takes long to translate what that gave: ``TRANSLATED``.
    """
    model = import_model(recipe)
    if model.translated is not None:
        (into / TRANSLATED).write_bytes(model.translated.SerializeToString(deterministic=True))
    baked = _baked(model, recipe)
    (into / GRAPH).write_bytes(baked.graph.SerializeToString(deterministic=True))
    write_plain(into / STEPS, baked.steps)
    told = (model.framework, model.exporter, model.pickled, opset_of(model.proto), model.proto.ir_version)
    write_plain(into / IMPORT, ImportFacts(*told))


def _again(recipe: Recipe, baked: Path) -> BakedModel:
    """The same model once more; ``baked`` is the folder of ``bake_model``."""
    translated = baked / TRANSLATED
    return _baked(import_model(recipe, translated if translated.is_file() else None), recipe)


def _baked(model: ImportedModel, recipe: Recipe) -> BakedModel:
    return bake(model, recipe.input, recipe.make_task(), readable_by(recipe.targets))


def prepare_samples(into: Path, _: Tell, recipe: Recipe, samples: Sequence[Sample]) -> None:
    """All samples as engine inputs: ``PREPARED``."""
    np.save(into / PREPARED, judging.prepare_set(samples, recipe.input), allow_pickle=False)


def calibrate_ranges(
    into: Path,
    tell: Tell,
    recipe: Recipe,
    graph: Path,
    samples: Sequence[Sample],
    weight_bits: int,
    in_8_bits_too: bool,
) -> None:
    """The quantization plan: ``PLAN``."""
    pictures = (judging.prepare_set([sample], recipe.input) for sample in samples)
    names = [str(sample.picture) for sample in samples]
    settings = recipe.quantization.for_task(recipe.make_task().name)
    model = onnx.load(graph)
    plan = calibrate(model, pictures, weight_bits, settings, names=names, progress=tell, in_8_bits_too=in_8_bits_too)
    write_plain(into / PLAN, plan)


def render(into: Path, _: Tell, recipe: Recipe, baked: Path, plan: Plan | None, extra: Sequence[ExtraVariant]) -> None:
    """Every candidate's graph in its runtime's dialect: ``CANDIDATES``, and the graphs and weights that it names.

    Args:
        baked: folder of ``bake_model``.
    """
    graph = onnx.load(baked / GRAPH)
    model = BakedModel(graph, graph, first_output, read_plain(baked / STEPS, str))
    told = []
    for found in candidates(recipe, model, plan, extra):
        paths = bundling.save_graph(found.graph, into, found.name)
        shown = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "graph"}
        told.append({"candidate": shown, "graph": paths[0], "weights": paths[1]})
    write_plain(into / CANDIDATES, told)


def rendered_in(folder: Path) -> list[Rendered]:
    """What ``render`` wrote into ``folder``."""
    kinds = get_type_hints(Candidate)
    found = []
    for told in read_plain(folder / CANDIDATES, list[dict[str, Any]]):
        known = {name: TypeAdapter(kinds[name]).validate_python(value) for name, value in told["candidate"].items()}
        found.append(Rendered(Candidate(graph=onnx.ModelProto(), **known), told["graph"], told["weights"]))
    return found


def just(plan: Plan, _: Plan) -> Plan:
    """The change of an extra variant whose plan is known: ``partial(just, plan)`` can be pickled."""
    return plan


def search_mixes(
    into: Path,
    tell: Tell,
    recipe: Recipe,
    baked: Path,
    plan: Path,
    settings: Fallback,
    samples: Sequence[Sample],
    notes: Path,
) -> None:
    """For each INT8 target, the layers to leave in float: ``MIXES``."""
    model, planned = _again(recipe, baked), read_plain(plan, Plan)
    write_plain(into / MIXES, fallbacks(recipe, model, planned, settings, samples, notes, tell))


def search_forms(
    into: Path,
    tell: Tell,
    recipe: Recipe,
    baked: Path,
    plan: Path,
    settings: Search,
    calibration: Sequence[Sample],
    samples: Sequence[Sample],
    machine: Machine,
    cluster: str | None,
    notes: Path,
) -> None:
    """For each INT8 target, the trials of its search and what goes on to the judge: ``FORMS``."""
    with crew_of(cluster) as crew:
        given = Given(
            recipe, settings, _again(recipe, baked), read_plain(plan, Plan), calibration, samples, machine, notes
        )
        write_plain(into / FORMS, search_targets(given, crew, tell))


def run_reference(into: Path, tell: Tell, recipe: Recipe, baked: Path, prepared: Path) -> None:
    """The untouched model's output for every sample: ``OUTPUTS``.

    Where that is another library's, also what the imported graph gives for some: ``IMPORTED``, ``DIFFERENCES``.
    """
    model, inputs = _again(recipe, baked), np.load(prepared, mmap_mode="r")
    if model.native is None:
        outputs = judging.reference_outputs(model, recipe.input, inputs, tell)
    else:
        compared = reference_beside_graph(model, model.native, recipe.input, inputs, tell)
        np.save(into / IMPORTED, compared.read, allow_pickle=False)
        write_plain(into / DIFFERENCES, compared.outputs)
        outputs = compared.reference
    np.save(into / OUTPUTS, outputs, allow_pickle=False)


def count_flips(
    into: Path, _: Tell, recipe: Recipe, samples: Sequence[Sample], reference: Path, verdicts: Path
) -> None:
    """What the imported graph and its framework make of the same samples: ``PARITY``, or null where they are one.

    Args:
        reference: folder of ``run_reference``.
        verdicts: the reference's.
    """
    if not (reference / IMPORTED).is_file():
        write_plain(into / PARITY, None)
        return
    indices, before = parity_indices(len(samples)), read_plain(verdicts, tuple[Verdict, ...])
    read = np.load(reference / IMPORTED, allow_pickle=False)
    after = judging.verdicts_of(read, recipe.make_task(), [samples[index] for index in indices])
    differences = read_plain(reference / DIFFERENCES, tuple[OutputParity, ...])
    flips = flipped([before[index] for index in indices], after)
    write_plain(into / PARITY, Parity(len(indices), differences, flips))


def run_candidate(
    into: Path, _: Tell, recipe: Recipe, runtime: str, graph: Path, settings: EngineSettings, prepared: Path
) -> None:
    """A candidate's output for every sample: ``OUTPUTS``."""
    with EngineProcess(runtime, graph, settings) as child:
        judging.outputs_of(child, recipe.make_task(), prepared, into / OUTPUTS)


def decide(into: Path, _: Tell, recipe: Recipe, samples: Sequence[Sample], outputs: Path) -> None:
    """The task's verdict on each output: ``VERDICTS``."""
    found = judging.verdicts_of(np.load(outputs, mmap_mode="r"), recipe.make_task(), samples)
    write_plain(into / VERDICTS, found)


def judge_candidate(
    into: Path,
    tell: Tell,
    recipe: Recipe,
    samples: Sequence[Sample],
    outputs: Path,
    before: Path,
    outputs_before: Path,
    candidates: int,
) -> None:
    """A candidate's ``VERDICTS``, and what the budget says of them beside the reference's: ``RULING``.

    Args:
        outputs: of the candidate.
        before: verdicts of the reference.
        outputs_before: outputs of the reference.
        candidates: how many compete for its target.
    """
    decide(into, tell, recipe, samples, outputs)
    truths = judging.truths_of(samples)
    task, asked = recipe.make_task(), [budget.metric for budget in recipe.budget]
    sight = Sight.of(task, recipe.input, truths, np.load(outputs_before, mmap_mode="r"), asked)
    seen = sight.beside(np.load(outputs, mmap_mode="r"))
    reference, verdicts = (read_plain(path, tuple[Verdict, ...]) for path in (before, into / VERDICTS))
    ruling = judge(
        recipe.budget,
        truths,
        reference,
        verdicts,
        candidates=candidates,
        boxes=seen.boxes,
        evidence=seen.evidence,
    )
    write_plain(into / RULING, ruling)


def measure_all(into: Path, tell: Tell, subjects: Mapping[str, Subject], prepared: Path) -> None:
    """Latency, size and memory of every candidate, in turns: ``MEASUREMENTS``."""
    write_plain(into / MEASUREMENTS, measure(subjects, prepared, progress=tell))


def choose_golden(into: Path, _: Tell, samples: Sequence[Sample], prepared: Path, reference: Path) -> None:
    """The golden inputs as the bundle has them, and their entry for its manifest: ``GOLDEN``."""
    inputs = np.load(prepared, mmap_mode="r")
    verdicts = read_plain(reference, tuple[Verdict, ...])
    indices = bundling.golden_indices(len(samples))
    golden = bundling.write_golden_inputs(into, inputs, samples, verdicts, indices)
    (into / GOLDEN).write_text(golden.model_dump_json(), encoding="utf-8")


def draw_report(into: Path, _: Tell, result: BuildResult) -> None:
    """The picture report: ``REPORT``."""
    from edgemill_converters.report import write_report  # draws with Matplotlib, which takes a second to import

    write_report(result, into / REPORT)
