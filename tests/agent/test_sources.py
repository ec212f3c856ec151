"""Sources by themselves: what they give, and what they make of input that nobody should give them."""

from __future__ import annotations

import errno
import os
import resource
import struct
import subprocess
import sys
import zlib
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cameras import grey_of, write_video

from edgemill_agent.settings import SourceSettings
from edgemill_agent.sources import LIVE, SOURCES, Source, source_class
from edgemill_agent.sources.base import Arrival
from edgemill_core.errors import InputError
from edgemill_runtimes.frames import decode, encode_png


def source(after: str = "", **settings: Any) -> Source:
    whole = SourceSettings.model_validate(settings)
    return source_class(whole.kind)(whole.model_dump(mode="json"), after)


def taken(made: Source, most: int = 1000) -> list[Arrival]:
    return list(islice((arrival for arrival in made.parts() if arrival is not None), most))


def greys(arrivals: list[Arrival]) -> list[int]:
    return [round(float(arrival.convert().mean())) for arrival in arrivals if arrival.convert is not None]


def test_the_line_knows_which_sources_run_by_themselves() -> None:
    assert {kind for kind in SOURCES if source_class(kind).live} == LIVE


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_each_frame_of_a_video_is_a_part_in_order(tmp_path: Path, name: str) -> None:
    codec = "mjpeg" if name == "a.avi" else "mpeg4"
    write_video(tmp_path / name, 12, codec=codec)
    arrivals = taken(source(video=str(tmp_path / name), once=True))
    assert [arrival.item for arrival in arrivals] == [f"{number:09d}" for number in range(1, 13)]
    assert greys(arrivals) == pytest.approx([grey_of(index) for index in range(12)], abs=9)


def test_a_video_goes_on_behind_the_frame_that_was_taken_last(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 12)
    arrivals = taken(source("000000007", video=str(tmp_path / "a.avi"), once=True))
    assert [arrival.item for arrival in arrivals] == [f"{number:09d}" for number in range(8, 13)]
    assert greys(arrivals)[0] == pytest.approx(grey_of(7), abs=9)


def test_a_video_in_a_loop_goes_on_in_the_round_it_was_in(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 3)
    arrivals = taken(source("000000004/000000002", video=str(tmp_path / "a.avi"), loop=True), 5)
    assert [arrival.item for arrival in arrivals] == [
        "000000004/000000003",
        *(f"000000005/{number:09d}" for number in (1, 2, 3)),
        "000000006/000000001",
    ]


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_of_a_video_that_is_cut_off_comes_what_is_there_and_then_the_fault(
    tmp_path: Path, name: str, share: float
) -> None:
    write_video(tmp_path / name, 40, codec="mjpeg" if name == "a.avi" else "mpeg4")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    arrivals = taken(source(video=str(tmp_path / name), once=True))
    good = [arrival for arrival in arrivals if not arrival.fault]
    assert 3 < len(good) < 40
    assert greys(good) == pytest.approx([grey_of(index) for index in range(len(good))], abs=9)
    assert "cannot be read behind frame" in arrivals[-1].fault
    assert [arrival.item for arrival in arrivals] == [f"{number + 1:09d}" for number in range(len(arrivals))]
    # told once: a worker that is started behind it does not tell it again
    assert taken(source(arrivals[-1].item, video=str(tmp_path / name), once=True)) == []


@pytest.mark.parametrize("content", [b"", b"no video", None, b"RIFF" + bytes(60)])
def test_a_video_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.avi"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        taken(source(video=str(path), once=True))
    assert caught.value.got


def test_a_video_of_frames_too_large_for_a_slot_says_so_of_each(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 2, size=(64, 48))
    arrivals = taken(source(video=str(tmp_path / "a.avi"), once=True, max_frame_bytes=1024))
    assert [arrival.fault for arrival in arrivals] == ["the picture takes 9216 bytes, a slot has 1024"] * 2


def bomb(suffix: str, side: int = 20_000) -> bytes:
    """A picture file of a few kilobytes that asks for over a gigabyte."""
    if suffix == ".png":
        rows = zlib.compress(bytes(1_000_000))  # one bit a pixel, of some rows

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    small = cv2_bytes(suffix)
    if suffix == ".bmp":
        return small[:18] + struct.pack("<ii", side, side) + small[26:]
    place = small.index(b"\xff\xc0") + 5
    return small[:place] + struct.pack(">HH", side, side) + small[place + 4 :]


def cv2_bytes(suffix: str) -> bytes:
    import cv2

    return bytes(cv2.imencode(suffix, np.zeros((16, 16, 3), np.uint8))[1])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_decode_bomb_is_refused_by_its_header(suffix: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="cannot be decoded"):
        decode(bomb(suffix))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100 << 10  # kB


def test_a_decode_bomb_in_a_video_takes_no_memory(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 3, size=(16, 16))
    altered = bytearray((tmp_path / "a.avi").read_bytes())
    place = 0
    while (place := altered.find(b"\xff\xc0", place)) >= 0:
        altered[place + 5 : place + 9] = struct.pack(">HH", 20_000, 20_000)
        place += 4
    (tmp_path / "a.avi").write_bytes(altered)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="cannot be read"):
        taken(source(video=str(tmp_path / "a.avi"), once=True))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100 << 10  # kB


def test_pictures_of_one_pixel_and_broken_ones_come_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encode_png(np.zeros((1, 1, 3), np.uint8)))
    (tmp_path / "2.jpg").write_bytes(cv2_bytes(".jpg")[:200])
    (tmp_path / "3.png").write_bytes(bomb(".png"))
    first, second, third = taken(source(folder=str(tmp_path), once=True))
    assert first.frame is not None
    assert first.frame.shape == (1, 1, 3)
    assert "cannot be decoded" in second.fault
    assert "cannot be decoded" in third.fault


def gone(made: Source) -> dict[str, Any]:
    """The first thing that a camera says, given that it cannot be had."""
    told: list[dict[str, Any]] = []
    made.tell = told.append  # type: ignore[assignment,method-assign]
    assert next(iter(made.parts())) is None
    return told[0]


def test_a_usb_camera_that_is_not_there_says_what_to_do() -> None:
    assert gone(source(usb="/dev/video-none")) == {
        "camera": "gone",
        "why": "/dev/video-none: No such file or directory; it is not plugged in, or has another number; "
        "/dev/v4l/by-id has names that stay",
    }


def test_what_is_no_camera_says_so() -> None:
    assert "Inappropriate ioctl" in gone(source(usb="/dev/null", size="640x480", fps=30))["why"]


def test_a_usb_camera_that_another_station_has_names_the_way_out() -> None:
    from edgemill_agent.sources.usb import UsbSource
    from edgemill_agent.sources.video_stream import VideoError

    made = UsbSource({"usb": "/dev/video0"}, "")
    assert "one camera serves one station" in made.explain(VideoError(os.strerror(errno.EBUSY), errno.EBUSY))


def test_names_of_a_camera_rise_even_if_the_clock_is_set_back() -> None:
    from edgemill_agent.sources.rtsp import RtspSource

    later = "2999-01-01T00:00:00.000009Z"
    made = RtspSource({}, later)
    assert made._name() == "2999-01-01T00:00:00.000010Z"
    assert made._name() == "2999-01-01T00:00:00.000011Z"
    for other in ("", "0017.png", "9999-12-31T23:59:59.999999Z"):
        name = RtspSource({}, other)._name()
        assert abs(datetime.fromisoformat(name[:-1] + "+00:00") - datetime.now(timezone.utc)).total_seconds() < 60


def test_neither_the_settings_nor_the_table_of_sources_load_a_decoder() -> None:
    asked = (
        "import sys\nfrom edgemill_agent.sources import LIVE\nimport edgemill_agent.line.line\n"
        "print({'av', 'cv2'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "set()\n"
