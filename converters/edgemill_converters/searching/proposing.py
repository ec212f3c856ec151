"""Which trials nothing beats, which of them go on to the judge, and both in words. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemill_converters.recipe import Objective
from edgemill_converters.searching.found import Proposal, Trial
from edgemill_converters.searching.front import beats, front, spread
from edgemill_converters.searching.transforming import Transformed
from edgemill_core.errors import StepCrashed

Values = tuple[float, ...]


def unbeaten(values: Mapping[int, Values | None]) -> list[int]:
    """Numbers of the trials that no other one beats.

    Args:
        values: objectives by number; ``None`` of a trial that could not be run.
    """
    known = {number: value for number, value in values.items() if value is not None}
    numbers = list(known)
    return [numbers[place] for place in front(list(known.values()))]


def going_on(trials: Sequence[Trial], best: Sequence[int], objective: Objective, most: int) -> list[Trial]:
    """Of the front, the trials worth the judge's time: inside the budget on the search set, and no candidate already.

    At most ``most``: the fastest, and others from there to the one that loses least, because the judge may refuse the
    fastest. Of equal graphs the first counts.

    Args:
        trials: the first is plain INT8.
        best: numbers of the front.
        objective: the recipe's.
    """
    found: dict[str, Trial] = {}
    for number in best:
        trial = trials[number]
        new = trial.graph not in (trials[0].graph, *found)
        if new and trial.choice.precision == "int8" and trial.seen is not None and trial.seen.inside:
            found[trial.graph] = trial
    kept = list(found.values())
    return [kept[place] for place in spread([_cost(one, objective) for one in kept], most)]


def _cost(trial: Trial, objective: Objective) -> float:
    seen = trial.seen
    assert seen is not None
    if objective is Objective.LATENCY_P99:
        return seen.p99_ms / seen.fp32_p99_ms
    return seen.p50_ms / seen.fp32_p50_ms


def proposal_of(trial: Trial, made: Transformed) -> Proposal:
    """What goes on of a trial, transformed again.

    Raises:
        StepCrashed: it is not the graph that was looked at.
    """
    if made.digest != trial.graph or made.plan is None:
        raise StepCrashed(
            f"trial {trial.number} transformed again gave another graph",
            expected=trial.graph,
            got=made.digest or made.refused,
            fix="run again with --fresh; if it happens again, report it: transforming is to give the same everywhere",
        )
    return Proposal(trial.number, trial.choice.words, made.plan)


def account(trials: Sequence[Trial], values: Mapping[int, Values | None], proposed: Sequence[Trial]) -> list[str]:
    """What became of the search, in words."""
    best = unbeaten(values)
    said = [f"nothing beats {len(best)} of {len(trials)} trials"]
    refused = sum(one.seen is None for one in trials)
    if refused:
        said.append(f"{refused} could not be made or run")
    said.append(_of_plain(values))
    if proposed:
        numbers = ", ".join(str(one.number) for one in proposed)
        said.append(f"trials that go on to the judge: {numbers}")
    else:
        said.append("none goes on: plain INT8 is as good, or those on the front are not inside the budget")
    return said


def _of_plain(values: Mapping[int, Values | None]) -> str:
    plain = values[0]
    if plain is None:
        return "plain INT8 could not be made or run"
    better = [number for number, value in values.items() if value is not None and beats(value, plain)]
    if not better:
        return "plain INT8 (trial 0) is on the front"
    return f"plain INT8 (trial 0) is beaten by trial {', '.join(map(str, better[:5]))}"
