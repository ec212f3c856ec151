"""Which variant ships, in every constellation of two candidates, and some of more."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1e3), st.sampled_from(list(Outcome))), max_size=12))
def test_what_was_not_timed_stands_behind_all_that_was_and_in_the_order_of_its_targets(
    drawn: list[tuple[str, float, Outcome]],
) -> None:
    """Targets c and d are not timed."""
    entrants = [
        replace(entrant(f"{index}", cost, outcome, target), is_timed=target in "ab")
        for index, (target, cost, outcome) in enumerate(drawn)
    ]
    choice, by_name = choose(entrants), {one.name: one for one in entrants}
    shipped = [by_name[name] for name in choice.shipped]
    assert [one.is_timed for one in shipped] == sorted((one.is_timed for one in shipped), reverse=True)
    times = [one.cost for one in shipped if one.is_timed]
    assert times == sorted(times)
    untimed = [one.target for one in shipped if not one.is_timed]
    assert untimed == [target for target in dict.fromkeys(one.target for one in entrants) if target in untimed]
    for one in shipped:
        rivals = [e.cost for e in entrants if e.target == one.target and e.outcome is Outcome.PASS]
        assert one.cost == min(rivals)


def test_where_nothing_is_timed_the_larger_is_refused_with_both_sizes() -> None:
    untimed = [
        replace(entrant(n, c), unit="MB of weights", is_timed=False) for n, c in (("fp32", 18.9), ("int8", 11.8))
    ]
    choice = choose(untimed)
    assert choice.shipped == ("int8",)
    assert "larger, where nothing is timed: 18.90 MB of weights against 11.80 MB of weights of int8 (+60%)" in (
        choice.refused[0].why
    )
    assert "slower" not in choice.refused[0].why
