"""What the judge says of numbers of a whole set."""

from __future__ import annotations

import numpy as np
import pytest

from edgemill_core.budget import Budget, Judgement, Outcome, judge
from edgemill_core.evidence import Side
from edgemill_core.metrics import metric_named
from edgemill_core.samples import Truth
from edgemill_core.tasks import Classification
from edgemill_core.verdict import Decision, Verdict

TASK = Classification(classes=("good", "bad"), fit=("good",))
CODE = "L7K42B"
CHARACTERS = Budget(metric="character_error_rate", max_drop=0.01)


def worse_by(metric: str, good: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """The worsening that is seen, without a bound."""
    of_set, sign = metric_named(metric).of_set, 1 if metric_named(metric).higher_is_better else -1
    assert of_set is not None
    truths = [Truth(good=bool(one), class_name="good" if one else "bad") for one in good]
    found = []
    for fit in (before, after):
        verdicts = [Verdict(Decision.PASS, (), 0.9, {"class": "good" if one >= 0.5 else "bad"}) for one in fit]
        scores = TASK.scores_of(np.stack((fit, 1 - fit), axis=1))
        found.append(float(of_set(Side(truths, verdicts, scores)).at(np.ones((len(good), 1), np.float32))[0]))
    return sign * (found[0] - found[1])


def judged(metric: str, good: np.ndarray, before: np.ndarray, after: np.ndarray, **more: float) -> Judgement:
    """Fitness of reference and variant for parts that are good or not."""
    truths = [Truth(good=bool(one), class_name="good" if one else "bad") for one in good]
    rows = [np.stack((fit, 1 - fit), axis=1).astype(np.float32) for fit in (before, after)]
    verdicts = [[TASK.verdict({TASK.output: row[None]}, {}) for row in side] for side in rows]
    budget = Budget(metric=metric, max_drop=more.pop("max_drop", 0.02), **more)  # type: ignore[arg-type]
    evidence = (TASK.scores_of(rows[0]), TASK.scores_of(rows[1]))
    return judge([budget], truths, *verdicts, evidence=evidence).judgements[0]


def parts(count: int, bad: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    good = np.arange(count) >= bad
    noise = np.random.default_rng(seed).beta(1, 30, count)
    return good, np.where(good, 1 - noise, noise)


METRICS = ("precision", "recall", "f1", "f1@bad", "precision@bad", "recall@good", "auroc", "calibration_error")


@pytest.mark.parametrize("metric", METRICS)
def test_no_loss_passes_where_there_are_samples_enough_and_only_there(metric: str) -> None:
    good, fit = parts(600, 250)
    assert judged(metric, good, fit, fit).outcome is Outcome.PASS
    few = judged(metric, good[240:270], fit[240:270], fit[240:270])
    assert few.outcome is Outcome.UNDECIDED
    assert few.needs is not None
    assert few.needs > 30
    assert "too few to tell" in few.why


@pytest.mark.parametrize("metric", METRICS)
def test_a_plain_loss_fails(metric: str) -> None:
    good, fit = parts(600, 250)
    turned = np.where(np.arange(600) % 4 == 0, 1 - fit, fit)
    found = judged(metric, good, fit, turned)
    assert found.outcome is Outcome.FAIL
    assert found.counts.worse > 0
    assert found.drop > 0.02
    assert found.drop_upper_bound > found.drop


@pytest.mark.parametrize("metric", ["auroc", "f1@bad"])
def test_many_samples_of_which_few_are_bad_do_not_pass(metric: str) -> None:
    good, fit = parts(2000, 12)
    found = judged(metric, good, fit, fit)
    assert found.outcome is Outcome.UNDECIDED
    assert "12 show the rarest, bad" in found.why
    assert found.needs is not None
    assert found.needs >= 2000 * 149 / 12 - 1


def test_a_set_without_bad_parts_says_nothing() -> None:
    good, fit = parts(300, 0)
    found = judged("auroc", good, fit, fit)
    assert found.outcome is Outcome.UNDECIDED
    assert "shows nothing of it (no bad)" in found.why
    assert found.counts.n == 0


def test_a_reference_that_guesses_fails() -> None:
    good, fit = parts(600, 250)
    turned = np.where(np.arange(600) % 10 < 7, 1 - fit, fit)
    found = judged("auroc", good, turned, turned)
    assert 0.2 < found.reference < 0.5
    assert found.outcome is Outcome.FAIL
    assert "no better than chance" in found.why


def test_a_floor_is_to_be_shown() -> None:
    good, fit = parts(600, 250)
    assert judged("f1", good, fit, fit, floor=0.97).outcome is Outcome.PASS
    assert judged("f1", good, fit, fit, floor=0.995).outcome is Outcome.FAIL
    assert judged("calibration_error", good, fit, fit, floor=0.9).outcome is Outcome.PASS
    found = judged("calibration_error", good, fit, fit, floor=0.98)
    assert found.outcome is Outcome.FAIL
    assert "floor 98.00%" in found.why


def test_among_several_candidates_it_is_harder() -> None:
    good, fit = parts(420, 200)
    rows = np.stack((fit, 1 - fit), axis=1).astype(np.float32)
    verdicts = [TASK.verdict({TASK.output: row[None]}, {}) for row in rows]
    truths = [Truth(good=bool(one), class_name="good" if one else "bad") for one in good]
    scores = TASK.scores_of(rows)
    budget = [Budget(metric="auroc", max_drop=0.02)]
    outcomes = [
        judge(budget, truths, verdicts, verdicts, candidates=k, evidence=(scores, scores)).outcome for k in (1, 4)
    ]
    assert outcomes == [Outcome.PASS, Outcome.UNDECIDED]


def read(*texts: str) -> list[Verdict]:
    return [Verdict(Decision.PASS, (), 0.9, {"text": text}) for text in texts]


@pytest.mark.parametrize(("wrong", "outcome"), [(0, Outcome.PASS), (3, Outcome.PASS), (60, Outcome.FAIL)])
def test_characters_of_a_reference_without_error(wrong: int, outcome: Outcome) -> None:
    truths = [Truth(good=True, text=CODE)] * 500
    variant = read(*["L7K428"] * wrong, *[CODE] * (500 - wrong))
    (found,) = judge(
        [Budget(metric="character_error_rate", max_drop=0.01)], truths, read(*[CODE] * 500), variant
    ).judgements
    assert found.reference == 0
    assert found.variant == pytest.approx(wrong / 3000)
    assert found.counts.worse == wrong
    assert found.outcome is outcome


def test_codes_that_give_no_number_are_all_wrong() -> None:
    truths = [Truth(good=True, text=CODE)] * 400
    broken = [Verdict(Decision.REJECT, (), float("nan"), {"text": CODE})] * 400
    (found,) = judge(
        [Budget(metric="character_error_rate", max_drop=0.01)], truths, read(*[CODE] * 400), broken
    ).judgements
    assert found.variant == 1


World = tuple[np.ndarray, np.ndarray, np.ndarray]


def world(count: int, rng: np.random.Generator) -> World:
    """A reference whose confidence is what it says, and a variant that is too sure and shaken."""
    fit = rng.beta(0.6, 0.4, count)
    logit = np.log(np.clip(fit, 1e-4, 1 - 1e-4) / np.clip(1 - fit, 1e-4, 1))
    return rng.random(count) < fit, fit, 1 / (1 + np.exp(-1.5 * logit - rng.normal(0, 1.5, count)))


@pytest.fixture(scope="module")
def many() -> World:
    return world(40_000, np.random.default_rng(10))


@pytest.mark.parametrize("metric", ["f1", "auroc", "calibration_error", "f1@bad"])
def test_variants_at_the_budget_rarely_pass(metric: str, many: World) -> None:
    """The true drop is measured on many samples; a budget of just that much may be passed in 5 % of cases."""
    true = worse_by(metric, *many)
    assert true > 0.02
    rng = np.random.default_rng(11)
    passed = sum(judged(metric, *world(80, rng), max_drop=true).outcome is Outcome.PASS for _ in range(20))
    assert passed <= 3  # 20 times 5 % is 1; more than three would come by chance in 1.6 % of such tests
