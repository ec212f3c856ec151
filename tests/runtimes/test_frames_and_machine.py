"""Decode, crop, resize, annotate; and what the machine says of itself."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemill_core.errors import InputError
from edgemill_core.picture_input import Colour, PictureInput, Region, Resize, ResizeMethod
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import crop, decode, encode_png, prepare, read_picture
from edgemill_runtimes.frames.annotate import annotate
from edgemill_runtimes.machine import this_machine

RNG = np.random.default_rng(3)
FRAME = RNG.integers(0, 256, (12, 20, 3)).astype(np.uint8)


def test_png_goes_round_without_loss() -> None:
    np.testing.assert_array_equal(decode(encode_png(FRAME)), FRAME)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"x" * 100, encode_png(FRAME)[:40]])
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be decoded"):
        decode(content)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270, 360])
def test_a_crop_is_turned_clockwise(rotate: int) -> None:
    cut = crop(FRAME, Region(x=3, y=2, width=9, height=5), rotate)
    code = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}.get(rotate)
    plain = FRAME[2:7, 3:12]
    np.testing.assert_array_equal(cut, plain if code is None else cv2.rotate(plain, code))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_picture_cut_off_is_refused(suffix: str) -> None:
    whole = cv2.imencode(suffix, cv2.resize(FRAME, (200, 120)))[1].tobytes()
    assert decode(whole).shape == (120, 200, 3)
    with pytest.raises(InputError, match=r"half\.picture cannot be decoded"):
        decode(whole[: len(whole) // 2], "half.picture")


def test_grey_deep_and_transparent_pictures_become_frames() -> None:
    grey = FRAME[..., 0]
    for given, exact in (
        (grey, np.repeat(grey[..., None], 3, axis=2)),
        (FRAME.astype(np.uint16) * 257, FRAME),
        (np.dstack([FRAME, grey]), FRAME),
    ):
        np.testing.assert_array_equal(decode(cv2.imencode(".png", given)[1].tobytes()), exact)


@pytest.mark.parametrize(("side", "refused"), [(8, False), (10_001, True)])
def test_a_decompression_bomb_is_refused_for_its_size(side: int, refused: bool) -> None:
    content = bytearray(encode_png(np.zeros((8, 8, 3), np.uint8)))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    if refused:
        with pytest.raises(InputError, match=r"CV_IO_MAX_IMAGE_PIXELS"):
            decode(bytes(content))
    else:
        assert decode(bytes(content)).shape == (8, 8, 3)


def test_a_missing_picture_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(InputError, match="a folder"):
        read_picture(tmp_path)


def test_a_region_of_the_right_size_is_cut_out_as_it_is() -> None:
    declared = PictureInput(size=(8, 4), region=Region(x=5, y=3, width=8, height=4))
    np.testing.assert_array_equal(prepare(FRAME, declared)[0], FRAME[3:7, 5:13])


def test_area_resize_by_a_whole_factor_is_the_mean() -> None:
    declared = PictureInput(size=(10, 6), resize=Resize(method=ResizeMethod.AREA))
    mean = FRAME.reshape(6, 2, 10, 2, 3).mean(axis=(1, 3))
    assert np.abs(prepare(FRAME, declared)[0].astype(float) - mean).max() <= 0.51


def test_linear_resize_is_as_by_hand() -> None:
    frame = np.zeros((1, 2, 3), np.uint8)
    frame[0, 1] = 100
    declared = PictureInput(size=(4, 1), resize=Resize(method=ResizeMethod.LINEAR))
    assert prepare(frame, declared)[0, 0, :, 0].tolist() == [0, 25, 75, 100]


def test_the_methods_are_told_apart() -> None:
    found = {m: prepare(FRAME, PictureInput(size=(9, 5), resize=Resize(method=m))).tobytes() for m in ResizeMethod}
    assert len(set(found.values())) == 3


def test_crop_comes_before_resize() -> None:
    declared = PictureInput(size=(4, 2), region=Region(x=2, y=4, width=8, height=4))
    exact = FRAME[4:8, 2:10].reshape(2, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(prepare(FRAME, declared)[0].astype(float) - exact).max() <= 0.51


@pytest.mark.parametrize(("x", "y"), [(13, 0), (0, 9)])
def test_a_region_beyond_the_picture_is_refused(x: int, y: int) -> None:
    with pytest.raises(InputError) as caught:
        prepare(FRAME, PictureInput(size=(8, 4), region=Region(x=x, y=y, width=8, height=4)))
    assert f"at least {x + 8} x {y + 4} pixels" in str(caught.value)
    assert "20 x 12 pixels" in str(caught.value)


@pytest.mark.parametrize("method", list(ResizeMethod))
def test_each_method_gives_the_declared_size(method: ResizeMethod) -> None:
    assert prepare(FRAME, PictureInput(size=(7, 5), resize=Resize(method=method))).shape == (1, 5, 7, 3)


def test_grey_is_one_channel() -> None:
    grey = prepare(FRAME, PictureInput(size=(20, 12), colour=Colour.GREY))
    exact = FRAME @ np.array([0.114, 0.587, 0.299])
    assert grey.shape == (1, 12, 20, 1)
    assert np.abs(grey[0, ..., 0] - exact).max() <= 1


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="not a frame"):
        prepare(frame, PictureInput(size=(2, 2)))


@pytest.mark.parametrize(
    ("decision", "channels"),
    [(Decision.PASS, "green"), (Decision.REJECT, "red"), (Decision.UNCERTAIN, "red and green")],
)
def test_an_annotated_picture_differs_and_keeps_its_size(tmp_path: Path, decision: Decision, channels: str) -> None:
    frame = np.zeros((120, 200, 3), np.uint8)
    verdict = Verdict(decision, ("because",), 0.5, {"text": "A1"})
    annotate(frame, Region(x=5, y=5, width=50, height=20), verdict, tmp_path / "a.png")
    drawn = read_picture(tmp_path / "a.png")
    assert drawn.shape == frame.shape
    edge = dict(zip(("blue", "green", "red"), drawn[15, 5].tolist(), strict=True))
    assert {name for name, value in edge.items() if value > 120} == set(channels.split(" and "))
    assert not drawn[90:].any()
    assert not frame.any()


def test_without_a_region_no_frame_is_drawn(tmp_path: Path) -> None:
    annotate(np.zeros((120, 200, 3), np.uint8), None, Verdict(Decision.PASS), tmp_path / "a.png")
    drawn = read_picture(tmp_path / "a.png")
    assert drawn[:40].any()
    assert not drawn[40:].any()


@pytest.mark.parametrize(
    ("flags", "features", "dots"),
    [
        ("fpu avx2", ("avx2",), False),
        ("avx2 avx512f avx512_vnni avx512_bf16", ("avx2", "avx512", "vnni", "bf16"), True),
        ("avx2 avx_vnni", ("avx2", "avx_vnni"), True),
        ("fp asimd asimddp i8mm", ("dotprod", "i8mm"), True),
        ("", (), False),
    ],
)
def test_int8_arithmetic_is_read_from_the_processor(
    tmp_path: Path, flags: str, features: tuple[str, ...], dots: bool
) -> None:
    key = "Features" if "asimd" in flags else "flags"
    (tmp_path / "cpu").write_text(f"model name\t: Test CPU\n{key}\t\t: {flags}\n")
    machine = this_machine(tmp_path / "cpu")
    assert machine.features == features
    assert machine.int8_dot_product is dots
    assert machine.int8_weight_bits == (8 if dots else 7)
    assert machine.int8_family.endswith("dot" if dots else "saturating")
    assert machine.cpu == "Test CPU"


def test_this_machine_can_be_told_without_any_file(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "gone")
    assert machine.cpu == "unknown"
    assert machine.cores >= 1
    assert machine.memory_mb > 0
    assert "numpy" in machine.parts


@pytest.mark.parametrize(("rotate", "corner"), [(0, (60, 70)), (90, (60, 110)), (180, (140, 110)), (270, (140, 70))])
def test_what_was_found_in_a_crop_is_drawn_where_it_is(tmp_path: Path, rotate: int, corner: tuple[int, int]) -> None:
    """A finding that begins at the crop's top left, as the model saw it, which may be turned."""
    finding = {"class": "hole", "score": 0.9, "box": [0.0, 0.0, 0.5, 0.5], "area": 0.25}
    box = {"of": "label", "score": 0.9, "box": [60 / 400, 170 / 300, 140 / 400, 210 / 300], "rotate": rotate}
    seen = {**box, "decision": "pass", "confidence": 0.9, "reading": {"found": {"hole": 1}, "findings": [finding]}}
    small = {**box, "box": [0.9, 0.9, 0.9, 0.9], "too_small": True}
    verdict = Verdict(Decision.PASS, reading={"stages": {"look": {"seen": [seen, small], "found": 2}}})
    annotate(np.zeros((300, 400, 3), np.uint8), None, verdict, tmp_path / "a.png")
    drawn = read_picture(tmp_path / "a.png")
    x, y = corner[0], corner[1] + 100
    inwards = (1 if x == 60 else -1, 1 if y == 170 else -1)
    assert (drawn[y, x + 4 * inwards[0]] == (200, 60, 160)).all()
    assert (drawn[y + 4 * inwards[1], x] == (200, 60, 160)).all()
    assert (drawn[190, 100] == (200, 60, 160)).all()
    assert drawn[262:290, 350:].any()
