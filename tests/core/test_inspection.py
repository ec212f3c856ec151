"""Rules over findings, boxes that stand for one thing, connected regions, and the three tasks that use them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from edgemill_core.errors import RecipeError
from edgemill_core.inspection import Band, Box, Finding, Rule, Zone, decide, in_words
from edgemill_core.inspection.boxes import intersection_over_union, suppress
from edgemill_core.inspection.findings import MOST_LISTED
from edgemill_core.inspection.regions import regions
from edgemill_core.tasks import ImageClassification, ObjectDetection, Segmentation, Task, task_from, tuned
from edgemill_core.verdict import Decision, Verdict

BAND = Band(uncertain_from=0.4, sure_from=0.7)
SCORES = (0.1, 0.5, 0.9)
"""Nothing, possible, sure."""


def finding(score: float, kind: str = "open", box: Box | None = None) -> Finding:
    box = box or Box(0.4, 0.4, 0.6, 0.6)
    return Finding(kind, score, box, box.area)


@pytest.mark.parametrize("limits", [(0, 0), (0, 2), (1, None), (2, 2), (1, 3), (3, None)])
@pytest.mark.parametrize("count", range(5))
def test_a_decision_is_that_of_every_number_that_is_possible(limits: tuple[int, int | None], count: int) -> None:
    least, most = limits
    rule = Rule(at_least=least, at_most=most)
    for scores in product(SCORES, repeat=count):
        sure, possible = sum(s >= 0.7 for s in scores), sum(s >= 0.4 for s in scores)
        holds = [least <= n <= (n if most is None else most) for n in range(sure, possible + 1)]
        expected = Decision.PASS if all(holds) else Decision.REJECT if not any(holds) else Decision.UNCERTAIN
        ruling = decide([finding(score) for score in scores], [rule], BAND)
        assert ruling.decision is expected, scores
        assert bool(ruling.reasons) == (expected is not Decision.PASS)


def test_a_broken_rule_outweighs_one_in_doubt_and_says_why() -> None:
    rules = [Rule(classes=("short",), at_most=0), Rule(classes=("screw",), at_least=2), Rule(at_most=9)]
    found = [finding(0.5, "short"), finding(0.9, "screw")]
    ruling = decide(found, rules, BAND)
    assert ruling.decision is Decision.REJECT
    assert ruling.reasons == ("1 screw, at least 2 needed",)
    ruling = decide([*found, finding(0.8, "screw")], rules, BAND)
    assert ruling.decision is Decision.UNCERTAIN
    assert ruling.reasons == ("0 to 1 short, at most 0 allowed: short 0.50",)
    assert ruling.confidence == 0.5


@pytest.mark.parametrize(
    ("scores", "rule", "decision", "confidence"),
    [
        ([], Rule(at_most=0), Decision.PASS, 1.0),
        ([0.3], Rule(at_most=0), Decision.PASS, 0.7),
        ([0.9, 0.8], Rule(at_least=2, at_most=2), Decision.PASS, 0.8),
        ([0.9, 0.8, 0.3], Rule(at_least=2, at_most=2), Decision.PASS, 0.7),
        ([0.9, 0.8], Rule(at_most=1), Decision.REJECT, 0.8),
        ([0.9, 0.1], Rule(at_least=2), Decision.REJECT, 0.9),
        ([0.9], Rule(at_least=2), Decision.REJECT, 1.0),
        ([0.6], Rule(at_most=0), Decision.UNCERTAIN, 0.4),
        ([7.5], Rule(at_most=0), Decision.REJECT, 1.0),
    ],
)
def test_confidence_is_that_of_the_finding_on_which_it_hangs(
    scores: list[float], rule: Rule, decision: Decision, confidence: float
) -> None:
    ruling = decide([finding(score) for score in scores], [rule], BAND)
    assert (ruling.decision, ruling.confidence) == (decision, pytest.approx(confidence))


def test_only_what_is_of_the_class_in_the_zone_and_of_the_size_counts() -> None:
    rule = Rule(classes=("open",), zone=Zone(left=0.5, right=1.0, bottom=0.5), min_area=0.01, max_area=0.05, at_most=0)
    counted = finding(0.9, box=Box(0.6, 0.1, 0.8, 0.3))
    assert rule.counts(counted)
    assert not rule.counts(finding(0.9, "short", counted.box))
    assert not rule.counts(finding(0.9, box=Box(0.3, 0.1, 0.5, 0.3)))
    assert not rule.counts(finding(0.9, box=Box(0.6, 0.6, 0.8, 0.8)))
    assert not rule.counts(finding(0.9, box=Box(0.6, 0.1, 0.65, 0.15)))
    assert not rule.counts(finding(0.9, box=Box(0.5, 0.0, 1.0, 0.4)))


def test_neighbouring_zones_share_no_point_and_miss_none() -> None:
    left, right = Zone(right=0.5), Zone(left=0.5)
    for x in (0.0, 0.25, 0.4999, 0.5, 0.75, 1.0):
        assert left.holds((x, 1.0)) != right.holds((x, 1.0))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Band, {"uncertain_from": 0.7, "sure_from": 0.4}),
        (Zone, {"left": 0.5, "right": 0.5}),
        (Zone, {"top": 0.5, "bottom": 0.2}),
        (Rule, {}),
        (Rule, {"at_least": 3, "at_most": 2}),
        (Rule, {"at_most": 0, "min_area": 0.5, "max_area": 0.1}),
        (Rule, {"at_most": 0, "zones": 1}),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.model_validate(wrong)


corner = st.integers(0, 12).map(lambda value: value / 12)
boxes_of = st.lists(st.tuples(corner, corner, corner, corner, st.integers(0, 4), st.integers(0, 1)), max_size=12)


@given(boxes_of)
def test_suppression_keeps_what_the_plain_loop_keeps(rows: list[tuple[float, ...]]) -> None:
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d, _, _ in rows]).reshape(-1, 4)
    scores = np.array([row[4] / 4 for row in rows], np.float64)
    kinds = np.array([row[5] for row in rows], np.int64)
    kept: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: -scores[i]):
        rivals = [k for k in kept if kinds[k] == kinds[index]]
        if all(plain_overlap(boxes[k], boxes[index]) <= 0.4 for k in rivals):
            kept.append(index)
    assert list(suppress(boxes, scores, kinds, 0.4)) == kept


def plain_overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared)) if sum(areas) - shared > 0 else 0.0


def test_overlap_of_known_boxes() -> None:
    one = np.array([[0.0, 0.0, 2.0, 2.0]])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [5, 5, 5, 5]], np.float64)
    assert intersection_over_union(one, others)[0] == pytest.approx([1, 1 / 7, 0, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_regions_are_those_of_another_library(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(regions(mask), label(mask, connectivity=2))


def test_a_spiral_and_a_comb_are_one_region_each() -> None:
    comb = np.zeros((9, 31), bool)
    comb[:, ::2] = True
    assert regions(comb).max() == 16
    comb[-1] = True
    assert regions(comb).max() == 1
    snake = comb.copy()
    snake[-1], snake[-1, 1::4], snake[0, 3::4] = False, True, True
    assert regions(snake).max() == label(snake, connectivity=2).max() == 1


DETECTOR = {"name": "object-detection", "classes": ["open", "short"], "head": "detections"}


def detect(rows: list[list[float]], **more: Any) -> Verdict:
    task = task_from({**DETECTOR, **more})
    return task.verdict({"detections": np.array(rows, np.float32).reshape(1, -1, 6)}, {})


def test_a_detector_without_rules_lets_nothing_pass_that_it_found() -> None:
    nothing = detect([[0.1, 0.1, 0.2, 0.2, 0.02, 0.3]])
    assert (nothing.decision, nothing.reading["found"]) == (Decision.PASS, {})
    assert nothing.confidence == pytest.approx(0.7)
    assert in_words(nothing.reading) == {"found": "nothing"}
    twice = [[0.1, 0.1, 0.2, 0.2, 0.8, 0.0], [0.1, 0.1, 0.21, 0.2, 0.9, 0.0], [0.5, 0.5, 0.6, 0.6, 0.0, 0.6]]
    verdict = detect(twice)
    assert verdict.decision is Decision.REJECT
    assert verdict.confidence == pytest.approx(0.9)
    assert verdict.reasons == ("2 found, at most 0 allowed: open 0.90, short 0.60",)
    assert in_words(verdict.reading) == {"found": "1 open, 1 short"}
    assert verdict.reading["findings"][0]["box"] == [0.1, 0.1, 0.21, 0.2]  # type: ignore[index]


def test_a_band_of_a_rules_own_is_used_for_that_rule_alone() -> None:
    rules = [
        {"classes": ["open"], "at_most": 0, "band": {"uncertain_from": 0.1, "sure_from": 0.2}},
        {"classes": ["short"], "at_most": 0},
    ]
    assert detect([[0, 0, 0.1, 0.1, 0.15, 0.3]], rules=rules).decision is Decision.UNCERTAIN
    assert detect([[0, 0, 0.1, 0.1, 0.25, 0.3]], rules=rules).decision is Decision.REJECT


def test_boxes_beyond_the_picture_are_cut_and_a_flood_stays_small() -> None:
    rng = np.random.default_rng(3)
    corners = rng.random((5000, 2)) * 1.2 - 0.1
    rows = np.concatenate([corners, corners + 0.01, np.full((5000, 1), 0.9), np.zeros((5000, 1))], axis=1)
    verdict = detect(rows.tolist())
    listed = verdict.reading["findings"]
    assert isinstance(listed, list)
    assert len(listed) == MOST_LISTED < sum(verdict.reading["found"].values()) <= 1000  # type: ignore[attr-defined]
    assert all(0 <= value <= 1 for finding in listed for value in finding["box"])


def test_many_boxes_of_other_things_never_push_a_defect_out() -> None:
    grid = [[x / 8, y / 5, x / 8 + 0.05, y / 5 + 0.05] for x in range(8) for y in range(5)]
    crowd = [[*box[:2], box[2], box[3] + shift / 1000, 0.0, 0.95 - shift / 100] for box in grid for shift in range(8)]
    rules = [{"classes": ["open"], "at_most": 0}, {"classes": ["short"], "at_least": 40}]
    assert detect(crowd, rules=rules).decision is Decision.PASS
    verdict = detect([*crowd, [0.3, 0.9, 0.35, 0.95, 0.75, 0.0]], rules=rules)
    assert verdict.decision is Decision.REJECT
    assert verdict.reading["found"] == {"open": 1, "short": 40}


def test_what_is_too_crowded_to_be_told_apart_does_not_pass() -> None:
    side = 40
    crowd = [[x / side, y / side, (x + 1) / side, (y + 1) / side, 0.9, 0.0] for x in range(side) for y in range(side)]
    verdict = detect(crowd, rules=[{"classes": ["short"], "at_most": 0}])
    assert (verdict.decision, verdict.confidence) == (Decision.UNCERTAIN, 0.0)
    assert verdict.reasons == ("1000 or more open: more than are told apart",)
    assert detect(crowd).decision is Decision.REJECT
    assert detect(crowd[:999], rules=[{"classes": ["short"], "at_most": 0}]).decision is Decision.PASS


def test_specks_never_push_a_region_out() -> None:
    task = task_from({"name": "segmentation", "rules": [{"at_most": 0, "min_area": 0.01}]})
    scores = np.zeros((1, 1, 200, 200), np.float32)
    scores[..., ::4, 100::4] = 0.9
    assert task.verdict({"map": scores}, {}).decision is Decision.PASS
    scores[..., 10:60, 10:60] = 0.8
    assert task.verdict({"map": scores}, {}).decision is Decision.REJECT


def test_a_value_that_is_no_number_never_passes() -> None:
    verdict = detect([[0, 0, 0.1, 0.1, float("nan"), 0]])
    assert verdict.decision is Decision.REJECT
    assert verdict.broken


def segment(maps: np.ndarray, **more: Any) -> Verdict:
    return task_from({"name": "segmentation", **more}).verdict({"map": maps[None].astype(np.float32)}, {})


def test_an_anomaly_map_gives_regions_with_their_place_size_and_peak() -> None:
    scores = np.zeros((1, 10, 20))
    scores[0, 2:4, 5:8], scores[0, 3, 7], scores[0, 8, 19] = 6.0, 9.0, 4.0
    band = {"uncertain_from": 3.0, "sure_from": 5.0}
    verdict = segment(scores, band=band)
    assert verdict.decision is Decision.REJECT
    assert verdict.reading["findings"] == [
        {"class": "anomaly", "score": 9.0, "box": [0.25, 0.2, 0.4, 0.4], "area": 0.03},
        {"class": "anomaly", "score": 4.0, "box": [0.95, 0.8, 1.0, 0.9], "area": 0.005},
    ]
    small = [{"at_most": 0, "min_area": 0.04}]
    assert segment(scores, band=band, rules=small).decision is Decision.PASS
    scores[scores >= 5] = 0
    assert segment(scores, band=band).decision is Decision.UNCERTAIN


def test_nothing_is_found_of_the_background() -> None:
    maps = np.stack([np.ones((4, 4)), np.eye(4)])
    verdict = segment(maps, classes=["board", "scratch"], background="board")
    assert verdict.reading["found"] == {"scratch": 1}


CLASSES = {"name": "image-classification", "classes": ["good", "worn", "broken"], "fit": ["good", "worn"]}


@pytest.mark.parametrize(
    ("row", "decision", "confidence"),
    [
        ([0.6, 0.3, 0.1], Decision.PASS, 0.9),
        ([0.45, 0.1, 0.45], Decision.UNCERTAIN, 0.55),
        ([0.1, 0.1, 0.8], Decision.REJECT, 0.8),
        ([0.4, 0.4, 0.2], Decision.PASS, 0.8),
    ],
)
def test_what_is_judged_is_how_fit_it_is(row: list[float], decision: Decision, confidence: float) -> None:
    task = task_from({**CLASSES, "limits": {"reject_below": 0.3, "pass_from": 0.8}})
    verdict = task.verdict({"probabilities": np.array([row])}, {})
    assert (verdict.decision, verdict.confidence) == (decision, pytest.approx(confidence))
    assert verdict.reading == {"class": CLASSES["classes"][int(np.argmax(row))]}


@pytest.mark.parametrize(
    "wrong",
    [
        {**CLASSES, "fit": ["fine"]},
        {**CLASSES, "classes": ["good", "good"]},
        {**CLASSES, "fit": ["good", "good"]},
        {**CLASSES, "limits": {"reject_below": 0.8, "pass_from": 0.3}},
        {**DETECTOR, "head": "ssd"},
        {**DETECTOR, "rules": []},
        {**DETECTOR, "rules": [{"classes": ["scratch"], "at_most": 0}]},
        {"name": "segmentation", "background": "board"},
        {"name": "segmentation", "rules": [{"at_most": 0, "band": {}}]},
        {"name": "segmentation", "classes": ["a", "b"], "background": "a", "rules": [{"classes": ["a"], "at_most": 0}]},
    ],
)
def test_a_task_that_does_not_fit_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="cannot use setting"):
        task_from(wrong)


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (ObjectDetection.model_validate(DETECTOR), {"band": {"uncertain_from": 0.2, "sure_from": 0.3}}),
        (Segmentation(), {"rules": [{"at_most": 2}]}),
        (ImageClassification.model_validate(CLASSES), {"limits": {"reject_below": 0.1, "pass_from": 0.2}}),
    ],
)
def test_a_box_may_set_what_is_made_of_an_output_and_nothing_else(task: Task, changes: dict[str, Any]) -> None:
    changed = tuned(task, changes)
    assert changed != task
    assert tuned(changed, {name: task.model_dump(mode="json")[name] for name in changes}) == task
    with pytest.raises(RecipeError, match="cannot be tuned so") as caught:
        tuned(task, {**changes, "classes": ["a", "b"]})
    assert caught.value.got == "classes"
