"""Chains: which may follow which, where a stage looks, and one verdict over all."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgemill_core.chain import Crop, Crops, Look, Seen, Stage, StageSaw, check_order, check_tasks, conclude, crops_in
from edgemill_core.inspection import Box, Finding, findings_in, in_words, reading_of
from edgemill_core.picture_input import Region
from edgemill_core.tasks import task_from
from edgemill_core.verdict import Decision, Verdict

PASS, REJECT, UNCERTAIN = Decision.PASS, Decision.REJECT, Decision.UNCERTAIN
WORST = {PASS: 0, UNCERTAIN: 1, REJECT: 2}
FIND = Stage(name="find")
PICTURE = (200, 100)
WHOLE = Look(Region(x=0, y=0, width=200, height=100))


def finding(score: float = 0.9, box: tuple[float, float, float, float] = (0.1, 0.2, 0.3, 0.6), kind: str = "label"):
    return Finding(kind, score, Box(*box), 0.01)


def stage(**settings: Any) -> Stage:
    return Stage(name="read", crops_of="find", **settings)


def crops(findings: list[Finding], look: Look = WHOLE, picture: tuple[int, int] = PICTURE, **settings: Any) -> Crops:
    return crops_in(stage(**settings), [(look, reading_of(findings))], picture)


def region(x: int, y: int, width: int, height: int) -> Region:
    return Region(x=x, y=y, width=width, height=height)


# Which may follow which


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        ([{"name": "a"}, {"name": "a"}], "two stages are called a"),
        ([{"name": "a", "crops_of": "b"}, {"name": "b", "crops_of": "a"}], "a takes crops of b; before it there is no"),
        ([{"name": "a"}, {"name": "b", "crops_of": "c"}, {"name": "c"}], "b takes crops of c; before it there is a"),
        ([{"name": "a"}, {"name": "b", "crops_of": "b"}], "b takes crops of b"),
        ([{"name": "a", "decides": False}, {"name": "b", "crops_of": "a", "decides": False}], "no stage decides"),
    ],
)
def test_stages_that_cannot_follow_one_another_are_refused(stages: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_order([Stage(**one) for one in stages])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"name": "a", "margin": 0.1}, "margin: only with crops_of"),
        ({"name": "a", "classes": ["x"], "required": 1}, "classes, required: only with crops_of"),
        ({"name": "a", "crops_of": "b", "at_most": 2, "required": 3}, "required is not above at_most"),
        ({"name": "a", "crops_of": "b", "at_most": 0}, "at_most"),
        ({"name": "a", "crops_of": "b", "rotate": 45}, "rotate"),
        ({"name": "../a"}, "name"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Stage(**settings)


def test_a_stage_reads_back_as_it_was_written() -> None:
    assert Stage.model_validate(FIND.model_dump(mode="json")) == FIND


TASKS = {
    "find": task_from({"name": "object-detection", "classes": ["label"], "head": "yolov8"}),
    "mark": task_from({"name": "segmentation"}),
    "read": task_from({"name": "text-recognition", "alphabet": "AB"}),
}


def test_crops_are_taken_of_finders_only_and_of_their_classes() -> None:
    check_tasks([FIND, stage(classes=("label",))], TASKS)
    check_tasks([Stage(name="mark"), Stage(name="read", crops_of="mark", classes=("anomaly",))], TASKS)
    with pytest.raises(ValueError, match="read takes crops of box; find has label"):
        check_tasks([FIND, stage(classes=("label", "box"))], TASKS)
    with pytest.raises(ValueError, match="whose task text-recognition finds no boxes"):
        check_tasks([Stage(name="read"), Stage(name="find", crops_of="read")], TASKS)


# Where a stage looks


def test_a_box_in_shares_becomes_pixels_of_the_whole_picture() -> None:
    (crop,) = crops([finding()]).taken
    assert crop.look == Look(region(20, 20, 40, 40))
    assert crop.where == (0.1, 0.2, 0.3, 0.6)
    within = Look(region(100, 50, 100, 50))
    assert crops([finding()], within).taken[0].look == Look(region(110, 60, 20, 20))


def test_a_margin_is_a_share_of_the_box_and_clipped_to_the_picture() -> None:
    assert crops([finding()], margin=0.25).taken[0].look == Look(region(10, 10, 60, 60))
    assert crops([finding()], margin=2.0).taken[0].look == Look(region(0, 0, 140, 100))
    assert crops([finding(box=(0.9, 0.9, 1.0, 1.0))], margin=0.5).taken[0].look == Look(region(170, 85, 30, 15))
    # What lies outside the finder's own region, but in the picture, may be looked at.
    assert crops([finding(box=(0, 0, 1, 1))], Look(region(50, 20, 40, 20)), margin=0.5).taken[0].look == Look(
        region(30, 10, 80, 40)
    )


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.9), (0.5, 0.5, 0.505, 0.9), (0.9, 0.1, 0.2, 0.9), (1, 1, 1, 1)])
def test_a_crop_of_no_size_or_next_to_none_is_told_and_not_cut(box: tuple[float, float, float, float]) -> None:
    (crop,) = crops([finding(box=box)]).taken
    assert crop.look is None
    assert min(crop.size) < 4
    assert min(crop.size) >= 0


def test_the_smallest_side_that_shows_something_can_be_set() -> None:
    box = (0.1, 0.1, 0.14, 0.9)
    assert crops([finding(box=box)], smallest=8).taken[0].look is not None
    assert crops([finding(box=box)], smallest=9).taken[0].look is None


def test_only_the_classes_asked_for_are_looked_at_the_surest_first() -> None:
    found = [finding(0.9), finding(0.8, kind="hole"), finding(0.7)]
    assert [crop.finding.score for crop in crops(found, classes=("label",)).taken] == [0.9, 0.7]
    assert [crop.finding.score for crop in crops(found).taken] == [0.9, 0.8, 0.7]
    assert crops(found, classes=("hole",)).found == 1
    assert crops([], classes=("hole",)) == Crops()


def test_more_than_is_looked_at_is_counted() -> None:
    found = crops([finding(0.9), finding(0.8), finding(0.6)], at_most=1)
    assert (found.found, len(found.taken), found.surplus) == (3, 1, 0.8)


def test_what_a_reading_counts_but_does_not_list_is_surplus() -> None:
    many = [finding(0.9, kind="hole")] * 60 + [finding(0.4)] * 3
    found = crops(many, classes=("label",))
    assert (found.found, found.taken) == (3, ())
    assert found.surplus == 0.9
    told = reading_of([finding(0.9)])
    assert crops_in(stage(), [(WHOLE, {**told, "found": {"label": 2}})], PICTURE).surplus == 1.0


def test_findings_of_several_looks_are_taken_together() -> None:
    left, right = Look(region(0, 0, 100, 100)), Look(region(100, 0, 100, 100))
    looks = [(left, reading_of([finding(0.6)])), (right, reading_of([finding(0.9)]))]
    found = crops_in(stage(at_most=1), looks, PICTURE)
    assert found.taken[0].look == Look(region(110, 20, 20, 40))
    assert (found.found, found.surplus) == (2, 0.6)


def test_a_reading_gives_back_its_findings() -> None:
    found = [finding(0.9), finding(0.5, (0, 0, 1, 1), "hole")]
    assert findings_in(reading_of(found)) == found
    assert findings_in({"text": "AB"}) == []


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_box_in_a_turned_crop_is_where_it_was_before_it_was_turned(rotate: int) -> None:
    """Against numpy: a rectangle is painted, cut, turned, found again in shares, and carried back."""
    picture = np.zeros((100, 200), np.uint8)
    picture[40:55, 70:90] = 1
    look = Look(region(50, 30, 80, 40), rotate)
    turned = np.rot90(picture[30:70, 50:130], -(rotate // 90))
    y, x = np.nonzero(turned)
    height, width = turned.shape
    box = Box(x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height)
    assert look.on_picture(box) == pytest.approx((70, 40, 90, 55))
    nested = crops([Finding("label", 0.9, box, 0.1)], look, rotate=90).taken[0].look
    assert nested == Look(region(70, 40, 20, 15), (rotate + 90) % 360)


shares = st.floats(-0.2, 1.2)


@given(st.tuples(shares, shares, shares, shares), st.floats(0, 2), st.sampled_from([0, 90, 180, 270]))
def test_no_box_leads_out_of_the_picture(box: tuple[float, float, float, float], margin: float, rotate: int) -> None:
    look = Look(region(13, 7, 61, 45), rotate)
    (crop,) = crops([finding(box=box)], look, (97, 53), margin=margin).taken
    if crop.look is not None:
        cut = crop.look.region
        assert cut.x + cut.width <= 97
        assert cut.y + cut.height <= 53
        assert min(cut.width, cut.height) >= 4
    assert all(0 <= value <= 1 for value in crop.where)


# One verdict over all


def said(decision: Decision, confidence: float = 0.9, reading: dict[str, object] | None = None) -> Verdict:
    reasons = () if decision is PASS else (f"says {decision.value}",)
    return Verdict(decision, reasons, confidence, reading or {})


def on_picture(verdict: Verdict, **settings: Any) -> StageSaw:
    return StageSaw(Stage(name="find", **settings), (Seen(None, verdict),))


def on_crops(*verdicts: Verdict | None, found: int | None = None, surplus: float = 0.0, doubt=0.3, **settings: Any):
    taken = tuple(
        Crop(finding(0.8), (9, 9), None if verdict is None else Look(region(0, 0, 9, 9)), (0.1, 0.2, 0.3, 0.6))
        for verdict in verdicts
    )
    seen = tuple(Seen(crop, verdict) for crop, verdict in zip(taken, verdicts, strict=True))
    return StageSaw(stage(**settings), seen, Crops(len(taken) if found is None else found, taken, surplus), doubt)


@pytest.mark.parametrize("decisions", list(itertools.product(WORST, repeat=3)))
def test_the_worst_decision_holds_with_all_its_reasons(decisions: tuple[Decision, ...]) -> None:
    first, *others = (said(decision, 0.5 + 0.1 * index) for index, decision in enumerate(decisions))
    verdict = conclude([on_picture(first), on_crops(*others)])
    worst = max(decisions, key=WORST.__getitem__)
    assert verdict.decision is worst
    sure = [one.confidence for one in (first, *others) if one.decision is worst]
    assert verdict.confidence == (max(sure) if worst is REJECT else min(sure))
    assert len(verdict.reasons) == (0 if worst is PASS else decisions.count(worst))
    where = {True: "find: ", False: "read (label at 0.20 0.40): "}
    expected = [where[i == 0] + f"says {worst.value}" for i, d in enumerate(decisions) if d is worst is not PASS]
    assert list(verdict.reasons) == expected


@pytest.mark.parametrize("lacking", ["reject", "uncertain"])
def test_a_crop_that_must_be_there_and_is_not_is_what_the_rule_says(lacking: str) -> None:
    verdict = conclude([on_picture(said(PASS)), on_crops(required=1, classes=("label",), lacking=lacking)])
    assert verdict.decision.value == lacking
    assert verdict.reasons == ("read: 0 label by find, at least 1 needed",)
    assert verdict.confidence == pytest.approx(0.7 if lacking == "reject" else 0.3)


def test_one_of_two_needed_is_lacking_too_although_it_passes() -> None:
    assert conclude([on_picture(said(PASS)), on_crops(said(PASS), required=2)]).decision is REJECT
    assert conclude([on_picture(said(PASS)), on_crops(said(PASS), said(PASS), required=2)]).decision is PASS


@pytest.mark.parametrize("lacking", ["reject", "uncertain"])
def test_a_crop_too_small_to_show_anything_is_what_the_rule_says(lacking: str) -> None:
    verdict = conclude([on_picture(said(PASS)), on_crops(None, lacking=lacking)])
    assert verdict.decision.value == lacking
    assert verdict.reasons == ("read (label at 0.20 0.40): 9 x 9 pixels show nothing, at least 4 needed",)
    assert verdict.confidence == pytest.approx(0.8 if lacking == "reject" else 0.2)


def test_more_than_is_looked_at_is_uncertain_and_no_excuse_for_what_is_seen() -> None:
    verdict = conclude([on_picture(said(PASS)), on_crops(said(PASS), found=3, surplus=0.6)])
    assert (verdict.decision, verdict.confidence) == (UNCERTAIN, pytest.approx(0.4))
    assert verdict.reasons == ("read: 3 found by find, only 1 looked at",)
    assert conclude([on_picture(said(PASS)), on_crops(said(REJECT), found=3, surplus=0.6)]).decision is REJECT


def test_nothing_to_look_at_passes_as_surely_as_nothing_is_there() -> None:
    verdict = conclude([on_picture(said(REJECT), decides=False), on_crops(doubt=0.3)])
    assert (verdict.decision, verdict.reasons) == (PASS, ())
    assert verdict.confidence == pytest.approx(0.7)


def test_a_stage_that_does_not_decide_only_says_where_to_look() -> None:
    verdict = conclude([on_picture(said(REJECT, 0.99), decides=False), on_crops(said(PASS, 0.6))])
    assert (verdict.decision, verdict.confidence) == (PASS, 0.6)


def test_what_is_lacking_or_too_much_counts_although_the_stage_does_not_decide() -> None:
    found = on_picture(said(PASS))
    assert conclude([found, on_crops(required=1, decides=False)]).decision is REJECT
    assert conclude([found, on_crops(None, decides=False)]).decision is REJECT
    assert conclude([found, on_crops(said(REJECT), found=2, surplus=0.5, decides=False)]).decision is UNCERTAIN


@pytest.mark.parametrize("decides", [True, False])
def test_an_engine_without_a_number_rejects_whatever_the_others_say(decides: bool) -> None:
    broken = Verdict(REJECT, ("the engine gave values that are not numbers",))
    verdict = conclude([on_picture(broken, decides=decides), on_crops(said(PASS), said(REJECT))])
    assert verdict.broken
    assert verdict.reasons == ("find: the engine gave values that are not numbers",)
    assert conclude([on_picture(said(PASS)), on_crops(said(PASS), broken, decides=decides)]).broken


@given(
    st.lists(st.one_of(st.none(), st.tuples(st.sampled_from(list(WORST)), st.floats(0, 1))), max_size=4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    st.floats(-2, 3),
)
def test_every_verdict_has_a_number_and_says_why_it_is_no_pass(
    looks: list[tuple[Decision, float] | None], surplus: int, required: int, decides: bool, doubt: float
) -> None:
    verdicts = [None if look is None else said(*look) for look in looks]
    saw = on_crops(*verdicts, found=len(looks) + surplus, surplus=0.5, doubt=doubt, required=required, decides=decides)
    verdict = conclude([on_picture(said(PASS)), saw])
    assert 0 <= verdict.confidence <= 1
    assert bool(verdict.reasons) == (verdict.decision is not PASS)
    if surplus or None in verdicts or len(looks) + surplus < required:
        assert verdict.decision is not PASS
    assert str(verdict.as_dict())


def test_the_reading_tells_what_each_stage_saw_and_where() -> None:
    found = said(PASS, reading=reading_of([finding()]))
    verdict = conclude([on_picture(found), on_crops(said(PASS, 0.8, {"text": "AB"}), None)])
    stages: Any = verdict.as_dict()["reading"]["stages"]  # type: ignore[index]
    assert stages["find"]["seen"][0]["reading"]["found"] == {"label": 1}
    assert stages["read"] == {
        "found": 2,
        "seen": [
            {
                "of": "label",
                "score": 0.8,
                "box": [0.1, 0.2, 0.3, 0.6],
                "decision": "pass",
                "confidence": 0.8,
                "reading": {"text": "AB"},
            },
            {"of": "label", "score": 0.8, "box": [0.1, 0.2, 0.3, 0.6], "too_small": True},
        ],
    }
    assert in_words(verdict.reading) == {"find": "1 label", "read": "AB"}
    assert in_words(conclude([on_picture(said(PASS)), on_crops()]).reading) == {"find": "nothing", "read": "nothing"}
