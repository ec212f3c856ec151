"""The steps of a build of one model, and what each depends on.

::

    bake ──┬─ calibrate (─ search) ─ render ──┬─ run (each candidate) ── judge (each) ──┬─ report
           │                                  ├─ compile (each that is built ahead) ────┤
           │                                  ├─ measure (all that run here, alone) ────┤
           └─ reference ──── decide ──────────┴─ golden ────────────────────────────────┘
    prepare ─┘

A step's key holds what its result is a function of and no more: contents and not names, of the recipe only what it
reads. A result that comes out the same as before lets everything behind it be read back. Which candidates there are is
known when they are rendered; until then the recipe's targets are taken for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from edgemill_converters.building import away_steps, steps
from edgemill_converters.building.plain import plain, read_plain
from edgemill_converters.building.runner import Planned
from edgemill_converters.building.sources import Inputs, Sources
from edgemill_converters.building.step import Step, runtime_parts, versions
from edgemill_converters.building.steps import Rendered
from edgemill_converters.building.store import Entry
from edgemill_converters.candidates import Candidate, ExtraVariant, rivals
from edgemill_converters.importers.versions import readable_by
from edgemill_converters.measuring import Subject
from edgemill_converters.measuring.bench import ROUNDS, RUNS, WARMUP
from edgemill_converters.mixing_targets import mixed_variants
from edgemill_converters.parity import ImportFacts, Parity
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.searching.found import SearchFound, searched_variants
from edgemill_runtimes.requirements import DISTRIBUTIONS

Entries = Mapping[str, Entry]
_GRAPH_PARTS = ("onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "lightgbm")
_MODEL_PARTS = (
    "torch",
    "onnxscript",
    "transformers",
    "optimum",
    "optimum-onnx",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
    "scikit-learn",
    "skl2onnx",
    "xgboost",
    "xgboost-cpu",
)
"""What may make a model's graph, or be its reference."""
_PICTURE_PARTS = ("numpy", "opencv-python-headless")
_PLAN_PARTS = DISTRIBUTIONS["tensorrt_rtx"]
_RUN_PARTS = ("onnxruntime", "onnxruntime-gpu", "openvino", "torch", "numpy")


class BuildPlan:
    """The steps of one build.

    Attributes:
        rendered: the candidates by name, once they are known.
    """

    def __init__(self, sources: Sources, last: Callable[[BuildPlan, tuple[str, ...]], Planned]) -> None:
        """``last`` makes, of this plan and the names of all its steps, the one behind them."""
        self._from = sources
        self._last = last
        self.rendered: dict[str, Rendered] = {}

    @property
    def calibrates(self) -> bool:
        """Whether any target asks for a precision that is planned."""
        return self._from.recipe.needs_calibration

    @property
    def searches(self) -> bool:
        """Whether layers to leave in float are looked for."""
        return self.calibrates and self._from.recipe.quantization.fallback is not None

    def planned(self) -> list[Planned]:
        """All steps, in the order in which they are best begun."""
        judged, calibration = len(self._from.judge.samples), len(self._from.calibration.samples)
        calibrate = Planned("calibrate", ("bake",), self._calibrate, calibration, threaded=True)
        search = Planned("search", ("bake", "calibrate"), self._search, len(self._from.search.samples), alone=True)
        sought = len(self._from.search.samples) * (settings.trials if (settings := self._from.recipe.search) else 0)
        forms = Planned("forms", ("bake", "calibrate"), self._forms, sought, alone=True)
        plans = [*([calibrate] if self.calibrates else []), *([search] if self.searches else [])]
        plans += [forms] if settings is not None else []
        before = ("bake", *(one.name for one in plans))
        found = [
            Planned("bake", (), self._bake),
            Planned("prepare", (), self._prepare, judged),
            *plans,
            Planned("render", before, self._render, settles=self._settled),
            Planned("reference", ("bake", "prepare"), self._reference, judged, threaded=True),
            Planned("decide", ("reference",), self._decide, judged),
        ]
        if self._translated:
            found.append(Planned("parity", ("reference", "decide"), self._parity))
        names = list(self.rendered) or [f"{t.name}-{p}" for t in self._from.recipe.targets for p in t.precisions]
        for name in names:
            run = partial(self._run, name)
            found.append(Planned(f"run {name}", ("render", "prepare"), run, judged, threaded=True))
        for name in self.compiled:
            compile_it = partial(self._compile, name)
            found.append(Planned(f"compile {name}", ("render",), compile_it, threaded=True))
        for name in names:
            needs = (f"run {name}", "reference", "decide")
            found.append(Planned(f"judge {name}", needs, partial(self._judge, name), judged))
        found.append(Planned("golden", ("prepare", "decide"), self._golden))
        found.append(Planned("measure", ("prepare", "render"), self._measure, len(names), alone=True))
        return [*found, self._last(self, tuple(one.name for one in found))]

    @property
    def compiled(self) -> list[str]:
        """Names of the candidates whose plans are built ahead."""
        return [name for name, found in self.rendered.items() if found.candidate.target.is_built_ahead]

    @property
    def candidates(self) -> list[Candidate]:
        """All that were rendered."""
        return [found.candidate for found in self.rendered.values()]

    def plan_in(self, done: Entries) -> Plan | None:
        """The quantization plan, where one was made."""
        return read_plain(done["calibrate"].path(steps.PLAN), Plan) if self.calibrates else None

    def mixes_in(self, done: Entries) -> tuple[FallbackFound, ...]:
        """What the searches found, where there were any."""
        return read_plain(done["search"].path(steps.MIXES), tuple[FallbackFound, ...]) if self.searches else ()

    def forms_in(self, done: Entries) -> tuple[SearchFound, ...]:
        """What the searches for better INT8 forms found, where there were any."""
        if self._from.recipe.search is None:
            return ()
        found: tuple[SearchFound, ...] = read_plain(done["forms"].path(steps.FORMS), tuple[SearchFound, ...])
        return found

    def imported_in(self, done: Entries) -> ImportFacts:
        """How the model came in."""
        facts: ImportFacts = read_plain(done["bake"].path(steps.IMPORT), ImportFacts)
        parity = read_plain(done["parity"].path(steps.PARITY), Parity | None) if self._translated else None
        return replace(facts, parity=parity)

    @property
    def _translated(self) -> bool:
        return not self._from.recipe.model.is_onnx

    @property
    def _model_parts(self) -> tuple[str, ...]:
        return (*(_MODEL_PARTS if self._translated else ()), *self._from.model_parts)

    @property
    def _asked(self) -> list[object]:
        """What importers read of the targets: a translation is to their runtimes and precisions."""
        return [[one.runtime, list(one.precisions)] for one in self._from.recipe.targets] if self._translated else []

    def _settled(self, rendered: Entry) -> list[Planned]:
        self.rendered = {found.candidate.name: found for found in steps.rendered_in(rendered.folder)}
        return self.planned()

    def _bake(self, _: Entries) -> Step:
        recipe = self._from.recipe
        depends = {
            "model": self._from.model_contents,
            "read as": recipe.model.read_as,
            "input": recipe.input,
            "task": recipe.make_task(),
            "readable": readable_by(recipe.targets),
            "targets": self._asked,
            "parts": versions(*_GRAPH_PARTS, *self._model_parts),
        }
        return Step(steps.bake_model, {"recipe": recipe}, depends)

    def _prepare(self, _: Entries) -> Step:
        given = {"recipe": self._from.recipe, "samples": self._from.judge.samples}
        return Step(steps.prepare_samples, given, self._inputs(self._from.judge))

    def _inputs(self, inputs: Inputs) -> dict[str, object]:
        return {
            "input": self._from.recipe.input,
            "samples": inputs.contents,
            "masks": inputs.masks,
            "labelled sizes": [sample.truth.size if sample.truth else None for sample in inputs.samples],
            "parts": versions(*_PICTURE_PARTS),
        }

    @property
    def _arithmetic(self) -> dict[str, object]:
        """What an engine's numbers may depend on, beside its graph: sums are split by cores and by instructions."""
        machine = self._from.machine
        return {
            "cpu": [machine.architecture, machine.cpu, list(machine.features)],
            "cores": len(self._from.cores),
            "parts": versions(*_RUN_PARTS, *runtime_parts()),
        }

    def _calibrate(self, done: Entries) -> Step:
        sources = self._from
        bits = sources.machine.int8_weight_bits
        too = bits != 8 and any(not one.runs_here and "int8" in one.precisions for one in sources.recipe.targets)
        quantization = sources.recipe.quantization.for_task(sources.task.name).model_copy(update={"fallback": None})
        depends = {
            "graph": done["bake"].files[steps.GRAPH],
            "quantization": quantization,
            "weight bits": [bits, 8] if too else [bits],
            "inputs": self._inputs(sources.calibration),
            "arithmetic": self._arithmetic,
        }
        given = {
            "recipe": sources.recipe,
            "graph": done["bake"].path(steps.GRAPH),
            "samples": sources.calibration.samples,
            "weight_bits": bits,
            "in_8_bits_too": too,
        }
        return Step(steps.calibrate_ranges, given, depends)

    def _render(self, done: Entries) -> Step:
        recipe = self._from.recipe
        plan = self.plan_in(done)
        mixes = mixed_variants(recipe, self.mixes_in(done))
        asked = [*self._from.extra, *mixes, *searched_variants(self.forms_in(done))]
        changed = [(e.label, e.target, e.change(plan), e.why) for e in asked] if plan is not None else []
        depends = {
            "baked": done["bake"].files,
            "plan": plan,
            "targets": recipe.targets,
            "quantization": recipe.quantization,
            "extra": changed,
            "features": self._from.machine.features,
            "parts": versions(*_GRAPH_PARTS),
        }
        extra = [ExtraVariant(label, target, partial(steps.just, own), why) for label, target, own, why in changed]
        given = {"recipe": recipe, "baked": done["bake"].folder, "plan": plan, "extra": extra}
        return Step(steps.render, given, depends)

    def _search(self, done: Entries) -> Step:
        sources = self._from
        given = {
            "recipe": sources.recipe,
            "baked": done["bake"].folder,
            "plan": done["calibrate"].path(steps.PLAN),
            "settings": sources.recipe.quantization.fallback,
            "samples": sources.search.samples,
        }
        return Step(steps.search_mixes, given, self._searched(done), notes=True)

    def _searched(self, done: Entries) -> dict[str, object]:
        """What any search between forms of the model depends on."""
        sources = self._from
        return {
            "model": sources.model_contents,
            "model's parts": versions(*self._model_parts),
            "baked": done["bake"].files,
            "plan": done["calibrate"].files[steps.PLAN],
            "targets": sources.recipe.targets,
            "quantization": sources.recipe.quantization,
            "budget": sources.recipe.budget,
            "task": sources.task,
            "inputs": self._inputs(sources.search),
            "labels": sources.search.labels,
            "machine": sources.machine,
            "cores": sources.cores,
        }

    def _forms(self, done: Entries) -> Step:
        sources = self._from
        depends = {
            **self._searched(done),
            "search": sources.recipe.search,
            "objective": sources.recipe.objective,
            "calibration": self._inputs(sources.calibration),
            "parts": versions("optuna"),
        }
        given = {
            "recipe": sources.recipe,
            "baked": done["bake"].folder,
            "plan": done["calibrate"].path(steps.PLAN),
            "settings": sources.recipe.search,
            "calibration": sources.calibration.samples,
            "samples": sources.search.samples,
            "machine": sources.machine,
            "cluster": sources.cluster,
        }
        return Step(steps.search_forms, given, depends, notes=True)

    def _reference(self, done: Entries) -> Step:
        # Its output is made by hand from what the graph's is made from, so the graph's digest stands for the task.
        depends = {
            "model": self._from.model_contents,
            "read as": self._from.recipe.model.read_as,
            "graph": done["bake"].files[steps.GRAPH],
            "translated": done["bake"].files.get(steps.TRANSLATED),
            "input": self._from.recipe.input,
            "prepared": done["prepare"].files[steps.PREPARED],
            "arithmetic": self._arithmetic,
            "targets": self._asked,
            "parts": versions(*_GRAPH_PARTS, *self._model_parts),
        }
        given = {
            "recipe": self._from.recipe,
            "baked": done["bake"].folder,
            "prepared": done["prepare"].path(steps.PREPARED),
        }
        return Step(steps.run_reference, given, depends)

    def _parity(self, done: Entries) -> Step:
        depends = {
            **self._decided(done["reference"]),
            "imported": [done["reference"].files.get(name) for name in (steps.IMPORTED, steps.DIFFERENCES)],
            "verdicts": done["decide"].files[steps.VERDICTS],
        }
        places = {"reference": done["reference"].folder, "verdicts": done["decide"].path(steps.VERDICTS)}
        return Step(steps.count_flips, {**self._judged, **places}, depends)

    def _decide(self, done: Entries) -> Step:
        depends = self._decided(done["reference"])
        given = {"outputs": done["reference"].path(steps.OUTPUTS), **self._judged}
        return Step(steps.decide, given, depends)

    @property
    def _judged(self) -> dict[str, object]:
        return {"recipe": self._from.recipe, "samples": self._from.judge.samples}

    def _decided(self, run: Entry) -> dict[str, object]:
        return {
            "outputs": run.files[steps.OUTPUTS],
            "task": self._from.task,
            "input": self._from.recipe.input,
            "labels": self._from.judge.labels,
            "parts": versions("numpy"),
        }

    def _run(self, name: str, done: Entries) -> Step:
        subject, candidate = self._subject(name, done), self.rendered[name].candidate
        settings = candidate.settings
        depends: dict[str, object] = {
            "graph": self._graph(name, done),
            "output": self._from.task.output,
            "prepared": done["prepare"].files[steps.PREPARED],
            "arithmetic": self._arithmetic,
        }
        given = {
            "recipe": self._from.recipe,
            "graph": subject.graph,
            "prepared": done["prepare"].path(steps.PREPARED),
        }
        if not candidate.target.runs_here:
            return Step(away_steps.run_stand_in, given, {**depends, "spelled out by": versions("onnx")})
        depends["runtime"] = [subject.runtime, settings]
        return Step(steps.run_candidate, {**given, "runtime": subject.runtime, "settings": settings}, depends)

    def _compile(self, name: str, done: Entries) -> Step:
        capability = self.rendered[name].candidate.target.compute_capability
        depends = {
            "graph": self._graph(name, done),
            "compute capability": capability,
            "parts": versions(*_PLAN_PARTS),
        }
        given = {"name": name, "graph": self._subject(name, done).graph, "compute_capability": capability}
        return Step(away_steps.compile_ahead, given, depends)

    def files_of(self, name: str) -> tuple[str, str]:
        """Graph and weights of a candidate, relative to what ``render`` wrote."""
        return self.rendered[name].graph, self.rendered[name].weights

    def _subject(self, name: str, done: Entries) -> Subject:
        found = self.rendered[name]
        files = [done["render"].path(file) for file in self.files_of(name)]
        target, size = found.candidate.target, sum(file.stat().st_size for file in files)
        return Subject(target.runtime, target.device, files[0], size, found.candidate.precision_hint)

    def _graph(self, name: str, done: Entries) -> list[str]:
        return [done["render"].files[file] for file in self.files_of(name)]

    def _judge(self, name: str, done: Entries) -> Step:
        run = done[f"run {name}"]
        if steps.OUTPUTS not in run.files:
            why = away_steps.REFUSAL
            return Step(away_steps.refuse, {"refusal": run.path(why)}, {"refusal": run.files[why]})
        many = rivals(self.rendered[name].candidate, self.candidates)
        depends = {
            **self._decided(run),
            "before": done["decide"].files[steps.VERDICTS],
            "boxes before": done["reference"].files[steps.OUTPUTS],
            "budget": self._from.recipe.budget,
            "rivals": many,
        }
        given = {
            **self._judged,
            "outputs": run.path(steps.OUTPUTS),
            "before": done["decide"].path(steps.VERDICTS),
            "outputs_before": done["reference"].path(steps.OUTPUTS),
            "candidates": many,
        }
        return Step(steps.judge_candidate, given, depends)

    def _golden(self, done: Entries) -> Step:
        judge = self._from.judge
        depends = {
            "prepared": done["prepare"].files[steps.PREPARED],
            "frames": judge.contents,
            "contexts": [sample.context for sample in judge.samples],
            "reference": done["decide"].files[steps.VERDICTS],
            "parts": versions(*_PICTURE_PARTS),
        }
        given = {
            "samples": judge.samples,
            "prepared": done["prepare"].path(steps.PREPARED),
            "reference": done["decide"].path(steps.VERDICTS),
        }
        return Step(steps.choose_golden, given, depends)

    def _measure(self, done: Entries) -> Step:
        here = [name for name, found in self.rendered.items() if found.candidate.target.runs_here]
        subjects = {name: self._subject(name, done) for name in here}
        told = {name: {**plain(subject), "graph": self._graph(name, done)} for name, subject in subjects.items()}
        depends = {
            "subjects": told,
            "turns": [ROUNDS, RUNS, WARMUP],
            "prepared": done["prepare"].files[steps.PREPARED],
            "machine": self._from.machine,
            "cores": self._from.cores,
            "parts": versions(*runtime_parts()),
        }
        given = {"subjects": subjects, "prepared": done["prepare"].path(steps.PREPARED)}
        return Step(steps.measure_all, given, depends)
