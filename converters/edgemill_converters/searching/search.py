"""The search for one model: per target, batches of trials until there are as many as the recipe says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from edgemill_converters.building.plain import plain
from edgemill_converters.building.progress import in_words
from edgemill_converters.quantization.fallback import layer_effects, search_set
from edgemill_converters.quantization.mixing import by_gain
from edgemill_converters.quantization.notes import Notes
from edgemill_converters.quantization.trials import Job, SearchSet, Trials
from edgemill_converters.searching.artefacts import Artefacts, Given, Orders, laid_out
from edgemill_converters.searching.asking import BATCH, Told, ask
from edgemill_converters.searching.crews import Crew
from edgemill_converters.searching.evaluating import Bench
from edgemill_converters.searching.found import SearchFound, Trial
from edgemill_converters.searching.proposing import account, going_on, proposal_of, unbeaten
from edgemill_converters.searching.space import Choice, Space
from edgemill_converters.searching.transforming import Transformed
from edgemill_converters.targets import Target
from edgemill_core.errors import EngineError, ModelError

Progress = Callable[[str], None]
GROUPS = 6
"""Groups of layers that are looked at for the order in which layers stay in float."""


def search_targets(given: Given, crew: Crew, progress: Progress = lambda _: None) -> tuple[SearchFound, ...]:
    """Look for better INT8 forms on each target that asks for INT8.

    Args:
        crew: who transforms.
        progress: told what is going on.

    Raises:
        DataError: the search set has no labels, or says nothing of a metric.
        ClusterError, StepCrashed: those who transform are gone; what is found so far is kept.
    """
    recipe = given.recipe
    searched = search_set(given.baked, recipe.input, recipe.make_task(), given.samples, recipe.budget, progress)
    with laid_out(given, searched) as files:
        artefacts = Artefacts(given, crew, files)
        return tuple(
            _TargetSearch(given, artefacts, searched, target, progress).run(place)
            for place, target in enumerate(recipe.targets)
            if "int8" in target.precisions
        )


class _TargetSearch:
    def __init__(
        self, given: Given, artefacts: Artefacts, searched: SearchSet, target: Target, progress: Progress
    ) -> None:
        self._settings, self._artefacts, self._target, self._progress = given.settings, artefacts, target, progress
        self._objective = given.recipe.objective
        task = given.recipe.make_task()
        self._job = Job(given.baked, given.plan, target, searched, task, given.recipe.budget, given.settings.part)
        self._runs = Trials(self._job, given.memory, progress)
        self._notes = Notes(given.memory / f"trials-{target.name}.jsonl")
        quantization = given.recipe.quantization.for_task(task.name)
        self._space = Space.of(target, quantization, len(given.calibration), len(given.plan.layers))
        self._begun = time.monotonic()
        self._resumed = 0

    def run(self, place: int) -> SearchFound:
        """``place``: of the target in the recipe."""
        self._orders = self._layers_in_order()
        files = self._artefacts.files
        bench = Bench(self._job, self._settings.objectives, files.prepared, files.graph, self._runs.exact, files.folder)
        with bench:
            return self._found(place, self._trials(bench))

    def _trials(self, bench: Bench) -> list[Trial]:
        trials: list[Trial] = []
        while len(trials) < self._settings.trials:
            count = min(BATCH, self._settings.trials - len(trials))
            told = [Told(one.choice, self._values(one)) for one in trials]
            trials += self._batch(len(trials), ask(self._space, self._settings.seed, told, count), bench)
        return trials

    def _layers_in_order(self) -> Orders:
        """The layers, those first that are best left in float; see ``Choice.order``."""
        self._runs.judged(())
        whole = self._runs.judged(self._job.plan.layers).loss
        effects, _ = layer_effects(self._runs, whole, GROUPS)
        loss = {one.layer: one.loss for one in effects}
        gain = by_gain(loss, {one.layer: one.cost_ms for one in effects})
        return {"gain": tuple(gain), "loss": tuple(sorted(loss, key=lambda name: -loss[name]))}

    def _values(self, trial: Trial) -> tuple[float, ...] | None:
        return None if trial.seen is None else tuple(trial.seen.values[name] for name in self._settings.objectives)

    def _batch(self, first: int, choices: Sequence[Choice], bench: Bench) -> list[Trial]:
        """Transform side by side; then look at one after the other, alone."""
        names = [f"trial {first + index} {choice.key}" for index, choice in enumerate(choices)]
        new = [choice for name, choice in zip(names, choices, strict=True) if not self._notes.knows(name)]
        self._resumed += len(choices) - len(new)
        made = self._made(new)
        found = []
        for index, (name, choice) in enumerate(zip(names, choices, strict=True)):
            told = self._notes.find(name, partial(self._try, first + index, choice, made, bench))
            found.append(TypeAdapter(Trial).validate_python(told))
        return found

    def _made(self, choices: Sequence[Choice]) -> dict[str, Transformed]:
        """By key of the choice; each once, and none whose graph was looked at before."""
        wanted = {choice.key: choice for choice in choices}
        known = [key for key in wanted if self._is_looked_at(key, wanted[key])]
        for key in known:
            del wanted[key]
        if wanted:
            self._progress(f"{self._target.name}: transforming trials, {len(wanted)} at once")
        graphs = self._artefacts.of(list(wanted.values()), self._orders, self._target.runtime)
        return dict(zip(wanted, graphs, strict=True))

    def _is_looked_at(self, key: str, choice: Choice) -> bool:
        if not self._notes.knows(f"made {key}"):
            return False
        graph, refused = self._notes.find(f"made {key}", dict).values()
        return bool(refused) or self._notes.knows(_look_at(graph, choice))

    def _try(self, number: int, choice: Choice, made: dict[str, Transformed], bench: Bench) -> Any:
        count = f"trial {number + 1} of {self._settings.trials}"
        self._progress(f"{self._target.name}: {count}, {choice.words}{self._left(number)}")
        got = made.get(choice.key, Transformed())
        told = self._notes.find(f"made {choice.key}", lambda: {"graph": got.digest, "refused": got.refused})
        if told["refused"]:
            return plain(Trial(number, choice, "", None, told["refused"]))
        seen = self._notes.find(_look_at(told["graph"], choice), partial(_looked, bench, got.graph, choice.precision))
        if "refused" in seen:
            return plain(Trial(number, choice, told["graph"], None, seen["refused"]))
        return {**plain(Trial(number, choice, told["graph"], None)), "seen": seen}

    def _left(self, number: int) -> str:
        done = number - self._resumed
        if done <= 0:
            return ""
        seconds = (time.monotonic() - self._begun) / done * (self._settings.trials - number)
        return f", {in_words(seconds)} on this target"

    def _found(self, place: int, trials: Sequence[Trial]) -> SearchFound:
        values = {one.number: self._values(one) for one in trials}
        best = unbeaten(values)
        kept = going_on(trials, best, self._objective, self._settings.keep)
        made = self._artefacts.of([one.choice for one in kept], self._orders, self._target.runtime)
        looked = {_look_at(one.graph, one.choice): one.seen.inferences for one in trials if one.seen is not None}
        own = self._runs.inferences + len(self._job.search.samples)
        return SearchFound(
            target=self._target.name,
            place=place,
            objectives=self._settings.objectives,
            trials=tuple(trials),
            front=tuple(best),
            proposals=tuple(proposal_of(one, got) for one, got in zip(kept, made, strict=True)),
            graphs=len(looked) + self._runs.graphs + 1,  # the reference is one of them
            inferences=sum(looked.values()) + own,
            resumed=self._resumed,
            seconds=time.monotonic() - self._begun,
            reasons=tuple(account(trials, values, kept)),
            orders=self._orders,
        )


def _looked(bench: Bench, graph: bytes, precision: str) -> Any:
    try:
        return plain(bench.look(graph, precision))
    except (EngineError, ModelError) as error:
        bench.check()
        return {"refused": error.what}


def _look_at(graph: str, choice: Choice) -> str:
    # What an engine is told may differ for one and the same graph.
    return f"graph {graph} {choice.precision if choice.precision != 'int8' else 'as it is'}"
