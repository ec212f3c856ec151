"""The build: recipe in, bundle with proof out, or an error with the numbers."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgemill_converters import bundling, judging
from edgemill_converters.bake import BakedModel, bake
from edgemill_converters.candidates import Candidate, ExtraVariant, candidates, fp32_beside, rivals
from edgemill_converters.choosing import Choice, Entrant, choose
from edgemill_converters.gates import gates_against
from edgemill_converters.importers import ImportedModel, import_model
from edgemill_converters.labelling import check_labels, settled
from edgemill_converters.measuring import Measurement, Subject, measure
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.readers import check_disjoint, read_set
from edgemill_converters.recipe import Objective, Recipe, read_recipe
from edgemill_converters.report import write_report
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_core.budget import judge
from edgemill_core.bundle import Bundle
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.errors import BudgetError, InputError
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import Task
from edgemill_core.tensors import Array
from edgemill_core.verdict import Verdict
from edgemill_runtimes.engines import EngineSettings, engine_class
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.machine import this_machine

Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """Progress that nobody reads."""


@dataclass
class _Clock:
    """Seconds per step, and the word for whoever watches."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.progress(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


@dataclass(frozen=True)
class _JudgeSet:
    """The judge's samples, prepared once for all candidates."""

    samples: list[Sample]
    truths: list[Truth]
    prepared: Array
    file: Path
    reference: list[Verdict]
    sight: judging.Sight | None = None


def build(
    recipe: Recipe | Path | str,
    out: Path | str | None = None,
    *,
    progress: Progress = quiet,
    extra: Sequence[ExtraVariant] = (),
) -> BuildResult:
    """Build the bundle of a recipe.

    Args:
        recipe: the recipe, or its file.
        out: folder to make ``<name>-<version>/`` in; beside the recipe if ``None``.
        progress: told what is going on, a few words at a time.
        extra: further variants to measure and judge.

    Returns:
        What was found; ``.bundle`` is verified and lies in ``out``, the report inside and beside it.

    Raises:
        RecipeError, DataError, ModelError: the input is wrong, see the message.
        MissingPartError: a runtime that the recipe names is not installed.
        InputError: the bundle cannot be written where ``out`` says.
        BudgetError: a target has no variant inside the budget; the report is written all the same.
    """
    recipe = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe))
    folder = Path(out) if out is not None else recipe.folder
    claim(folder, folder / f"{recipe.name}-{recipe.version}")
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".build."))
    try:
        return _build(recipe, folder, scratch, _Clock(progress), extra)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def claim(folder: Path, target: Path) -> None:
    """Make ``folder``, and refuse to replace anything but an earlier bundle."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder for the bundle cannot be made: {folder}",
            expected="a folder, or a place for one",
            got=str(error),
            fix="name another folder with --out",
        ) from error
    other = target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file()
    if other or target.is_file():
        raise InputError(
            f"{target} would be replaced by the bundle, but is none",
            expected="nothing, or an earlier bundle",
            got="a folder with other things" if other else "a file",
            fix="move it away, or name another folder with --out",
        )


def _build(recipe: Recipe, folder: Path, scratch: Path, clock: _Clock, extra: Sequence[ExtraVariant]) -> BuildResult:
    task = recipe.make_task()
    for target in recipe.targets:
        engine_class(target.runtime)
    with clock.step("read"):
        source = recipe.data.calibration
        calibration = read_set(recipe, "calibration", source) if source is not None else []
        search = read_set(recipe, "search", recipe.data.search) if recipe.data.search is not None else []
        search = settled(search, task, recipe.input, "search")
        samples = settled(read_set(recipe, "judge", recipe.data.judge), task, recipe.input, "judge")
        check_labels([budget.metric for budget in recipe.budget], samples, "judge")
        truths = judging.truths_of(samples)
        check_disjoint({"calibration": calibration, "search": search, "judge": samples})
    with clock.step("import and bake"):
        model = import_model(recipe)
        baked = bake(model, recipe.input, task)
    with clock.step("calibrate and quantize"):
        plan = _plan(recipe, baked, calibration, clock.progress)
        entrants = list(candidates(recipe, baked, plan, extra))
        graphs = {c.name: bundling.save_graph(c.graph, scratch / "all", c.name) for c in entrants}
    with clock.step("prepare and run the reference"):
        prepared = judging.prepare_set(samples, recipe.input)
        file = scratch / "judge.npy"
        np.save(file, prepared, allow_pickle=False)
        answers = judging.reference_outputs(baked, recipe.input, prepared, clock.progress)
        reference = judging.verdicts_of(answers, task, samples)
        sight = judging.Sight.of(task, recipe.input, truths, answers)
        judged = _JudgeSet(samples, truths, prepared, file, reference, sight)
    with clock.step("measure"):
        measured = measure(_subjects(scratch, entrants, graphs), file, progress=clock.progress)
    with clock.step("judge"):
        outputs = _outputs(scratch, task, entrants, graphs, judged, clock.progress)
        results = [_result(recipe, task, c, entrants, measured, outputs[c.name], judged) for c in entrants]
    choice = _choice(recipe, results)
    report = folder / f"{recipe.name}-{recipe.version}.report.html"
    result = _found(recipe, model, judged, results, choice, plan, clock, report)
    with clock.step("report and bundle"):
        write_report(result, report)
        if choice.without:
            raise _nothing_ships(result)
        bundle = _bundle(recipe, folder, scratch, task, result, entrants, graphs, outputs, judged)
    return _found(recipe, model, judged, results, choice, plan, clock, report, bundle)


def _plan(recipe: Recipe, baked: BakedModel, calibration: Sequence[Sample], progress: Progress) -> Plan | None:
    if not any("int8" in target.precisions for target in recipe.targets):
        return None
    weight_bits = 8 if this_machine().int8_dot_product else 7
    pictures = (judging.prepare_set([sample], recipe.input) for sample in calibration)
    names = [str(sample.picture) for sample in calibration]
    settings = recipe.quantization.for_task(recipe.task["name"])
    return calibrate(baked.graph, pictures, weight_bits, settings, names=names, progress=progress)


def _subjects(scratch: Path, entrants: Sequence[Candidate], graphs: dict[str, tuple[str, str]]) -> dict[str, Subject]:
    subjects = {}
    for candidate in entrants:
        files = [scratch / "all" / name for name in graphs[candidate.name]]
        size = sum(file.stat().st_size for file in files)
        subjects[candidate.name] = Subject(candidate.target.runtime, candidate.target.device, files[0], size)
    return subjects


def _outputs(
    scratch: Path,
    task: Task,
    entrants: Sequence[Candidate],
    graphs: dict[str, tuple[str, str]],
    judged: _JudgeSet,
    progress: Progress,
) -> dict[str, Array]:
    """Each candidate's output for every sample of the judge, one candidate after the other."""
    outputs = {}
    for candidate in entrants:
        progress(f"judging {candidate.name} on {len(judged.samples)} samples")
        graph = scratch / "all" / graphs[candidate.name][0]
        with EngineProcess(candidate.target.runtime, graph, EngineSettings(candidate.target.device)) as child:
            into = scratch / f"{candidate.name}.npy"
            outputs[candidate.name] = judging.outputs_of(child, task, judged.file, into)
    return outputs


def _result(
    recipe: Recipe,
    task: Task,
    candidate: Candidate,
    everyone: Sequence[Candidate],
    measured: Mapping[str, Measurement],
    outputs: Array,
    judged: _JudgeSet,
) -> VariantResult:
    verdicts = judging.verdicts_of(outputs, task, judged.samples)
    boxes = judged.sight.beside(outputs) if judged.sight is not None else None
    many = rivals(candidate, everyone)
    ruling = judge(recipe.budget, judged.truths, judged.reference, verdicts, candidates=many, boxes=boxes)
    gates = _gates(recipe, candidate, everyone, measured)
    return VariantResult(
        name=candidate.name,
        runtime=candidate.target.runtime,
        device=candidate.target.device,
        precision=candidate.precision,
        steps=candidate.steps,
        measurement=measured[candidate.name],
        ruling=replace(ruling, gates=(*ruling.gates, *gates)),
        verdicts=tuple(verdicts),
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


def _choice(recipe: Recipe, results: Sequence[VariantResult]) -> Choice:
    def cost(measurement: Measurement) -> float:
        return measurement.p99_ms if recipe.objective is Objective.LATENCY_P99 else measurement.p50_ms

    unit = "ms p99" if recipe.objective is Objective.LATENCY_P99 else "ms p50"
    return choose(
        [
            Entrant(
                r.name,
                f"{r.runtime}-{r.device}",
                cost(r.measurement),
                r.ruling.outcome,
                r.ruling.why,
                unit,
                r.yardstick,
            )
            for r in results
        ]
    )


def _found(
    recipe: Recipe,
    model: ImportedModel,
    judged: _JudgeSet,
    results: Sequence[VariantResult],
    choice: Choice,
    plan: Plan | None,
    clock: _Clock,
    report: Path,
    bundle: Bundle | None = None,
) -> BuildResult:
    return BuildResult(
        recipe=recipe,
        model={"file": model.source.name, "sha256": model.digest},
        environment=this_machine().as_dict(),
        samples=tuple(judged.samples),
        reference=tuple(judged.reference),
        variants=tuple(results),
        choice=choice,
        plan=plan,
        seconds=dict(clock.seconds),
        bundle=bundle,
        report=report,
    )


def _nothing_ships(result: BuildResult) -> BudgetError:
    refusals = "\n             ".join(f"{r.variant}: {r.why}" for r in result.choice.refused)
    return BudgetError(
        f"no variant inside the budget for {', '.join(result.choice.without)}; no bundle was written",
        expected="; ".join(
            f"{b.metric} worse by at most {b.max_drop:.2%} at {b.confidence:.0%}" for b in result.recipe.budget
        ),
        got=refusals,
        fix=f"look at {result.report}; add samples where it says undecided, or widen the budget",
    )


def _bundle(
    recipe: Recipe,
    folder: Path,
    scratch: Path,
    task: Task,
    result: BuildResult,
    entrants: Sequence[Candidate],
    graphs: dict[str, tuple[str, str]],
    outputs: dict[str, Array],
    judged: _JudgeSet,
) -> Bundle:
    indices = bundling.golden_indices(len(judged.samples))
    place = scratch / "bundle"
    golden = bundling.write_golden_inputs(place, judged.prepared, judged.samples, judged.reference, indices)
    by_name = {candidate.name: candidate for candidate in entrants}
    shipped = []
    for name in result.choice.shipped:
        (place / "models").mkdir(exist_ok=True)
        shutil.move(scratch / "all" / "models" / name, place / "models" / name)
        verdicts = [result.variant(name).verdicts[index] for index in indices]
        shipped.append(bundling.Shipped(by_name[name], *graphs[name], outputs[name][indices], verdicts))
    measurements = {
        "environment": result.environment,
        "variants": {v.name: v.measurement.as_dict() for v in result.variants},
        "rulings": {v.name: [j.as_dict() for j in v.ruling.judgements] for v in result.variants},
    }
    target = folder / f"{recipe.name}-{recipe.version}"
    return bundling.write(place, target, recipe, task, golden, shipped, this_machine(), measurements, result.report)
