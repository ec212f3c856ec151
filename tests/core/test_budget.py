"""The judge on cases that can be worked out by hand."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from edgemill_core.budget import Budget, Outcome, Ruling, budgets_by_metric, judge
from edgemill_core.durable import canonical_json
from edgemill_core.errors import DataError, RecipeError
from edgemill_core.samples import Truth
from edgemill_core.verdict import Decision, Verdict

PASS, REJECT = Verdict(Decision.PASS, (), 0.9, {"text": "A"}), Verdict(Decision.REJECT, (), 0.9, {"text": "B"})
GOOD, BAD = Truth(good=True, text="A"), Truth(good=False)
OVERKILL = Budget(metric="overkill_rate", max_drop=0.01)


def run(budget: Budget, n: int, worse: int = 0, better: int = 0, both: int = 0) -> Ruling:
    """``n`` good parts of which the variant alone, the reference alone, or both reject so many."""
    reference = [REJECT] * better + [PASS] * worse + [REJECT] * both + [PASS] * (n - worse - better - both)
    variant = [PASS] * better + [REJECT] * worse + [REJECT] * both + [PASS] * (n - worse - better - both)
    return judge([budget], [GOOD] * n, reference, variant)


def test_299_samples_without_a_flip_show_one_point() -> None:
    assert run(OVERKILL, 299).outcome is Outcome.PASS
    assert run(OVERKILL, 298).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("n", "delta", "confidence", "needs"), [(50, 0.01, 0.95, 299), (10, 0.02, 0.95, 149), (100, 0.01, 0.99, 459)]
)
def test_too_few_samples_are_undecided_and_say_how_many_would_do(
    n: int, delta: float, confidence: float, needs: int
) -> None:
    budget = Budget(metric="overkill_rate", max_drop=delta, confidence=confidence)
    judgement = run(budget, n).judgements[0]
    assert judgement.outcome is Outcome.UNDECIDED
    assert judgement.needs == needs
    assert f"needs about {needs}" in judgement.why
    assert run(budget, needs).outcome is Outcome.PASS
    assert run(budget, needs - 1).outcome is Outcome.UNDECIDED


def test_a_few_flips_ask_for_more_samples_and_those_would_do() -> None:
    judgement = run(OVERKILL, 400, worse=2, better=1).judgements[0]
    assert judgement.outcome is Outcome.UNDECIDED
    assert judgement.needs is not None
    assert judgement.needs > 400
    scale = judgement.needs / 400
    assert run(OVERKILL, judgement.needs, worse=round(2 * scale), better=round(scale)).outcome is Outcome.PASS


def test_no_sample_of_the_population_is_undecided() -> None:
    judgement = run(Budget(metric="escape_rate", max_drop=0.01), 500).judgements[0]
    assert judgement.outcome is Outcome.UNDECIDED
    assert judgement.counts.n == 0
    assert judgement.needs == 299


def test_a_plain_drop_fails_however_few_the_samples() -> None:
    assert run(OVERKILL, 100, worse=20).outcome is Outcome.FAIL
    assert run(OVERKILL, 400, worse=4).outcome is Outcome.FAIL


def test_a_drop_at_the_budget_with_few_samples_is_undecided() -> None:
    judgement = run(OVERKILL, 50, worse=1).judgements[0]
    assert judgement.outcome is Outcome.UNDECIDED
    assert judgement.needs == 299


def test_parts_that_both_get_wrong_do_not_count_against_the_variant() -> None:
    judgement = run(OVERKILL, 400, both=100).judgements[0]
    assert judgement.outcome is Outcome.PASS
    assert judgement.reference == judgement.variant == 0.25


def test_the_bound_is_inside_the_budget_exactly_when_the_variant_passes() -> None:
    for worse in range(4):
        judgement = run(OVERKILL, 500, worse=worse).judgements[0]
        assert (judgement.outcome is Outcome.PASS) == (judgement.drop_upper_bound <= 0.01)


def test_the_floor_must_be_shown_not_just_reached() -> None:
    kept = Budget(metric="overkill_rate", max_drop=0.1, floor=0.8)
    assert run(kept, 400, both=40).outcome is Outcome.PASS
    ruling = run(Budget(metric="overkill_rate", max_drop=0.1, floor=0.9), 400, both=40)
    assert ruling.outcome is Outcome.FAIL
    assert "floor 90.00%" in ruling.why


def test_escapes_are_judged_on_bad_parts_alone() -> None:
    budgets = [Budget(metric="escape_rate", max_drop=0.01), OVERKILL]
    truths = [GOOD] * 400 + [BAD] * 400
    reference = [PASS] * 400 + [REJECT] * 400
    ruling = judge(budgets, truths, reference, [PASS] * 400 + [PASS] * 20 + [REJECT] * 380)
    escapes, overkill = ruling.judgements
    assert (escapes.outcome, overkill.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert escapes.variant == 0.05
    assert ruling.outcome is Outcome.FAIL
    assert ruling.why == escapes.why


def test_exact_readings_count_upwards() -> None:
    judgement = run(Budget(metric="exact_rate", max_drop=0.01), 400, worse=40).judgements[0]
    assert judgement.outcome is Outcome.FAIL
    assert judgement.reference == 1
    assert judgement.variant == 0.9


def test_an_undecided_budget_holds_the_whole_variant_back() -> None:
    ruling = judge([OVERKILL, Budget(metric="exact_rate", max_drop=0.005)], [GOOD] * 400, [PASS] * 400, [PASS] * 400)
    assert [j.outcome for j in ruling.judgements] == [Outcome.PASS, Outcome.UNDECIDED]
    assert ruling.outcome is Outcome.UNDECIDED


def test_nothing_judged_is_a_failure() -> None:
    assert Ruling(()).outcome is Outcome.FAIL


@pytest.mark.parametrize(("truths", "reference", "variant"), [(0, 0, 0), (2, 2, 1), (2, 1, 2), (1, 2, 2)])
def test_sets_of_different_length_are_refused(truths: int, reference: int, variant: int) -> None:
    with pytest.raises(DataError, match="one verdict of reference and variant per sample"):
        judge([OVERKILL], [GOOD] * truths, [PASS] * reference, [PASS] * variant)


def test_the_judgement_as_a_dict_is_plain() -> None:
    found = run(OVERKILL, 400, worse=1).judgements[0].as_dict()
    assert found["worse"] == 1
    assert found["outcome"] == "undecided"


@pytest.mark.parametrize("field", [{"max_drop": 1}, {"max_drop": 0}, {"max_drop": 0.01, "confidence": 95}])
def test_a_budget_in_the_wrong_unit_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate({"metric": "overkill_rate", **field})


@pytest.mark.parametrize(
    ("field", "advice"),
    [
        ({"max_drop": 1}, "0.01 is one point"),
        ({"max_drop": 5}, "0.05 is 5 points"),
        ({"max_drop": "1%"}, "write 0.01"),
        ({"max_drop": "0.5 points"}, "write 0.005"),
        ({"max_drop": "a little"}, "0.01 is one point"),
        ({"floor": 95}, "0.95 is 95 points"),
        ({"confidence": 95}, "0.95 is 95 points"),
        ({"confidence": "99 %"}, "write 0.99"),
        ({"max_drop": 250}, "less than 1"),
    ],
)
def test_a_wrong_unit_is_answered_with_what_to_write(field: dict[str, object], advice: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Budget.model_validate({"metric": "overkill_rate", "max_drop": 0.01, **field})
    assert advice in str(caught.value)


@pytest.mark.parametrize(("candidates", "needs"), [(1, 299), (2, 368), (3, 408)])
def test_more_candidates_must_show_more_each(candidates: int, needs: int) -> None:
    """(1 - δ)^n ≤ α / k."""
    for n, outcome in ((needs, Outcome.PASS), (needs - 1, Outcome.UNDECIDED)):
        ruling = judge([OVERKILL], [GOOD] * n, [PASS] * n, [PASS] * n, candidates=candidates)
        assert ruling.outcome is outcome
        assert ruling.judgements[0].confidence == pytest.approx(1 - 0.05 / candidates)
    assert "at 98.33%" in ruling.why or candidates < 3


def test_no_candidate_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        judge([OVERKILL], [GOOD], [PASS], [PASS], candidates=0)


def test_the_floor_is_shown_at_the_confidence_of_the_candidate() -> None:
    budget = Budget(metric="overkill_rate", max_drop=0.1, floor=0.99)
    outcomes = [judge([budget], [GOOD] * 300, [PASS] * 300, [PASS] * 300, candidates=k).outcome for k in (1, 2)]
    assert outcomes == [Outcome.PASS, Outcome.FAIL]


def test_a_metric_has_one_budget() -> None:
    assert list(budgets_by_metric([OVERKILL])) == ["overkill_rate"]
    with pytest.raises(DataError, match="two budgets"):
        budgets_by_metric([OVERKILL, OVERKILL])


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(RecipeError, match="no metric called 'beauty'"):
        run(Budget(metric="beauty", max_drop=0.1), 10)


def test_a_variant_that_overflows_is_told_in_json() -> None:
    """FP16 ends at 65504: one variant's infinite error must not keep the others from shipping."""
    truths = [Truth(True, outcome=float(number)) for number in range(40)]
    right = [Verdict(Decision.SCORE, (), 1.0, {"values": {"v": number + 0.5}}) for number in range(40)]
    broken = [Verdict(Decision.REJECT, ("no numbers",))] * 40
    (judgement,) = judge([Budget(metric="absolute_error", max_drop=0.1)], truths, right, broken).judgements
    told = judgement.as_dict()
    assert (told["variant"], told["outcome"]) == (None, "fail")
    assert json.loads(canonical_json(told)) == told
