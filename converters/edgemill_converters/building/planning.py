"""The steps of a build of one model, and what each depends on.

::

    bake ──┬─ calibrate ── render (each INT8) ──┬─ run (each) ──── judge (each) ──┬─ report
           ├─ render (each other) ──────────────┼─ measure (all, alone) ──────────┘
           └─ reference ─ decide ───────────────┴─ golden
    prepare ─┘

A step's key holds what its result is a function of and no more: contents and not names, of the recipe only what it
reads. A result that comes out the same as before lets everything behind it be read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from edgemill_converters.building import steps
from edgemill_converters.building.plain import plain, read_plain
from edgemill_converters.building.runner import Planned
from edgemill_converters.building.sources import Inputs, Sources
from edgemill_converters.building.step import Step, versions
from edgemill_converters.building.store import Entry
from edgemill_converters.measuring import Subject
from edgemill_converters.measuring.bench import ROUNDS, RUNS, WARMUP
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.recipe import Recipe
from edgemill_runtimes.engines import EngineSettings

Entries = Mapping[str, Entry]
_GRAPH_PARTS = ("onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "lightgbm")
_PICTURE_PARTS = ("numpy", "opencv-python-headless")
_RUN_PARTS = ("onnxruntime", "onnxruntime-gpu", "openvino", "numpy")


class BuildPlan:
    """The steps of one build.

    Attributes:
        wanted: every candidate by name: which target of the recipe, the precision, and the label if it is extra.
    """

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self.wanted: dict[str, tuple[int, str, str | None]] = {}
        for number, target in enumerate(sources.recipe.targets):
            for precision in target.precisions:
                self.wanted[f"{target.name}-{precision}"] = (number, precision, None)
        if self.calibrates:
            for one in sources.extra:
                name = f"{sources.recipe.targets[one.target].name}-int8-{one.label}"
                self.wanted[name] = (one.target, "int8", one.label)

    @property
    def calibrates(self) -> bool:
        """Whether any target asks for a precision that is planned."""
        return any("int8" in target.precisions for target in self._from.recipe.targets)

    def planned(self) -> list[Planned]:
        """All steps but the report, in the order in which they are best begun."""
        judged, calibration = len(self._from.judge.samples), len(self._from.calibration.samples)
        found = [
            Planned("bake", (), self._bake),
            Planned("prepare", (), self._prepare, judged),
            *([Planned("calibrate", ("bake",), self._calibrate, calibration)] if self.calibrates else []),
            Planned("reference", ("bake", "prepare"), self._reference, judged),
        ]
        for name, (_, precision, _) in self.wanted.items():
            needs: tuple[str, ...] = ("bake", "calibrate") if precision == "int8" else ("bake",)
            found.append(Planned(f"render {name}", needs, partial(self._render, name)))
        found.append(Planned("decide", ("reference",), self._decide, judged))
        for name in self.wanted:
            found.append(Planned(f"run {name}", (f"render {name}", "prepare"), partial(self._run, name), judged))
        for name in self.wanted:
            found.append(
                Planned(f"judge {name}", (f"run {name}", "reference", "decide"), partial(self._judge, name), judged)
            )
        found.append(Planned("golden", ("prepare", "decide"), self._golden))
        renders = tuple(f"render {name}" for name in self.wanted)
        found.append(Planned("measure", ("prepare", *renders), self._measure, len(self.wanted), alone=True))
        return found

    def _bake(self, _: Entries) -> Step:
        recipe = self._from.recipe
        depends = {
            "model": self._from.model_contents,
            "read as": [recipe.model.classes, recipe.model.scaled_by],
            "input": recipe.input,
            "task": recipe.make_task(),
            "parts": versions(*_GRAPH_PARTS),
        }
        return Step(steps.bake_model, {"recipe": recipe}, depends)

    def _prepare(self, _: Entries) -> Step:
        given = {"recipe": self._from.recipe, "samples": self._from.judge.samples}
        return Step(steps.prepare_samples, given, self._inputs(self._from.judge))

    def _inputs(self, inputs: Inputs) -> dict[str, object]:
        return {"input": self._from.recipe.input, "samples": inputs.contents, "parts": versions(*_PICTURE_PARTS)}

    @property
    def _arithmetic(self) -> dict[str, object]:
        """What an engine's numbers may depend on, beside its graph: sums are split by cores and by instructions."""
        machine = self._from.machine
        return {
            "cpu": [machine.architecture, machine.cpu, list(machine.features)],
            "cores": len(self._from.cores),
            "parts": versions(*_RUN_PARTS),
        }

    def _calibrate(self, done: Entries) -> Step:
        sources = self._from
        bits = 8 if sources.machine.int8_dot_product else 7
        depends = {
            "graph": done["bake"].files[steps.GRAPH],
            "quantization": sources.recipe.quantization,
            "weight bits": bits,
            "inputs": self._inputs(sources.calibration),
            "arithmetic": self._arithmetic,
        }
        given = {
            "recipe": sources.recipe,
            "graph": done["bake"].path(steps.GRAPH),
            "samples": sources.calibration.samples,
            "weight_bits": bits,
        }
        return Step(steps.calibrate_ranges, given, depends)

    def _render(self, name: str, done: Entries) -> Step:
        number, precision, label = self.wanted[name]
        target = self._from.recipe.targets[number]
        only = target.model_copy(update={"precisions": ("int8" if label else precision,)})
        narrow: Recipe = self._from.recipe.model_copy(update={"targets": (only,)})
        plan: Plan | None = read_plain(done["calibrate"].path(steps.PLAN), Plan) if precision == "int8" else None
        if label is not None and plan is not None:
            plan = next(e.change(plan) for e in self._from.extra if (e.target, e.label) == (number, label))
        depends = {
            "baked": done["bake"].files,
            "plan": plan,
            "candidate": [name, only, label],
            "quantization": self._from.recipe.quantization,
            "cpu": self._from.machine.features,
            "parts": versions(*_GRAPH_PARTS),
        }
        given = {"recipe": narrow, "baked": done["bake"].folder, "plan": plan, "extra": label}
        return Step(steps.render, given, depends)

    def _reference(self, done: Entries) -> Step:
        # Its output is made by hand from what the graph's is made from, so the graph's digest stands for the task.
        depends = {
            "model": self._from.model_contents,
            "graph": done["bake"].files[steps.GRAPH],
            "input": self._from.recipe.input,
            "prepared": done["prepare"].files[steps.PREPARED],
            "arithmetic": self._arithmetic,
            "parts": versions(*_GRAPH_PARTS),
        }
        given = {"recipe": self._from.recipe, "prepared": done["prepare"].path(steps.PREPARED)}
        return Step(steps.run_reference, given, depends)

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
        subject = self.subject(name, done[f"render {name}"])
        settings = EngineSettings(subject.device)
        depends = {
            "graph": self._graph(name, done),
            "runtime": [subject.runtime, plain(settings)],
            "output": self._from.task.output,
            "prepared": done["prepare"].files[steps.PREPARED],
            "arithmetic": self._arithmetic,
        }
        given = {
            "recipe": self._from.recipe,
            "runtime": subject.runtime,
            "graph": subject.graph,
            "settings": settings,
            "prepared": done["prepare"].path(steps.PREPARED),
        }
        return Step(steps.run_candidate, given, depends)

    def subject(self, name: str, rendered: Entry) -> Subject:
        """A rendered candidate as it is measured."""
        found = read_plain(rendered.path(steps.CANDIDATE), steps.Rendered)
        target = self._from.recipe.targets[self.wanted[name][0]]
        files = [rendered.path(found.graph), rendered.path(found.weights)]
        return Subject(target.runtime, target.device, files[0], sum(file.stat().st_size for file in files))

    def _graph(self, name: str, done: Entries) -> list[str]:
        rendered = done[f"render {name}"]
        found = read_plain(rendered.path(steps.CANDIDATE), steps.Rendered)
        return [rendered.files[found.graph], rendered.files[found.weights]]

    def _judge(self, name: str, done: Entries) -> Step:
        run = done[f"run {name}"]
        depends = {
            **self._decided(run),
            "before": done["decide"].files[steps.VERDICTS],
            "budget": self._from.recipe.budget,
        }
        given = {
            **self._judged,
            "outputs": run.path(steps.OUTPUTS),
            "before": done["decide"].path(steps.VERDICTS),
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
        subjects = {name: self.subject(name, done[f"render {name}"]) for name in self.wanted}
        depends = {
            "subjects": {n: [s.runtime, s.device, self._graph(n, done)] for n, s in subjects.items()},
            "turns": [ROUNDS, RUNS, WARMUP],
            "prepared": done["prepare"].files[steps.PREPARED],
            "machine": self._from.machine,
            "cores": self._from.cores,
        }
        given = {"subjects": subjects, "prepared": done["prepare"].path(steps.PREPARED)}
        return Step(steps.measure_all, given, depends)
