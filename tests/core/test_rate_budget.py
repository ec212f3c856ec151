"""A rate is shown, or it does not pass."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgemill_core.budget import Outcome
from edgemill_core.rate_budget import RateBudget, RateJudgement, judge_rate
from edgemill_core.samples import Truth
from edgemill_core.verdict import Decision, Verdict

PASS, REJECT, UNCERTAIN = (Verdict(decision, (), 0.9) for decision in list(Decision)[:3])


def judged(wrong: int, n: int, metric: str = "escape_rate", at_most: float = 0.05) -> RateJudgement:
    good = metric == "overkill_rate"
    said = [REJECT if good else PASS] * wrong + [PASS if good else REJECT] * (n - wrong)
    others = [(Truth(not good), PASS if good else REJECT)] * 7
    truths = [Truth(good)] * n + [truth for truth, _ in others]
    return judge_rate(RateBudget(metric=metric, at_most=at_most), truths, [*said, *(verdict for _, verdict in others)])


@pytest.mark.parametrize("metric", ["escape_rate", "overkill_rate"])
@pytest.mark.parametrize(
    ("wrong", "n", "outcome"),
    [
        (0, 59, Outcome.PASS),
        (0, 58, Outcome.UNDECIDED),
        (0, 0, Outcome.UNDECIDED),
        (1, 93, Outcome.PASS),
        (1, 92, Outcome.UNDECIDED),
        (3, 59, Outcome.FAIL),
        (2, 59, Outcome.UNDECIDED),
        (3, 12, Outcome.FAIL),
        (59, 59, Outcome.FAIL),
    ],
)
def test_only_what_is_shown_passes(metric: str, wrong: int, n: int, outcome: Outcome) -> None:
    found = judged(wrong, n, metric)
    assert (found.outcome, found.wrong, found.samples) == (outcome, wrong, n)
    assert (found.bound <= 0.05) == (outcome is Outcome.PASS)
    assert (found.needs is not None) == (outcome is Outcome.UNDECIDED)


@pytest.mark.parametrize(("wrong", "n"), [(0, 0), (0, 10), (1, 50), (2, 100)])
def test_as_many_samples_as_it_asks_for_do_show_it(wrong: int, n: int) -> None:
    needs = judged(wrong, n).needs
    assert needs is not None
    assert judged(int(wrong * needs / n) if n else 0, needs).outcome is Outcome.PASS
    assert needs > n


def test_uncertain_is_no_escape_but_overkill_and_no_number_is_always_wrong() -> None:
    budgets = {name: RateBudget(metric=name, at_most=0.4) for name in ("escape_rate", "overkill_rate")}
    truths = [Truth(good=False)] * 5 + [Truth(good=True)] * 5
    found = {name: judge_rate(budget, truths, [UNCERTAIN] * 10).wrong for name, budget in budgets.items()}
    assert found == {"escape_rate": 0, "overkill_rate": 5}
    broken = Verdict(Decision.REJECT)
    assert judge_rate(budgets["escape_rate"], truths, [broken] * 10).wrong == 5


@pytest.mark.parametrize("change", [{"at_most": 0}, {"at_most": 0.5}, {"metric": "map"}, {"max_drop": 0.1}])
def test_a_budget_that_means_nothing_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RateBudget.model_validate({"metric": "escape_rate", "at_most": 0.1, **change})


def test_it_is_told_as_json() -> None:
    assert judged(0, 59).as_dict()["outcome"] == "pass"
