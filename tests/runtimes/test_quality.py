"""A camera that is covered, glared at, defocused, hung or bumped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from edgemill_core.errors import InputError
from edgemill_core.picture_quality import PictureQuality
from edgemill_runtimes.frames import Frame, encode_png
from edgemill_runtimes.frames.opencv import cv2
from edgemill_runtimes.frames.quality import QualityGate, sharpness

SCENE = np.ascontiguousarray(data.astronaut()[..., ::-1])


def noisy(frame: Frame, seed: int) -> Frame:
    rng = np.random.default_rng(seed)
    return np.clip(frame.astype(np.int16) + rng.integers(-6, 7, frame.shape), 0, 255).astype(np.uint8)


def found(frame: Frame, **asked: Any) -> str | None:
    unfit = QualityGate(PictureQuality.model_validate(asked)).look(frame)
    return None if unfit is None else unfit.what


def test_light_is_judged_by_the_mean() -> None:
    asked = {"min_mean": 20, "max_mean": 235}
    assert found(SCENE, **asked) is None
    assert found(SCENE // 20, **asked) == "dark"
    assert found(255 - SCENE // 20, **asked) == "bright"
    unfit = QualityGate(PictureQuality(min_mean=20)).look(np.full((4, 4, 3), 7, np.uint8))
    assert unfit is not None
    assert unfit.why == "the picture is too dark: mean 7.0, at least 20"


def test_a_blurred_picture_is_told_from_a_sharp_one() -> None:
    sharp, soft = (sharpness(cv2.cvtColor(f, cv2.COLOR_BGR2GRAY)) for f in (SCENE, cv2.GaussianBlur(SCENE, (0, 0), 3)))
    assert sharp > 10 * soft
    assert found(SCENE, min_sharpness=sharp / 3) is None
    assert found(cv2.GaussianBlur(SCENE, (0, 0), 3), min_sharpness=sharp / 3) == "blurred"


def test_the_same_picture_again_and_again_is_no_live_camera() -> None:
    gate = QualityGate(PictureQuality(frozen_after=3))
    frames = [SCENE, SCENE, noisy(SCENE, 1), SCENE, SCENE, SCENE, SCENE, noisy(SCENE, 2)]
    told = [unfit.what if unfit else "" for unfit in map(gate.look, frames)]
    assert told == ["", "", "", "", "", "frozen", "frozen", ""]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, -4), (30, 0), (-12, 40), (0, -25)])
def test_a_shift_is_measured_in_the_pictures_own_pixels(x: int, y: int, tmp_path: Path) -> None:
    (tmp_path / "reference.png").write_bytes(encode_png(SCENE[60:-60, 60:-60]))
    moved = noisy(SCENE[60 + y : 452 + y, 60 + x : 452 + x], 3)
    unfit = QualityGate(PictureQuality(reference=tmp_path / "reference.png", max_shift=10)).look(moved)
    assert (unfit is not None) == (np.hypot(x, y) > 10)
    if unfit is not None:
        pixels = int(unfit.why.split(": ")[1].split()[0])
        assert pixels == pytest.approx(np.hypot(x, y), abs=2)


def test_another_scene_or_size_is_not_the_reference(tmp_path: Path) -> None:
    (tmp_path / "reference.png").write_bytes(encode_png(SCENE))
    gate = QualityGate(PictureQuality(reference=tmp_path / "reference.png"))
    other = noisy(np.full_like(SCENE, 128), 4)
    for frame, why in ((other, "nothing of the reference"), (SCENE[:-1], "the picture is 512 x 511 pixels")):
        unfit = gate.look(frame)
        assert unfit is not None
        assert unfit.what == "moved"
        assert why in unfit.why


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2)])
def test_the_smallest_pictures_are_looked_at_too(shape: tuple[int, int], tmp_path: Path) -> None:
    frame = noisy(np.full((*shape, 3), 100, np.uint8), 5)
    (tmp_path / "reference.png").write_bytes(encode_png(frame))
    asked = {"min_mean": 20, "min_sharpness": 1e-9, "frozen_after": 2, "reference": tmp_path / "reference.png"}
    assert found(frame, **asked) in (None, "blurred", "moved")


@pytest.mark.parametrize("wrong", [{}, {"decision": "reject"}, {"min_mean": 9, "max_mean": 9}, {"frozen_after": 1}])
def test_a_gate_that_asks_nothing_or_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PictureQuality.model_validate(wrong)


def test_a_reference_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no picture"):
        QualityGate(PictureQuality(reference=tmp_path / "gone.png"))
