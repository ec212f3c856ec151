"""Wald's test, cut off: against brute force, by its own promises, and by 2,000 simulations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from edgemill_core.statistics import Conclusion, SequentialTest, sequential_test

TRIALS = 2000
WIDE = 4.0
"""Standard errors within which a simulated share must lie."""


@some.composite
def bounds(draw: some.DrawFn) -> SequentialTest:
    """Any two, not only those of a likelihood ratio."""
    accept, reject = [], []
    for seen in range(1, draw(some.integers(1, 9)) + 1):
        accept.append(draw(some.integers(-1, seen)))
        reject.append(draw(some.integers(accept[-1] + 1, seen + 1)))
    return SequentialTest((*accept[:-1], reject[-1] - 1), tuple(reject))


@given(bounds(), some.sampled_from([0.0, 0.01, 0.3, 0.5, 0.97, 1.0]))
def test_what_it_does_at_a_rate_is_what_every_course_of_it_does(test: SequentialTest, rate: float) -> None:
    high = samples = 0.0
    for course in product((False, True), repeat=test.most):
        reached = test.walk(course)
        assert reached.conclusion is not None
        weight = np.prod([rate if hit else 1 - rate for hit in course])
        high += weight * (reached.conclusion is Conclusion.HIGH)
        samples += weight * reached.seen
    found = test.characteristic(rate)
    assert (found.high, found.samples) == pytest.approx((high, samples), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    some.floats(0.005, 0.3), some.floats(3, 20), some.sampled_from([0.001, 0.05, 0.2]), some.sampled_from([0.01, 0.1])
)
def test_it_errs_no_more_than_was_asked_for_and_ends(low: float, times: float, alpha: float, beta: float) -> None:
    high = min(0.95, low * times)
    test = sequential_test(low, high, alpha, beta)
    assert test.accept[-1] == test.reject[-1] - 1
    found = [test.characteristic(rate) for rate in (0.0, low / 2, low, (low + high) / 2, high, (1 + high) / 2, 1.0)]
    shares = np.array([one.high for one in found])
    assert (np.diff(shares) > -1e-9).all(), "the more it disagrees, the surer it is stopped"
    assert shares[2] <= alpha
    assert shares[4] >= 1 - beta - 1e-9
    assert max(one.samples for one in found) <= test.most + 1e-9


def test_it_is_walds_until_it_is_cut_off() -> None:
    test = sequential_test(0.01, 0.05, 0.01, 0.01)
    for seen in range(1, test.most):
        for hits in range(min(seen, 30) + 1):
            ratio = 5.0**hits * (0.95 / 0.99) ** (seen - hits)
            said = Conclusion.HIGH if ratio >= 100 else Conclusion.LOW if ratio <= 0.01 else None
            assert test.conclusion(seen, hits) is said, (seen, hits)
    assert test.conclusion(0, 0) is None


def test_the_figures_of_the_guide() -> None:
    test = sequential_test(0.01, 0.05, 0.01, 0.01)
    assert test.most == 507
    assert [test.reject[seen - 1] for seen in (3, 100, 507)] == [3, 6, 12]
    told = {rate: test.characteristic(rate) for rate in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)}
    assert {rate: round(one.samples) for rate, one in told.items()} == {
        0.0: 112, 0.005: 140, 0.01: 184, 0.02: 287, 0.03: 269, 0.05: 124, 0.1: 43
    }  # fmt: skip
    assert round(told[0.01].high, 4) == 0.0085
    assert round(1 - told[0.05].high, 4) == 0.01


@pytest.mark.parametrize(("rate", "least", "most"), [(0.01, 0.0, 0.01), (0.05, 0.99, 1.0), (0.1, 0.999, 1.0)])
def test_two_thousand_challengers_are_stopped_as_often_as_was_promised(rate: float, least: float, most: float) -> None:
    test = sequential_test(0.01, 0.05, 0.01, 0.01)
    rng = np.random.default_rng(41)
    ends = [test.walk(rng.random(test.most) < rate) for _ in range(TRIALS)]
    assert all(one.conclusion is not None and one.seen <= test.most for one in ends)
    found, exact = np.mean([one.conclusion is Conclusion.HIGH for one in ends]), test.characteristic(rate)
    slack = WIDE * (max(exact.high * (1 - exact.high), 1 / TRIALS) / TRIALS) ** 0.5
    assert abs(found - exact.high) < slack
    assert least - slack < found < most + slack
    assert np.mean([one.seen for one in ends]) == pytest.approx(exact.samples, rel=0.1)


def test_a_test_that_has_concluded_takes_no_more() -> None:
    test = sequential_test(0.1, 0.5, 0.01, 0.01)
    reached = test.walk([True] * 20)
    assert (reached.seen, reached.hits, reached.conclusion) == (3, 3, Conclusion.HIGH)
    assert test.step(reached, False) == reached


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((0.0, 0.1, 0.01, 0.01), "0 < low"),
        ((0.1, 0.1, 0.01, 0.01), "0 < low"),
        ((0.1, 1.0, 0.01, 0.01), "0 < low"),
        ((0.1, 0.2, 0.0, 0.01), "errors"),
        ((0.1, 0.2, 0.01, 0.5), "errors"),
        ((0.2, 0.20001, 0.01, 0.01), "further apart"),
    ],
)
def test_what_cannot_be_told_apart_is_said_at_once(given: tuple[float, float, float, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sequential_test(*given)


def test_one_that_would_end_only_beyond_the_limit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemill_core.statistics.sequential.MOST_SAMPLES", 500)
    with pytest.raises(ValueError, match="within 500 samples"):
        sequential_test(0.01, 0.05, 0.0099, 0.0099)
