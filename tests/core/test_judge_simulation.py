"""The judge's promise, in simulation: a variant whose true drop is the budget passes at most as often as promised."""

from __future__ import annotations

import numpy as np
import pytest

from edgemill_core.budget import Budget, Outcome, judge
from edgemill_core.samples import Truth
from edgemill_core.statistics import PairedCounts, non_inferiority_p_value
from edgemill_core.verdict import Decision, Verdict

ALPHA, VARIANTS = 0.05, 2000
MONTE_CARLO = 3 * (ALPHA * (1 - ALPHA) / VARIANTS) ** 0.5
GOOD = Truth(good=True, text="A")


def verdict(passed: bool, text: str = "A") -> Verdict:
    return Verdict(Decision.PASS if passed else Decision.REJECT, (), 0.9, {"text": text})


@pytest.mark.parametrize(
    ("n", "delta", "flips"), [(400, 0.01, 0.0), (400, 0.01, 0.01), (400, 0.01, 0.05), (700, 0.01, 0.005)]
)
def test_variants_at_the_budget_rarely_pass(n: int, delta: float, flips: float) -> None:
    rng = np.random.default_rng(n)
    draws = rng.multinomial(n, [delta + flips, flips, 1 - delta - 2 * flips], size=VARIANTS)
    passed = sum(non_inferiority_p_value(PairedCounts(n, int(w), int(b)), delta) <= ALPHA for w, b, _ in draws)
    assert passed / VARIANTS <= ALPHA + MONTE_CARLO


def test_variants_at_the_budget_rarely_pass_the_whole_judge() -> None:
    rng = np.random.default_rng(5)
    n, budget = 100, Budget(metric="overkill_rate", max_drop=0.05)
    truths = [GOOD] * n
    reference = [verdict(True)] * n
    passed = 0
    for _ in range(VARIANTS):
        variant = [verdict(ok) for ok in rng.random(n) >= budget.max_drop]
        passed += judge([budget], truths, reference, variant).outcome is Outcome.PASS
    assert 0 < passed / VARIANTS <= ALPHA + MONTE_CARLO


def test_variants_without_a_drop_pass_when_there_are_samples_enough() -> None:
    draws = np.random.default_rng(1).multinomial(1200, [0.002, 0.002, 0.996], size=200)
    passed = sum(non_inferiority_p_value(PairedCounts(1200, int(w), int(b)), 0.01) <= ALPHA for w, b, _ in draws)
    assert passed / 200 > 0.9


def line(seed: int, n: int = 800) -> tuple[list[Truth], list[Verdict]]:
    """A line, half of it bad, and a reference that is right about all but a few parts."""
    rng = np.random.default_rng(seed)
    truths = [Truth(good=bool(g), text=f"L{i}") for i, g in enumerate(rng.random(n) < 0.5)]
    return truths, [verdict(t.good != (rng.random() < 0.01), f"L{i}") for i, t in enumerate(truths)]


BUDGETS = [Budget(metric=metric, max_drop=0.1) for metric in ("escape_rate", "overkill_rate")]


@pytest.mark.parametrize("seed", range(4))
def test_variants_that_give_no_numbers_never_pass(seed: int) -> None:
    truths, reference = line(seed)
    broken = [Verdict(Decision.REJECT)] * len(truths)
    assert judge(BUDGETS, truths, reference, broken).outcome is Outcome.FAIL
    once = [*reference[:-1], Verdict(Decision.REJECT)]
    ruling = judge(BUDGETS, truths, reference, once)
    assert ruling.outcome is Outcome.FAIL
    assert "1 of 800 outputs hold values that are not numbers" in ruling.why


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("passed", [True, False])
def test_constant_variants_never_pass(seed: int, passed: bool) -> None:
    truths, reference = line(seed)
    ruling = judge(BUDGETS, truths, reference, [verdict(passed)] * len(truths))
    assert ruling.outcome is Outcome.FAIL
    assert "alike" in ruling.why


def test_a_constant_variant_fails_even_where_the_metric_cannot_tell() -> None:
    truths = [Truth(good=False)] * 400
    reference = [verdict(False, f"L{i}") for i in range(400)]
    ruling = judge([BUDGETS[0]], truths, reference, [verdict(False)] * 400)
    assert ruling.judgements[0].outcome is Outcome.PASS
    assert ruling.outcome is Outcome.FAIL


@pytest.mark.parametrize("seed", range(4))
def test_label_shifted_variants_never_pass(seed: int) -> None:
    truths, reference = line(seed)
    assert judge(BUDGETS, truths, reference, [*reference[1:], reference[0]]).outcome is Outcome.FAIL
    swapped = [verdict(v.decision is not Decision.PASS, f"L{i}") for i, v in enumerate(reference)]
    assert judge(BUDGETS, truths, reference, swapped).outcome is Outcome.FAIL
