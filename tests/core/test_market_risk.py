"""Value at risk, its metric, the bound of a mean loss, and the test of exceptions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from edgemill_core.budget import Budget, Outcome, judge
from edgemill_core.errors import InputError, RecipeError
from edgemill_core.metrics import metric_named
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Truth
from edgemill_core.statistics import kupiec_p_value, relative_increase, relative_increase_upper_bound
from edgemill_core.tasks import MarketRisk, task_from
from edgemill_core.verdict import Decision, Verdict

TASK = MarketRisk(levels=(0.005, 0.01, 0.025))


def reading(*quantiles: float) -> Verdict:
    return TASK.verdict({"quantiles": np.array([quantiles])}, {})


def test_a_verdict_is_a_score_with_var_and_es() -> None:
    said = reading(-4.0, -3.0, -2.0)
    assert said.decision is Decision.SCORE
    assert not said.broken
    assert said.reading["var_99"] == 3.0
    assert said.reading["var_97.5"] == 2.0
    # flat below 0.5 %, then trapezoids
    assert said.reading["es_99"] == pytest.approx((4 * 0.005 + 3.5 * 0.005) / 0.01)
    assert said.reading["es_97.5"] == pytest.approx((4 * 0.005 + 3.5 * 0.005 + 2.5 * 0.015) / 0.025)
    assert said.as_dict()["confidence"] is None


def test_quantiles_that_cross_are_sorted() -> None:
    assert reading(-2.0, -4.0, -3.0).reading == reading(-4.0, -3.0, -2.0).reading


def test_values_that_are_not_numbers_are_broken_not_a_score() -> None:
    said = reading(float("nan"), -3.0, -2.0)
    assert said.decision is Decision.REJECT
    assert said.broken


@pytest.mark.parametrize("levels", [[0.025, 0.01], [0.01, 0.01, 0.025], [0.01], [0.6], []])
def test_levels_that_cannot_be_meant_are_refused(levels: list[float]) -> None:
    with pytest.raises(RecipeError, match="market-risk"):
        task_from({"name": "market-risk", "levels": levels})


def test_pinball_loss_is_the_mean_over_the_levels() -> None:
    metric = metric_named("pinball_loss")
    said = reading(-4.0, -3.0, -2.0)
    assert metric.score(Truth(True, outcome=1.0), said) == pytest.approx((0.005 * 5 + 0.01 * 4 + 0.025 * 3) / 3)
    assert metric.score(Truth(True, outcome=-3.5), said) == pytest.approx((0.005 * 0.5 + 0.99 * 0.5 + 0.975 * 1.5) / 3)
    assert metric.score(Truth(True), said) is None
    assert metric.score(Truth(True, outcome=1.0), Verdict(Decision.REJECT)) == float("inf")


def outcomes(count: int) -> list[Truth]:
    return [Truth(True, outcome=float(x)) for x in np.random.default_rng(1).normal(size=count)]


def judged(shift: float, count: int = 400) -> Outcome:
    reference = [reading(-2.8, -2.3, -1.9)] * count
    rng = np.random.default_rng(2)
    variant = [reading(*(np.array([-2.8, -2.3, -1.9]) + shift * rng.normal())) for _ in range(count)]
    return judge([Budget(metric="pinball_loss", max_drop=0.02)], outcomes(count), reference, variant).outcome


def test_the_same_figures_pass_and_worse_ones_do_not() -> None:
    assert judged(0.0) is Outcome.PASS
    assert judged(1e-9) is Outcome.PASS
    assert judged(1.0) is Outcome.FAIL


def test_equal_losses_leave_no_doubt() -> None:
    losses = np.abs(np.random.default_rng(3).normal(size=50))
    assert relative_increase_upper_bound(losses, losses.copy(), 0.95) == 0.0


def test_the_bound_is_deterministic_and_refuses_what_it_cannot_bound() -> None:
    rng = np.random.default_rng(4)
    before = np.abs(rng.normal(size=200)) + 0.1
    after = before * (1 + 0.1 * rng.normal(size=200))
    bound = relative_increase_upper_bound(before, after, 0.95)
    assert bound == relative_increase_upper_bound(before, after, 0.95)
    assert bound > relative_increase(before, after)
    assert relative_increase_upper_bound(before[:1], after[:1], 0.95) == float("inf")
    after[3] = float("inf")
    assert relative_increase_upper_bound(before, after, 0.95) == float("inf")
    assert relative_increase(np.zeros(3), np.ones(3)) == float("inf")
    assert relative_increase(np.zeros(3), np.zeros(3)) == 0.0


def test_too_few_samples_are_undecided_with_a_number() -> None:
    rng = np.random.default_rng(5)
    truths = outcomes(60)
    reference = [reading(-2.8, -2.3, -1.9)] * 60
    variant = [reading(*(np.array([-2.8, -2.3, -1.9]) + 0.05 * rng.normal())) for _ in range(60)]
    (judgement,) = judge([Budget(metric="pinball_loss", max_drop=0.02)], truths, reference, variant).judgements
    assert judgement.drop < 0.02 < judgement.drop_upper_bound
    assert judgement.outcome is Outcome.UNDECIDED
    assert judgement.needs is not None
    assert judgement.needs > 60


@pytest.mark.slow
def test_the_bound_holds_about_as_often_as_it_says_although_days_depend_on_each_other() -> None:
    held, runs = 0, 60
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        shock = rng.normal(size=500)
        for t in range(1, 500):
            shock[t] += 0.5 * shock[t - 1]
        before = np.abs(rng.normal(size=500)) + 1
        after = before * 1.03 + 0.1 * shock
        held += relative_increase_upper_bound(before, after, 0.95) >= 0.03
    assert held >= 0.85 * runs


@pytest.mark.parametrize(("exceptions", "days"), [(37, 2011), (20, 2011), (0, 250), (10, 250), (63, 3030)])
def test_kupiec_agrees_with_the_likelihood_ratio_by_another_library(exceptions: int, days: int) -> None:
    rate, seen = 0.01, exceptions / days

    def likelihood(p: float) -> float:
        return float(np.sum([x * math.log(q) for x, q in ((exceptions, p), (days - exceptions, 1 - p)) if x]))

    expected = chi2.sf(2 * (likelihood(seen) - likelihood(rate)), 1)
    assert kupiec_p_value(exceptions, days, rate) == pytest.approx(float(expected), abs=1e-12)


def test_kupiec_rejects_a_frozen_garch_and_refuses_nonsense() -> None:
    assert kupiec_p_value(63, 3030, 0.01) < 1e-6
    for exceptions, days in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="exceptions in"):
            kupiec_p_value(exceptions, days, 0.01)


ROW = RowInput.model_validate({"features": [{"name": "a", "unit": "%", "min": 0, "max": 9}, "b"]})


def test_numbers_go_in_by_name_in_the_declared_order() -> None:
    assert ROW.prepare({"b": 2, "a": 1.5}).tolist() == [[1.5, 2.0]]
    assert ROW.names == ("a", "b")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"a": 1}, "missing: b"),
        ({"a": 1, "b": 2, "c": 3}, "unknown: c"),
        ({"a": -1, "b": 2}, "from 0 to 9"),
        ({"a": 1, "b": float("nan")}, "finite number"),
        ({"a": 1, "b": "2"}, "finite number"),
        ({"a": True, "b": 2}, "finite number in %"),
        ({"a": 1, "b": None}, "finite number"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ROW.prepare(fields)
    assert said in str(caught.value)
