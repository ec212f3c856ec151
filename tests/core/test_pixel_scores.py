"""AUPRO and IoU against their definitions, written down the slow way."""

from __future__ import annotations

import numpy as np
import pytest

from edgemill_core.errors import DataError
from edgemill_core.evidence import PixelScores, Side
from edgemill_core.inspection.regions import regions
from edgemill_core.pixel_scores import pixel_scores
from edgemill_core.samples import Truth
from edgemill_core.set_metrics import area_under_per_region_overlap, area_under_roc, intersection_over_union
from edgemill_core.tasks import Segmentation

SHAPE = (24, 32)


def pictures(count: int, seed: int, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Every second one with two defects, a small one and a large one."""
    masks = np.zeros((count, *SHAPE), np.bool_)
    masks[1::2, 2:5, 3:6] = True
    masks[1::2, 10:20, 8:25] = True
    scores = np.random.default_rng(seed).normal(size=masks.shape) + sure * masks
    return scores.astype(np.float32), masks


def looked_at(scores: np.ndarray, masks: np.ndarray, least: float = 1.0) -> PixelScores:
    return pixel_scores(len(scores), scores.__getitem__, masks.__getitem__, least)


def side(pixels: PixelScores) -> Side:
    return Side([Truth(good=count == 0) for count in pixels.regions], [], pixels)


def slow_aupro(scores: np.ndarray, masks: np.ndarray) -> float:
    """Every score is a threshold."""
    numbered = [regions(mask) for mask in masks]
    thresholds = np.unique(scores)[::-1]
    each = [
        (one[number == region], region)
        for one, number in zip(scores, numbered, strict=True)
        for region in range(1, number.max() + 1)
    ]
    good = np.sort(scores[~masks])
    false = np.concatenate(([0], 1 - np.searchsorted(good, thresholds, "left") / len(good)))
    found = [1 - np.searchsorted(np.sort(region), thresholds, "left") / len(region) for region, _ in each]
    overlap = np.concatenate(([0], np.mean(found, axis=0)))
    fine = (np.arange(20_000) + 0.5) / 20_000 * 0.3
    return float(np.interp(fine, false, overlap).mean())


@pytest.mark.parametrize("sure", [0.0, 0.7, 2.0, 9.0])
def test_aupro_against_every_threshold(sure: float) -> None:
    scores, masks = pictures(10, 1, sure)
    found = float(area_under_per_region_overlap(side(looked_at(scores, masks))).at(np.ones((10, 1), np.float32))[0])
    assert found == pytest.approx(slow_aupro(scores, masks), abs=2e-3)
    assert sure > 0 or found == pytest.approx(0.15, abs=0.05)


def test_each_region_counts_the_same_whatever_its_size() -> None:
    scores, masks = np.zeros((2, *SHAPE), np.float32), pictures(2, 1, 0)[1]
    scores[1, 2:5, 3:6] = 5  # the small one alone, 9 of 179 pixels
    statistic = area_under_per_region_overlap(side(looked_at(scores, masks)))
    (found,) = statistic.at(np.ones((2, 1), np.float32))
    # Half of the regions from the start; the other one with the good pixels of the same score.
    assert found == pytest.approx(0.5 + 0.5 * 0.15, abs=1e-3)


def test_iou_of_pictures_with_a_defect() -> None:
    masks = np.zeros((3, *SHAPE), np.bool_)
    masks[0, :4, :4] = masks[1, :4, :4] = True
    scores = np.zeros(masks.shape, np.float32)
    scores[0, :4, :4] = 1.0
    scores[1, 2:6, :4] = 2.0
    scores[2, 9:11, 9:11] = 3.0  # found where nothing is: overkill, and none of IoU's business
    statistic = intersection_over_union(side(looked_at(scores, masks)))
    assert float(statistic.at(np.ones((3, 1), np.float32))[0]) == pytest.approx((1 + 8 / 24) / 2)
    assert statistic.rarest.count == 2
    assert np.isnan(statistic.each[2])


def test_weights_are_the_same_as_pictures_that_stand_there_so_often() -> None:
    scores, masks = pictures(12, 3, 1.0)
    times = np.random.default_rng(5).integers(0, 3, 12)
    again = np.repeat(np.arange(12), times)
    for made in (area_under_per_region_overlap, intersection_over_union, area_under_roc):
        weighted = made(side(looked_at(scores, masks))).at(times[:, None].astype(np.float32))
        repeated = made(side(looked_at(scores[again], masks[again]))).at(np.ones((len(again), 1), np.float32))
        assert float(weighted[0]) == pytest.approx(float(repeated[0]), abs=2e-3)


def test_bad_parts_without_a_mask_count_neither_way() -> None:
    scores, masks = pictures(10, 2, 1.0)
    known = looked_at(scores[:8], masks[:8])
    some = pixel_scores(10, scores.__getitem__, lambda number: masks[number] if number < 8 else None, 1.0)
    for made in (area_under_per_region_overlap, intersection_over_union):
        alone = float(made(side(known)).at(np.ones((8, 1), np.float32))[0])
        assert float(made(side(some)).at(np.ones((10, 1), np.float32))[0]) == pytest.approx(alone)


def test_a_map_that_is_not_all_numbers_finds_nothing() -> None:
    scores, masks = pictures(4, 2, 9.0)
    scores[1, 0, 0] = np.nan
    pixels = looked_at(scores, masks, 4.0)
    assert pixels.fitness[1] == -np.inf
    assert pixels.shared[1] == 0
    assert pixels.shared[3] == 179
    assert pixels.overlaps[1, :-1].sum() == 0


def test_sets_without_defects_and_without_good_pixels_say_nothing() -> None:
    scores, masks = pictures(4, 2, 1.0)
    for same in (np.zeros_like(masks), np.ones_like(masks)):
        statistic = area_under_per_region_overlap(side(looked_at(scores, same)))
        assert np.isnan(statistic.at(np.ones((4, 1), np.float32))).all()
        assert not np.isfinite(statistic.each).any()


def test_verdicts_alone_are_not_enough() -> None:
    for made in (area_under_per_region_overlap, intersection_over_union):
        with pytest.raises(DataError, match="needs what the task does not give"):
            made(Side([Truth(good=True)], []))


def test_the_background_is_no_defect() -> None:
    maps = np.stack([np.full(SHAPE, 0.9), np.full(SHAPE, 0.2), np.full(SHAPE, 0.3)])
    task = Segmentation(classes=("board", "short", "open"), background="board")
    assert task.defect_scores(maps).max() == pytest.approx(0.3)
