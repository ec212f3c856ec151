"""Budgets of mean average precision: pass, fail, undecided, floors, and what is needed to judge them at all."""

from __future__ import annotations

import numpy as np
import pytest

from edgemill_core.average_precision import ComparedBoxes
from edgemill_core.budget import Budget, Judgement, Outcome, budgets_by_metric, judge
from edgemill_core.errors import DataError, RecipeError
from edgemill_core.inspection.labelled import Detections, Labelled
from edgemill_core.metrics import family_of, metric_named, plain_name
from edgemill_core.samples import Truth
from edgemill_core.tasks import ObjectDetection
from edgemill_core.verdict import Decision, Verdict

BOX = np.array([[0.1, 0.1, 0.3, 0.3]])
NONE = Detections(np.empty((0, 4)), np.empty(0), np.empty(0, np.int64))
FOUND = Detections(BOX, np.array([0.9]), np.array([0]))
THERE = Labelled(BOX, np.array([0]), np.array([False]))
CROWD = Labelled(BOX, np.array([0]), np.array([True]))
ANY = Budget(metric="map@0.5", max_drop=0.01)


def seen(count: int, missed: int = 0, by_both: int = 0) -> ComparedBoxes:
    """``count`` pictures with one box each, of which the variant alone, or both, miss so many."""
    before = [NONE] * by_both + [FOUND] * (count - by_both)
    after = [NONE] * (by_both + missed) + [FOUND] * (count - by_both - missed)
    return ComparedBoxes([THERE] * count, before, after, ("short",))


def judged(
    boxes: ComparedBoxes | None, budget: Budget = ANY, count: int | None = None, candidates: int = 1
) -> Judgement:
    count = len(boxes.labelled) if boxes is not None and count is None else count or 1
    verdicts = [Verdict(Decision.REJECT, (), 0.9)] * count
    ruling = judge([budget], [Truth(good=False)] * count, verdicts, verdicts, candidates=candidates, boxes=boxes)
    return ruling.judgements[0]


def test_299_boxes_without_a_loss_show_one_point_as_299_parts_do() -> None:
    assert judged(seen(299)).outcome is Outcome.PASS
    short = judged(seen(298))
    assert (short.outcome, short.needs) == (Outcome.UNDECIDED, 299)
    assert "needs about 299 pictures like these (298 show the rarest, short)" in short.why
    assert judged(seen(299), candidates=2).outcome is Outcome.UNDECIDED


def test_a_reference_that_finds_nothing_is_no_measure() -> None:
    lost = judged(seen(400, by_both=400))
    assert lost.outcome is Outcome.FAIL
    assert "the reference finds none of what is labelled" in lost.why


def test_a_plain_drop_fails_and_few_pictures_are_undecided() -> None:
    plain = judged(seen(400, missed=40))
    assert plain.outcome is Outcome.FAIL
    assert (plain.reference, plain.variant) == (1.0, pytest.approx(0.9))
    assert (plain.counts.worse, plain.counts.better) == (40, 0)
    assert judged(seen(20, missed=10)).outcome is Outcome.FAIL
    few = judged(seen(50, missed=1))
    assert few.outcome is Outcome.UNDECIDED
    assert few.needs is not None
    assert few.needs >= 299
    some = judged(seen(400, missed=2))
    assert some.outcome is Outcome.UNDECIDED
    assert some.needs is not None
    assert some.needs > 400


def test_what_both_miss_is_no_drop_but_counts_for_the_floor() -> None:
    assert judged(seen(400, by_both=40)).outcome is Outcome.PASS
    kept = Budget(metric="map@0.5", max_drop=0.01, floor=0.8)
    assert judged(seen(400, by_both=40), kept).outcome is Outcome.PASS
    missed = judged(seen(400, by_both=40), Budget(metric="map@0.5", max_drop=0.01, floor=0.89))
    assert missed.outcome is Outcome.FAIL
    assert "floor 89.00%" in missed.why


@pytest.mark.parametrize("boxes", [None, seen(2), ComparedBoxes([CROWD] * 3, [FOUND] * 3, [FOUND] * 3, ("short",))])
def test_without_boxes_there_is_nothing_to_judge(boxes: ComparedBoxes | None) -> None:
    with pytest.raises(DataError, match=r"map@0\.5"):
        judged(boxes, count=3)


def test_names_say_the_overlap_or_several() -> None:
    assert metric_named("map@0.33").ious == (0.33,)
    assert metric_named("map@.5").ious == (0.5,)
    assert metric_named("map@0.5:0.95").ious == pytest.approx([0.5 + 0.05 * step for step in range(10)])
    assert family_of("map@0.33") in ObjectDetection.metrics
    assert family_of("escape_rate") == "escape_rate"


@pytest.mark.parametrize(
    "name", ["map", "map@", "map@50", "map@1.0", "map@0", "map@0.0", "map@0.9:0.5", "map@0.5:0.52"]
)
def test_what_is_no_overlap_is_no_metric(name: str) -> None:
    with pytest.raises(RecipeError, match="no metric called") as caught:
        metric_named(name)
    assert "map@0.5" in str(caught.value.expected)


TASK = ObjectDetection(classes=("short", "open"), head="yolov8")


def test_low_scores_are_ranked_whatever_the_band_and_doubles_are_not() -> None:
    rows = np.array(
        [[0.1, 0.1, 0.2, 0.2, 0.02, 0.0], [0.1, 0.1, 0.2, 0.2, 0.03, 0.7], [0.5, 0.5, 0.6, 0.6, 0.005, 0.0]]
    )
    ranked = TASK.rank(rows)
    assert ranked.scores.tolist() == [0.7, 0.03]
    assert ranked.kinds.tolist() == [1, 0]
    assert len(TASK.find(rows)) == 1
    assert len(TASK.rank(np.full((3, 6), np.nan)).scores) == 0


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("map@.50", "map@0.5"),
        ("map@0.5:0.5", "map@0.5"),
        ("map@.5:.950", "map@0.5:0.95"),
        ("escape_rate", "escape_rate"),
        ("map@1", "map@1"),
    ],
)
def test_a_metric_has_one_spelling_and_one_budget(spelled: str, name: str) -> None:
    assert plain_name(spelled) == Budget(metric=spelled, max_drop=0.1).metric == name
    with pytest.raises(DataError, match="two budgets"):
        budgets_by_metric([Budget(metric=spelled, max_drop=0.1), Budget(metric=name, max_drop=0.2)])


def test_a_metric_is_found_under_any_spelling() -> None:
    assert metric_named("map@.50") == metric_named("map@0.5")
