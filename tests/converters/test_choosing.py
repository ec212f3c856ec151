"""Which variant ships, in every constellation of two candidates, and some of more."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from edgemill_converters.choosing import Entrant, choose
from edgemill_core.budget import Outcome


def entrant(name: str, cost: float, outcome: Outcome = Outcome.PASS, target: str = "t") -> Entrant:
    return Entrant(name, target, cost, outcome, f"{name} was judged")


@pytest.mark.parametrize(("one", "two"), list(product(Outcome, repeat=2)))
@pytest.mark.parametrize("costs", [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_the_fastest_inside_the_budget_ships_and_nothing_else(
    one: Outcome, two: Outcome, costs: tuple[float, float]
) -> None:
    choice = choose([entrant("one", costs[0], one), entrant("two", costs[1], two)])
    inside = [(c, n) for n, o, c in (("one", one, costs[0]), ("two", two, costs[1])) if o is Outcome.PASS]
    assert choice.shipped == ((min(inside)[1],) if inside else ())
    assert choice.without == (() if inside else ("t",))
    assert {r.variant for r in choice.refused} | set(choice.shipped) == {"one", "two"}


def test_slower_int8_is_refused_with_both_times() -> None:
    choice = choose([entrant("fp32", 10.0), entrant("int8", 15.0)])
    assert choice.shipped == ("fp32",)
    assert "15.00 ms against 10.00 ms of fp32 (+50%)" in choice.refused[0].why


@pytest.mark.parametrize(("one", "two"), list(product(Outcome, repeat=2)))
def test_a_yardstick_never_ships_however_good_and_fast(one: Outcome, two: Outcome) -> None:
    choice = choose([replace(entrant("fp32", 1.0, one), yardstick=True), entrant("int8", 2.0, two)])
    assert choice.shipped == (("int8",) if two is Outcome.PASS else ())
    assert choice.without == (() if two is Outcome.PASS else ("t",))
    assert choice.refused[0].why.startswith("measured as yardstick only")


def test_the_judge_s_reason_is_handed_on() -> None:
    choice = choose([entrant("fp32", 10.0), entrant("int8", 1.0, Outcome.UNDECIDED)])
    assert choice.refused[0].why == "undecided: int8 was judged"


def test_each_target_ships_its_own_best_first() -> None:
    choice = choose(
        [entrant("a", 3.0, target="x"), entrant("b", 2.0, target="y"), entrant("c", 1.0, Outcome.FAIL, target="z")]
    )
    assert choice.shipped == ("b", "a")
    assert choice.without == ("z",)


def test_nothing_to_choose_from_ships_nothing() -> None:
    assert choose([]).shipped == ()
