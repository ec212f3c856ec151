"""The Pareto front: who is on it, what is drawn of those far off it, and what is said when one points at a variant."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_builds import ESCAPES, HOSTILE, make_judgement, one_target, parse

from edgemill_converters.report.drawing import Mark
from edgemill_converters.report.pareto import pareto_plots
from edgemill_converters.report.pareto_drawing import visible
from edgemill_converters.report.pareto_front import Standing, front, standing, worse_by
from edgemill_converters.report.risk_drawing import _spread
from edgemill_core.budget import Budget, Outcome, Ruling
from edgemill_core.metrics import metric_named

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(POINTS)
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    found = front(points)
    assert set(found) == {i for i, one in enumerate(points) if not any(beats(other, one) for other in points)}
    assert [points[i][0] for i in found] == sorted(points[i][0] for i in found)


@pytest.mark.parametrize(
    ("metric", "value", "drop", "worse"),
    [("escape_rate", 0.02, 0.01, 0.03), ("exact_rate", 0.9, 0.05, 0.85), ("pinball_loss", 3.0, 0.1, 3.3)],
)
def test_worse_goes_the_way_of_the_metric(metric: str, value: float, drop: float, worse: float) -> None:
    assert worse_by(metric_named(metric), value, drop) == pytest.approx(worse)


def test_a_floor_of_an_error_rate_is_drawn_where_the_rate_stands(tmp_path: Path) -> None:
    floored = Budget(metric="escape_rate", max_drop=0.01, floor=0.9)
    variants = one_target(tmp_path, 5.0, 3.0, Outcome.PASS, Outcome.FAIL).variants
    found = standing(floored, variants)
    assert found is not None
    assert found.floor == pytest.approx(0.1)
    assert found.allowed == pytest.approx(0.02)
    assert found.worst == pytest.approx((0.014, 0.61))
    assert standing(Budget(metric="exact_rate", max_drop=0.1), variants) is None


@pytest.mark.parametrize("higher", [True, False])
def test_one_far_off_does_not_squeeze_the_others(higher: bool) -> None:
    sign = 1 if higher else -1
    shown = Standing(0.5, 0.5 - sign * 0.01, None, (0.5, 0.5 - sign * 0.4), (0.5 - sign * 0.005, float("nan")))
    low, high = visible(shown, higher)
    assert sign * (shown.allowed - low) > 0
    assert sign * (high - shown.reference) > 0
    assert abs(high - low) < 0.05


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_names_keep_their_order_and_apart(wanted: list[float]) -> None:
    places = _spread(sorted(wanted), 0.085)
    gap = min(0.085, 1 / max(1, len(wanted) - 1))
    assert all(later - place >= gap - 1e-9 for place, later in pairwise(places))
    assert min(places) >= -1e-9
    assert max(places) <= 1 + 1e-9


def test_each_budget_stands_against_p99_and_size_and_says_why(tmp_path: Path) -> None:
    result = one_target(tmp_path, 5.0, 3.0, Outcome.PASS, Outcome.PASS)
    only = Ruling((make_judgement(ESCAPES, Outcome.PASS, 0.004),), (HOSTILE,))
    variants = (result.variants[0], replace(result.variants[1], ruling=only))
    marks = [Mark(v.name, v.precision, v.ruling.outcome, ships=True, why=f"{v.name} {HOSTILE}") for v in variants]
    page = pareto_plots(replace(result, variants=variants), marks)
    titles = re.findall(r"<title>(.*?)</title>", page)
    # Overkill was not judged of the second one.
    assert titles == [escape(mark.why) for mark in (*marks, *marks, marks[0], marks[0])]
    assert HOSTILE not in page
    text = parse(page).text
    assert [text.count(words) for words in ("Escapes against p99", "Overkill against size")] == [1, 1]
    assert "allowed 2.00%" in text
    assert "reference 1.00%" in text
