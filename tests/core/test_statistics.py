"""Statistics against independent references."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from edgemill_core.statistics import (
    PairedCounts,
    drop_lower_bound,
    drop_upper_bound,
    lower_bound,
    non_inferiority_p_value,
    samples_needed,
    upper_bound,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (9, 10), (3, 400), (200, 400)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_binomial_bounds_are_clopper_and_pearsons(k: int, n: int, confidence: float) -> None:
    assert upper_bound(k, n, confidence) == pytest.approx(stats.beta.ppf(confidence, k + 1, n - k), abs=1e-9)
    low = stats.beta.ppf(1 - confidence, k, n - k + 1) if k else 0.0
    assert lower_bound(k, n, confidence) == pytest.approx(low, abs=1e-9)


def test_binomial_bounds_without_knowledge_say_nothing() -> None:
    assert upper_bound(0, 0, 0.95) == 1
    assert lower_bound(0, 0, 0.95) == 0
    assert upper_bound(7, 7, 0.95) == 1


def log_likelihood(worse: int, better: int, n: int, p_worse: float, p_better: float) -> float:
    pairs = ((worse, p_worse), (better, p_better), (n - worse - better, 1 - p_worse - p_better))
    return sum(c * np.log(max(p, 1e-300)) for c, p in pairs if c)


def root_by_optimisation(worse: int, better: int, n: int, delta: float) -> float:
    """The signed root with the constrained estimate found by a general optimiser."""
    held = optimize.minimize_scalar(
        lambda q: -log_likelihood(worse, better, n, q + delta, q),
        bounds=(0, (1 - delta) / 2),
        method="bounded",
        options={"xatol": 1e-12},
    )
    ends = [log_likelihood(worse, better, n, q + delta, q) for q in (0.0, (1 - delta) / 2)]
    free = log_likelihood(worse, better, n, worse / n, better / n)
    ratio = 2 * (free - max(-held.fun, *ends))
    return float(np.sign(worse - better - n * delta) * np.sqrt(max(ratio, 0)))


@pytest.mark.parametrize(("n", "delta"), [(12, 0.2), (20, 0.1), (25, 0.3)])
def test_the_p_value_is_that_of_enumeration(n: int, delta: float) -> None:
    outcomes = [(w, b) for w, b in itertools.product(range(n + 1), repeat=2) if w + b <= n]
    roots = {o: root_by_optimisation(*o, n, delta) for o in outcomes}
    grid = np.linspace(0, (1 - delta) / 2, 2001)
    for seen in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 3), (3, 1)]:
        tail = np.zeros_like(grid)
        for w, b in outcomes:
            if roots[(w, b)] <= roots[seen] + 1e-6:
                ways = comb(n, w) * comb(n - w, b)
                tail += ways * (grid + delta) ** w * grid**b * (1 - 2 * grid - delta) ** (n - w - b)
        assert non_inferiority_p_value(PairedCounts(n, *seen), delta) == pytest.approx(tail.max(), rel=1e-5)


counts = st.integers(20, 120).flatmap(
    lambda n: st.integers(0, n // 4).flatmap(
        lambda w: st.integers(0, n // 4).map(lambda b: PairedCounts(n, w, b)),
    )
)


@settings(max_examples=40, deadline=None)
@given(counts, st.sampled_from([0.02, 0.05, 0.1]))
def test_one_more_harmful_flip_never_helps(seen: PairedCounts, delta: float) -> None:
    more = PairedCounts(seen.n, seen.worse + 1, seen.better)
    assert non_inferiority_p_value(more, delta) >= non_inferiority_p_value(seen, delta) - 1e-9


@settings(max_examples=25, deadline=None)
@given(counts, st.sampled_from([0.02, 0.05, 0.1]), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bound_and_the_test_agree(seen: PairedCounts, delta: float, confidence: float) -> None:
    inside = non_inferiority_p_value(seen, delta) <= 1 - confidence
    assert (drop_upper_bound(seen, confidence, delta) <= delta) == inside
    assert drop_lower_bound(seen, confidence) <= seen.drop


def test_without_flips_the_test_is_the_zero_failure_rule() -> None:
    for n, delta in ((299, 0.01), (100, 0.03), (50, 0.1)):
        assert non_inferiority_p_value(PairedCounts(n, 0, 0), delta) == pytest.approx((1 - delta) ** n, rel=1e-6)


def test_no_samples_prove_nothing() -> None:
    nothing = PairedCounts(0, 0, 0)
    assert non_inferiority_p_value(nothing, 0.5) == 1
    assert drop_upper_bound(nothing, 0.95, 0.01) == 1
    assert nothing.drop == 0


@pytest.mark.parametrize("delta", [0, 1, -0.1, 2])
def test_a_bound_that_is_no_share_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        non_inferiority_p_value(PairedCounts(10, 0, 0), delta)


@pytest.mark.parametrize("seen", [(-1, 0, 0), (10, -1, 0), (10, 0, -1), (10, 6, 5)])
def test_impossible_comparisons_are_refused(seen: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such comparison"):
        PairedCounts(*seen)


def test_samples_needed_gives_up_where_none_would_do() -> None:
    assert samples_needed(PairedCounts(400, 8, 0), 0.01, 0.95) is None
    assert samples_needed(PairedCounts(400, 4, 1), 0.01, 0.95, limit=500) is None


def test_samples_needed_may_be_fewer_than_were_seen() -> None:
    assert samples_needed(PairedCounts(2000, 1, 1), 0.01, 0.95) == pytest.approx(473, abs=10)
