"""Which layers to leave in float: most loss taken away per millisecond first. Pure functions.

With losses and costs that add up, taking layers in the order of loss per millisecond gives the mixes that are best for
their time (Dantzig 1957, "Discrete-Variable Extremum Problems": the greedy solution of the knapsack problem). How long
a beginning of that order has to be is for the task's own metric to say, and asking it costs a run over the search set;
so few beginnings are tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from edgemill_core.budget import Budget, Judgement, Outcome, Ruling
from edgemill_core.metrics import metric_named

MARGIN = 0.5
"""Share of the allowed drop that may be used up on a search set too small for the judge's word."""
WORTH_A_RUN = 0.02
"""Share of the time of an inference that another try must be able to save."""


def is_inside(ruling: Ruling, unchanged: Ruling) -> bool:
    """Whether a mix is inside the budget on the search set.

    Args:
        ruling: the judge's, of the mix.
        unchanged: the judge's, of the reference against itself. Where that is no pass, the set is too small to show
            anything, and the drop that was seen has to do.
    """
    if ruling.outcome is Outcome.PASS:
        return True
    if ruling.outcome is Outcome.FAIL or unchanged.outcome is Outcome.PASS:
        return False
    return all(judged.drop <= MARGIN * judged.budget.max_drop for judged in ruling.judgements)


def keeps_floor(budget: Budget, judged: Judgement) -> bool:
    """Whether what was seen is at or above the budget's floor, if it has one."""
    rate = judged.variant if metric_named(budget.metric).higher_is_better else 1 - judged.variant
    return budget.floor is None or rate >= budget.floor


def by_gain(loss: Mapping[str, float], cost_ms: Mapping[str, float]) -> list[str]:
    """Layers in the order in which to leave them in float: most loss per millisecond first, those without loss last.

    A cost within the noise of timing, or below 0, counts as a tenth of the mean size of costs: else the layers that
    were timed luckily would go first, whatever they lose.
    """
    least = sum(abs(cost) for cost in cost_ms.values()) / len(cost_ms) / 10 or 1e-9
    return sorted(loss, key=lambda name: (-loss[name] / max(cost_ms[name], least), cost_ms[name]))


def remaining(order: Sequence[str], loss: Mapping[str, float]) -> list[float]:
    """Loss that is left with the first 0, 1, …, all layers of ``order`` in float."""
    left = [0.0]
    for name in reversed(order):
        left.append(left[-1] + loss[name])
    return left[::-1]


def next_count(left: Sequence[float], failing: int, passing: int) -> int:
    """How many layers to leave in float next, between a number that failed and a larger one that passed.

    That with the loss halfway between the two on a scale of factors: how much a metric bears is known to a factor at
    best.
    """
    floor = max(left[0], 1e-12) * 1e-2
    goal = (log(max(left[failing], floor)) + log(max(left[passing], floor))) / 2
    middle = (failing + passing) / 2
    between = range(failing + 1, passing)
    return min(between, key=lambda count: (abs(log(max(left[count], floor)) - goal), abs(count - middle)))


def is_settled(failing: int, passing: int, added_ms: Sequence[float], whole_ms: float) -> bool:
    """Whether no try between the two could save a time worth its run. All float is no end while a mix may do."""
    if passing - failing <= 1 or passing == len(added_ms) - 1:
        return passing - failing <= 1
    return added_ms[passing] - added_ms[failing] < WORTH_A_RUN * whole_ms
