"""Where plain INT8 misses the budget: the layers to leave in float, for the least time on the target.

Nothing here sees the judge's data. What is found is one more candidate, judged like any other.

1. All float and all INT8 on the search set: is there anything to find, and how much is lost.
2. Which layers lose it (``sensitivity``), what each costs in float on this target (``layer_costs``).
3. Beginnings of the order of loss per millisecond on the search set (``mixing``), until none could save time any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgemill_converters.bake import BakedModel
from edgemill_converters.judging import prepare_set, reference_outputs, truths_of, verdicts_of
from edgemill_converters.quantization import mixing
from edgemill_converters.quantization.fallback_found import FallbackFound, LayerEffect, TriedMix
from edgemill_converters.quantization.layer_costs import layer_costs
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.quantization.sensitivity import find_groups, levelled, loss_by_layer
from edgemill_converters.quantization.settings import Fallback
from edgemill_converters.quantization.trials import Job, Judged, SearchSet, Trials
from edgemill_converters.sight import Sight
from edgemill_converters.targets import Target
from edgemill_core.budget import Budget
from edgemill_core.engine_input import EngineInput
from edgemill_core.samples import Sample
from edgemill_core.tasks import Task
from edgemill_runtimes.engines.facts import NodeTime

Progress = Callable[[str], None]


def search_set(
    baked: BakedModel,
    declared: EngineInput,
    task: Task,
    samples: Sequence[Sample],
    budget: Sequence[Budget],
    progress: Progress,
) -> SearchSet:
    """Prepare the search set and run the reference on it, once for all targets.

    Args:
        budget: what no budget asks for is not looked at, as every pixel of a segmentation.

    Raises:
        DataError: a sample cannot be read.
    """
    prepared = prepare_set(samples, declared)
    answers = reference_outputs(baked, declared, prepared, progress)
    asked = [one.metric for one in budget]
    sight = Sight.of(task, declared, truths_of(samples, "search"), answers, asked)
    return SearchSet(samples, prepared, verdicts_of(answers, task, samples), sight)


def find_fallback(
    baked: BakedModel,
    plan: Plan,
    target: Target,
    search: SearchSet,
    task: Task,
    budget: Sequence[Budget],
    settings: Fallback,
    memory: Path | None = None,
    progress: Progress = lambda _: None,
) -> FallbackFound:
    """Look for the layers that have to stay in float on ``target``.

    Args:
        plan: of plain INT8.
        search: labelled, and disjoint from the judge's set.
        memory: folder for notes; a search that was killed goes on from them. ``None`` to keep none.
        progress: told what is going on.

    Raises:
        DataError: the search set has no labels.
        PassError, EngineError: a mix cannot be rendered or run.
    """
    begun = time.perf_counter()
    trials = Trials(Job(baked, plan, target, search, task, tuple(budget), settings.part), memory, progress)
    found = _Search(trials, settings).run()
    return FallbackFound(
        target=target.name,
        plan=replace(plan, layers=found.int8) if found.int8 is not None else None,
        layers=tuple(found.effects),
        tried=tuple(found.tried),
        # The reference ran on the search set too.
        graphs=trials.graphs + 1,
        inferences=trials.inferences + len(search.samples),
        resumed=trials.resumed,
        seconds=time.perf_counter() - begun,
        reasons=tuple(found.reasons),
    )


@dataclass
class _Ladder:
    """The order of layers, with the loss left and the time added after each."""

    order: list[str]
    left: list[float]
    added_ms: list[float]
    int8_ms: float


def layer_effects(trials: Trials, whole: float, runs: int) -> tuple[list[LayerEffect], list[NodeTime]]:
    """Loss and cost of every layer of the plan in the order of the graph, and the times of plain INT8's nodes.

    Args:
        trials: its mix without INT8 must have been judged before.
        whole: loss of all layers together.
        runs: groups of layers to look at, at most.
    """
    graph, layers = trials.job.baked.graph.graph, trials.job.plan.layers
    weight = levelled(trials.noise())
    lost = loss_by_layer(find_groups(layers, whole, weight, trials.loss, runs), weight)
    in_float, in_int8 = trials.times(()), trials.times(layers)
    costs = layer_costs(graph, layers, in_float, in_int8)
    ops = {node.name: node.op_type for node in graph.node}
    found = [LayerEffect(name, ops[name], lost[name][0], costs[name], False, lost[name][1]) for name in layers]
    return found, in_int8


class _Search:
    def __init__(self, trials: Trials, settings: Fallback) -> None:
        self._trials = trials
        self._settings = settings
        self._all = trials.job.plan.layers
        self.tried: list[TriedMix] = []
        self.effects: list[LayerEffect] = []
        self.reasons: list[str] = []
        self.int8: tuple[str, ...] | None = None

    def run(self) -> _Search:
        exact = self._try("all float", self._all, None)
        if not exact.inside:
            self.reasons.append(f"no mix can help: not even all layers in float are inside the budget: {exact.why}")
            return self
        plain = self._try("all INT8", (), None)
        if plain.inside:
            self.reasons.append("plain INT8 is inside the budget on the search set; no layer has to stay in float")
            return self
        self.reasons.append(f"plain INT8 is not inside the budget on the search set: {plain.why}")
        self._choose(self._ladder(plain.loss))
        return self

    def _try(self, label: str, kept: Sequence[str], estimated_ms: float | None) -> Judged:
        judged = self._trials.judged([name for name in self._all if name not in set(kept)])
        self.tried.append(
            TriedMix(label, tuple(kept), judged.metrics, estimated_ms, judged.outcome, judged.inside, judged.why)
        )
        return judged

    def _ladder(self, whole: float) -> _Ladder:
        """Losses and costs of all layers, and the order that follows."""
        self.effects, in_int8 = layer_effects(self._trials, whole, self._settings.evaluations // 3)
        loss = {effect.layer: effect.loss for effect in self.effects}
        costs = {effect.layer: effect.cost_ms for effect in self.effects}
        order = mixing.by_gain(loss, costs)
        added = [0.0]
        for name in order:
            added.append(added[-1] + costs[name])
        int8_ms = sum(node.ms for node in in_int8)
        self.tried[:2] = [
            replace(self.tried[0], estimated_ms=int8_ms + added[-1]),
            replace(self.tried[1], estimated_ms=int8_ms),
        ]
        return _Ladder(order, mixing.remaining(order, loss), added, int8_ms)

    def _choose(self, ladder: _Ladder) -> None:
        failing, passing = 0, len(ladder.order)
        while not mixing.is_settled(failing, passing, ladder.added_ms, ladder.int8_ms):
            if self._trials.graphs + 1 >= self._settings.evaluations:  # the reference is one of them
                self.reasons.append(f"stopped after {self._trials.graphs + 1} evaluations, as the recipe says")
                break
            count = mixing.next_count(ladder.left, failing, passing)
            label = f"{count} of {len(ladder.order)} float"
            if self._try(label, ladder.order[:count], ladder.int8_ms + ladder.added_ms[count]).inside:
                passing = count
            else:
                failing = count
        self._settle(ladder, passing)

    def _settle(self, ladder: _Ladder, passing: int) -> None:
        if passing == len(ladder.order):
            self.reasons.append("no mix with a layer in INT8 was found inside the budget on the search set")
            return
        kept = set(ladder.order[:passing])
        self.int8 = tuple(name for name in self._all if name not in kept)
        self.effects = [replace(effect, kept_float=effect.layer in kept) for effect in self.effects]
        self.reasons.append(
            f"inside with {passing} of {len(ladder.order)} layers in float, which costs about "
            f"{ladder.added_ms[passing]:.2f} ms of an inference"
        )
