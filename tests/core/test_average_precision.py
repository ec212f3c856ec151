"""Average precision: by hand, against a literal implementation, and what a bootstrap over pictures makes of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_core.average_precision import ComparedBoxes, compare, curves_of, mean_average_precision
from edgemill_core.average_precision.drop import draws, expanded
from edgemill_core.average_precision.matching import FALSE, HIT, NEITHER, match
from edgemill_core.inspection.labelled import Detections, Labelled, labelled_in
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.samples import TrueBox, Truth
from edgemill_core.statistics.bootstrap import SEED

SIDE = 0.1
"""Boxes of the tests stand on a grid, each of this side, so that two are the same or strangers."""


def box(place: float) -> list[float]:
    """The box at a place; a place and a half overlaps its two neighbours by one third."""
    return [place * SIDE, 0.0, place * SIDE + SIDE, SIDE]


def found(*those: tuple[float, float, int]) -> Detections:
    """Detections from (place, score, kind)."""
    ranked = sorted(those, key=lambda one: -one[1])
    corners = np.array([box(place) for place, _, _ in ranked]).reshape(-1, 4)
    return Detections(corners, np.array([s for _, s, _ in ranked], float), np.array([k for *_, k in ranked], np.int64))


def labelled(*those: tuple[float, int], ignored: int = 0) -> Labelled:
    """Labels from (place, kind), of which the last so many are ignored."""
    corners = np.array([box(place) for place, _ in those]).reshape(-1, 4)
    counts = np.arange(len(those)) >= len(those) - ignored
    return Labelled(corners, np.array([kind for _, kind in those], np.int64), counts)


def value(detections: list[Detections], labels: list[Labelled], iou: float = 0.5) -> float:
    once = np.ones((len(labels), 1), np.float32)
    return float(mean_average_precision(curves_of(detections, labels, [iou]), once)[0])


def test_all_found_and_nothing_else_is_one() -> None:
    assert value([found((0, 0.9, 0), (3, 0.2, 1))], [labelled((0, 0), (3, 1))]) == 1.0
    assert value([found()], [labelled((0, 0))]) == 0.0


def test_a_curve_by_hand() -> None:
    # Hit .9, false .8, hit .7, false .6, hit .5; four are there: recall .25, .5, .75 at precision 1, 2/3, 3/5.
    seen = found((0, 0.9, 0), (8, 0.8, 0), (1, 0.7, 0), (9, 0.6, 0), (2, 0.5, 0))
    labels = labelled((0, 0), (1, 0), (2, 0), (3, 0))
    assert value([seen], [labels]) == pytest.approx(0.25 * (1 + 2 / 3 + 3 / 5))


def test_precision_is_made_never_to_rise_from_the_right() -> None:
    # False .9, then two hits: precision 1/2, 2/3; the better one behind counts for both.
    assert value([found((8, 0.9, 0), (0, 0.8, 0), (1, 0.7, 0))], [labelled((0, 0), (1, 0))]) == pytest.approx(2 / 3)


def test_the_ranking_goes_over_all_pictures() -> None:
    pictures = [found((0, 0.6, 0)), found((8, 0.9, 0), (1, 0.5, 0))]
    assert value(pictures, [labelled((0, 0)), labelled((1, 0))]) == pytest.approx((1 / 2 + 2 / 3) / 2 + 1 / 12)


def test_equal_scores_are_one_threshold() -> None:
    for pictures in ([found((0, 0.5, 0)), found((8, 0.5, 0))], [found((8, 0.5, 0)), found((0, 0.5, 0))]):
        labels = [labelled((0, 0)), labelled((0, 0))]
        assert value(pictures, labels) == pytest.approx(0.25)


def test_classes_without_labels_do_not_count_and_the_others_count_alike() -> None:
    seen = [found((0, 0.9, 0), (5, 0.8, 2), (1, 0.7, 1), (9, 0.9, 1))]
    assert value(seen, [labelled((0, 0), (1, 1))]) == pytest.approx((1 + 0.5) / 2)


def test_the_surest_takes_the_label_and_a_second_one_is_false() -> None:
    marks = match(np.array([box(0), box(0)]), np.array([box(0)]), np.zeros(1, bool), [0.5])
    assert marks.tolist() == [[HIT, FALSE]]


def test_each_overlap_is_judged_by_itself() -> None:
    marks = match(np.array([box(0.5)]), np.array([box(0)]), np.zeros(1, bool), [0.3, 1 / 3 - 1e-9, 0.34, 0.5])
    assert marks[:, 0].tolist() == [HIT, HIT, FALSE, FALSE]


def test_the_second_takes_the_label_that_is_left() -> None:
    # Both overlap both labels; the surest sits on the first, so the second one gets the other.
    marks = match(np.array([box(0), box(0.5)]), np.array([box(0), box(1)]), np.zeros(2, bool), [0.3])
    assert marks.tolist() == [[HIT, HIT]]


def test_what_lies_in_an_ignored_box_counts_neither_way() -> None:
    crowd = np.array([[0.0, 0.0, 1.0, 1.0]])
    boxes = np.concatenate([np.array([box(2)]), crowd])
    marks = match(np.array([box(2), box(7)]), boxes, np.array([False, True]), [0.5])
    assert marks.tolist() == [[HIT, NEITHER]]
    assert value([found((0, 0.9, 0), (5, 0.95, 0))], [labelled((0, 0), (5, 0), ignored=1)]) == 1.0


def literal(detections: list[Detections], labels: list[Labelled], times: list[int], iou: float) -> float:
    """Word for word: repeat the pictures, rank, walk down every threshold, take the best precision behind."""
    repeated = [index for index, count in enumerate(times) for _ in range(count)]
    kinds = sorted({int(k) for index in repeated for k in labels[index].kinds})
    areas = []
    for kind in kinds:
        ranked, total = [], 0
        for index in repeated:
            free = [c.tolist() for c, k in zip(labels[index].corners, labels[index].kinds, strict=True) if k == kind]
            total += len(free)
            seen = detections[index]
            for corners, score, of in zip(seen.corners.tolist(), seen.scores, seen.kinds, strict=True):
                if of == kind:
                    best = max(free, key=lambda label: overlap(corners, label), default=None)
                    hit = best is not None and overlap(corners, best) >= iou
                    if hit:
                        free.remove(best)
                    ranked.append((score, hit))
        points = [(0.0, 0.0)]
        for threshold in sorted({score for score, _ in ranked}, reverse=True):
            above = [hit for score, hit in ranked if score >= threshold]
            points.append((sum(above) / total, sum(above) / len(above)))
        areas.append(
            sum(
                (recall - points[i][0]) * max(p for _, p in points[i + 1 :]) for i, (recall, _) in enumerate(points[1:])
            )
        )
    return sum(areas) / len(areas)


def overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    shared = width * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    return shared / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared)


PLACES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.25, 2.0])
SCORES = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])
KINDS = st.integers(0, 1)
PICTURES = st.lists(
    st.tuples(
        st.lists(st.tuples(PLACES, SCORES, KINDS), max_size=5),
        st.lists(st.tuples(PLACES, KINDS), max_size=3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(PICTURES, st.sampled_from([0.3, 0.55, 0.9]))
def test_weights_are_worth_the_same_as_pictures_repeated(
    pictures: list[tuple[list[tuple[float, float, int]], list[tuple[float, int]], int]], iou: float
) -> None:
    detections, labels = [found(*seen) for seen, _, _ in pictures], [labelled(*there) for _, there, _ in pictures]
    times = [count for *_, count in pictures]
    got = mean_average_precision(curves_of(detections, labels, [iou]), np.array(times, np.float32)[:, None])[0]
    if any(len(label.kinds) and count for label, count in zip(labels, times, strict=True)):
        assert got == pytest.approx(literal(detections, labels, times, iou), abs=1e-6)
    else:
        assert np.isnan(got)


def a_world(count: int, seed: int, lost: float, unsure: float = 0.0) -> ComparedBoxes:
    """``count`` pictures with three boxes of two classes; the variant misses some, and scores differ by chance."""
    rng = np.random.default_rng(seed)
    there, before, after = [], [], []
    for _ in range(count):
        boxes = [(float(place), int(rng.integers(2))) for place in range(3)]
        seen = [(place, 0.5 + float(rng.random()) / 2, kind) for place, kind in boxes]
        there.append(labelled(*boxes))
        before.append(found(*seen, (8.0, float(rng.random()) / 2, 0)))
        kept = [
            (place, score - unsure * float(rng.random()), kind) for place, score, kind in seen if rng.random() >= lost
        ]
        after.append(found(*kept, (8.0, float(rng.random()) / 2, 1)))
    return ComparedBoxes(there, before, after, ("short", "open"))


def test_the_same_detections_are_bounded_by_what_was_not_seen() -> None:
    world = a_world(120, 1, 0.0)
    same = ComparedBoxes(world.labelled, world.reference, world.reference, world.classes)
    drop = compare(same, [0.5], 0.95)
    fewest = min(sum((picture.kinds == kind).any() for picture in world.labelled) for kind in (0, 1))
    assert (drop.seen, drop.worse, drop.better) == (0, 0, 0)
    assert drop.upper == pytest.approx((1 - 0.05 ** (1 / fewest)) / 2)
    assert drop.rarest[1] == fewest
    assert drop.lower == -drop.upper


def test_bounds_lie_around_what_was_seen_and_are_the_same_each_time() -> None:
    world = a_world(60, 2, 0.1, 0.3)
    one, two = compare(world, [0.5], 0.95), compare(world, [0.5], 0.95)
    assert one == two
    assert one.lower < one.seen < one.upper
    assert one.variant_lower < one.variant < one.reference
    assert compare(world, [0.5], 0.99).upper > one.upper
    assert 0 < one.worse <= 60


def test_a_range_of_overlaps_is_the_mean_of_its_parts() -> None:
    world = a_world(20, 3, 0.2)
    each = [compare(world, [iou], 0.9).variant for iou in (0.5, 0.75)]
    assert compare(world, [0.5, 0.75], 0.9).variant == pytest.approx(sum(each) / 2)


def test_so_many_pictures_as_are_said_to_be_needed_would_do() -> None:
    drop = compare(a_world(60, 4, 0.02), [0.5], 0.95)
    needed = drop.pictures_needed(0.06)
    assert needed is not None
    assert 60 < needed < 600
    scale = needed / 60
    spread = drop.upper - drop.allowance - drop.seen
    assert drop.seen + spread / scale**0.5 + drop.allowance / scale == pytest.approx(0.06, rel=0.02)
    assert drop.pictures_needed(drop.seen) is None


def test_few_pictures_ask_for_more_distance() -> None:
    levels = [expanded(0.95, count) for count in (1, 2, 5, 20, 1000)]
    assert levels[0] == 1.0
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == pytest.approx(0.95, abs=1e-3)
    # Student's t with 19 degrees of freedom at 95 % is 1.729; times the root of 20/19 that is 1.774 of the normal's.
    assert expanded(0.95, 20) == pytest.approx(0.9620, abs=2e-4)


def test_draws_are_of_as_many_pictures_as_there_are() -> None:
    weights = draws(7, 0.95)
    assert weights.shape == (7, 2000)
    assert (weights.sum(axis=0) == 7).all()
    assert draws(7, 0.999).shape[1] == 20_000


def test_draws_come_in_pieces_and_are_kept() -> None:
    draws.cache_clear()
    tracemalloc.start()
    weights = draws(3000, 0.95)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    at_once = np.random.default_rng(SEED).multinomial(3000, np.full(3000, 1 / 3000), size=2000).T
    assert np.array_equal(weights, at_once)
    assert most < weights.nbytes + 20_000_000
    assert draws(3000, 0.95) is weights
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1


def test_a_true_drop_is_seldom_above_the_bound_and_often_above_that_of_a_bootstrap_alone() -> None:
    """Losing 1 % of the boxes, at scores like the others', costs 1 % of average precision; often none is seen lost."""
    drops = [compare(a_world(40, 1000 + index, 0.01), [0.5], 0.95) for index in range(40)]
    true = 0.01 * float(np.mean([drop.reference for drop in drops]))
    missed = sum(drop.upper < true for drop in drops)
    alone = sum(drop.upper - drop.allowance < true for drop in drops)
    # Of 40 at 5 % each, 5 or more come in one case of 20.
    assert missed <= 4 < alone


def test_boxes_of_one_picture_are_feared_to_be_lost_together() -> None:
    there, all_found = [labelled((0, 0), (1, 0), (2, 0))] * 50, [found((0, 0.9, 0), (1, 0.8, 0), (2, 0.7, 0))] * 50
    drop = compare(ComparedBoxes(there, all_found, all_found, ("short",)), [0.5], 0.95)
    assert drop.allowance == pytest.approx(1 - 0.05 ** (1 / 50))
    assert drop.rarest == ("short", 50)
    one = compare(ComparedBoxes(there[:1], all_found[:1], all_found[:1], ("short",)), [0.5], 0.95)
    assert one.upper == pytest.approx(0.95), "a single picture shows next to nothing, whatever it holds"


REGION = PictureInput(size=(10, 10), region=Region(x=50, y=20, width=100, height=50))
CLASSES = ("short", "open")


def a_truth(*boxes: TrueBox) -> Truth:
    return Truth(good=False, boxes=boxes, size=(200, 100))


def test_labels_come_into_the_frame_that_the_model_sees() -> None:
    whole = labelled_in(a_truth(TrueBox("open", 20, 50, 60, 75)), CLASSES, PictureInput(size=(10, 10)))
    assert whole.corners.tolist() == [[0.1, 0.5, 0.3, 0.75]]
    assert whole.kinds.tolist() == [1]
    inside = labelled_in(a_truth(TrueBox("short", 60, 30, 100, 45)), CLASSES, REGION)
    assert inside.corners == pytest.approx(np.array([[0.1, 0.2, 0.5, 0.5]]))
    assert not inside.ignored.any()


@pytest.mark.parametrize(("left", "there", "ignored"), [(41, 1, False), (40, 1, False), (39, 1, True), (30, 0, False)])
def test_a_box_that_the_region_cuts_is_cut_and_counts_if_half_of_it_is_seen(
    left: float, there: int, ignored: bool
) -> None:
    found_there = labelled_in(a_truth(TrueBox("short", left, 30, left + 20, 45)), CLASSES, REGION)
    assert len(found_there.corners) == there
    assert found_there.ignored.any() == ignored
    assert (found_there.corners[:, 0] == 0).all()


def test_a_truth_without_boxes_is_no_truth_without_things() -> None:
    with pytest.raises(ValueError, match="without boxes"):
        labelled_in(Truth(good=True), CLASSES, REGION)
    assert len(labelled_in(a_truth(), CLASSES, REGION).corners) == 0
