"""From outputs and masks to what the judge says of a segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemill_converters.judging import prepare_set, verdicts_of
from edgemill_converters.labelling import check_labels
from edgemill_converters.masks import mask_of
from edgemill_converters.sight import Sight
from edgemill_core.budget import Budget, Outcome, judge
from edgemill_core.errors import DataError
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.samples import Sample, Truth
from edgemill_core.tasks import Segmentation
from edgemill_runtimes.frames import encode_png

TASK = Segmentation()
WHOLE = PictureInput(size=(16, 16))
BUDGET = [Budget(metric=name, max_drop=0.1) for name in ("auroc", "aupro", "iou")]


def mask_file(folder: Path, shape: tuple[int, int] = (32, 48)) -> Path:
    """Defective in rows 8 to 15 and columns 24 to 35."""
    drawn = np.zeros((*shape, 3), np.uint8)
    drawn[8:16, 24:36] = 255
    (folder / "mask.png").write_bytes(encode_png(drawn))
    return folder / "mask.png"


class TestMasks:
    def test_each_pixel_of_the_map_takes_the_nearest(self, tmp_path: Path) -> None:
        truth = Truth(good=False, mask=mask_file(tmp_path))
        found = mask_of(truth, WHOLE, (12, 8))
        assert found is not None
        assert np.argwhere(found).tolist() == [[y, x] for y in (2, 3) for x in (6, 7, 8)]

    def test_the_region_is_cut_out(self, tmp_path: Path) -> None:
        declared = PictureInput(size=(16, 16), region=Region(x=24, y=8, width=24, height=8))
        found = mask_of(Truth(good=False, mask=mask_file(tmp_path)), declared, (4, 2))
        assert found is not None
        assert found.tolist() == [[True, True, False, False]] * 2

    def test_good_parts_need_none(self) -> None:
        found = mask_of(Truth(good=True), WHOLE, (3, 2))
        assert found is not None
        assert found.shape == (2, 3)
        assert not found.any()
        assert mask_of(Truth(good=False), WHOLE, (3, 2)) is None

    def test_one_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"the mask .*gone\.png"):
            mask_of(Truth(good=False, mask=tmp_path / "gone.png"), WHOLE, (3, 2))

    def test_one_of_another_size_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "part.png").write_bytes(encode_png(np.zeros((30, 48, 3), np.uint8)))
        truth = Truth(good=False, mask=mask_file(tmp_path))
        with pytest.raises(DataError, match=r"the mask of part is of a picture of another size") as caught:
            prepare_set([Sample("part", tmp_path / "part.png", truth=truth)], WHOLE)
        assert "48 x 32" in str(caught.value)

    def test_a_set_without_any_is_refused(self) -> None:
        with pytest.raises(DataError, match="metric aupro needs labels") as caught:
            check_labels(["aupro"], [Sample("part", Path(), truth=Truth(good=False))], "judge")
        assert "masks" in str(caught.value)


def test_a_segmentation_is_judged_by_its_masks(tmp_path: Path) -> None:
    path = mask_file(tmp_path)
    truths = [Truth(good=number % 2 == 0, mask=path if number % 2 else None) for number in range(120)]
    samples = [Sample(str(number), Path(), truth=truth) for number, truth in enumerate(truths)]
    drawn = mask_of(truths[1], WHOLE, (12, 8))
    assert drawn is not None
    noise = np.random.default_rng(1).uniform(0, 0.3, (120, 1, 8, 12)).astype(np.float32)
    outputs = noise.copy()
    outputs[1::2, 0, drawn] += 0.6
    blind = outputs.copy()
    blind[1::8, 0, drawn] -= 0.6
    reference = verdicts_of(outputs, TASK, samples)
    sight = Sight.of(TASK, WHOLE, truths, outputs)
    for found, outcome in ((outputs, Outcome.PASS), (blind, Outcome.FAIL)):
        seen = sight.beside(found)
        ruling = judge(BUDGET, truths, reference, verdicts_of(found, TASK, samples), evidence=seen.evidence)
        assert [judgement.outcome for judgement in ruling.judgements] == [outcome] * 3
        assert all(judgement.reference == pytest.approx(1, abs=1e-3) for judgement in ruling.judgements)
    assert ruling.judgements[2].variant == pytest.approx(0.75)
    assert ruling.judgements[2].counts.worse == 15


def test_what_no_budget_asks_for_is_not_looked_at() -> None:
    outputs, truths = np.zeros((2, 1, 4, 4), np.float32), [Truth(good=True), Truth(good=False)]
    assert Sight.of(TASK, WHOLE, truths, outputs, ["escape_rate"]).beside(outputs).evidence is None
    assert Sight.of(TASK, WHOLE, truths, outputs, ["escape_rate", "auroc"]).beside(outputs).evidence is not None
