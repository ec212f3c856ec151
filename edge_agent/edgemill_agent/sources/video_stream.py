"""Video files and cameras, by PyAV: the only module that imports it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import av
import av.error
import numpy as np

from edgemill_agent.sources.base import Pixels

_MOST_PIXELS = 100_000_000
"""What the decoder may be asked to make room for, as for a picture file: the header alone can ask for gigabytes."""


class VideoError(Exception):
    """It cannot be opened, broke, gave nothing in time, or holds what cannot be decoded; the text says which.

    Attributes:
        number: the system's (``errno``), or 0.
    """

    def __init__(self, what: str, number: int = 0) -> None:
        super().__init__(what)
        self.number = number


@dataclass(frozen=True)
class Picture:
    """A decoded frame, in the decoder's own colours until somebody wants it.

    Attributes:
        damaged: the decoder had to guess part of it.
    """

    width: int
    height: int
    damaged: bool
    _frame: av.VideoFrame = field(repr=False)

    def pixels(self) -> Pixels:
        """``uint8[height, width, 3]``, blue-green-red."""
        return np.asarray(self._frame.to_ndarray(format="bgr24"), np.uint8)


class VideoStream:
    """Something open that gives pictures; a context manager.

    Args:
        place: path or URL. It may carry a password, so no message repeats it.
        kind: FFmpeg's name of the format; found out if empty.
        options: FFmpeg's.
        timeout_s: longest that opening may take, and from one picture to the next; ``None`` for a file.

    Raises:
        VideoError: it cannot be opened, or holds no video.
    """

    def __init__(
        self, place: str, kind: str = "", options: Mapping[str, str] | None = None, timeout_s: float | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._packets, self._cut, self._end_s = 0, False, 0.0
        try:
            self._container = av.open(
                place,
                format=kind or None,
                options=dict(options or {}),
                timeout=None if timeout_s is None else (timeout_s, timeout_s),
            )
        except (av.error.FFmpegError, IndexError) as error:  # some headers that are cut off end in an IndexError
            raise _failed(error, timeout_s) from error
        if not self._container.streams.video:
            self._container.close()
            raise VideoError("there is no video in it")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
        # By slices, not by frames: decoding several frames at once would hold each one back for a while.
        self._stream.codec_context.thread_type = "SLICE"

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pictures(self) -> Iterator[Picture]:
        """One after the other, until the stream ends.

        Raises:
            VideoError: it broke, or nothing that can be decoded came in time.
        """
        seen_s = time.monotonic()
        try:
            for packet in self._container.demux(self._stream):
                self._note(packet)
                for frame in packet.decode():
                    damaged = packet.is_corrupt or frame.is_corrupt
                    if not damaged:
                        seen_s = time.monotonic()
                    yield Picture(frame.width, frame.height, damaged, frame)
                if self._timeout_s is not None and time.monotonic() - seen_s > self._timeout_s:
                    raise VideoError(f"nothing that can be decoded for {self._timeout_s:g} s")
        except (av.error.FFmpegError, ValueError) as error:
            raise _failed(error, self._timeout_s) from error

    def missing(self) -> str:
        """What a file that was read to its end does not hold of what it says it holds; empty if nothing is known."""
        declared, rate, whole = self._stream.frames, self._stream.average_rate, self._container.duration
        if declared > self._packets:
            return f"it says it has {declared} frames, {self._packets} are there"
        if self._cut:
            return "the last frame is not whole"
        # Matroska names no count, but how long it is; with sound, that may be the sound's length.
        if not declared and rate and whole and len(self._container.streams) == 1:
            whole_s = whole / av.time_base
            if whole_s - self._end_s > 0.5 / rate:
                return f"it says it lasts {whole_s:.2f} s, {self._end_s:.2f} s are there"
        return ""

    def _note(self, packet: av.Packet[av.VideoStream]) -> None:
        if packet.size:
            self._packets += 1
            self._cut = self._cut or packet.is_corrupt
            if packet.pts is not None and packet.time_base is not None:
                self._end_s = max(self._end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))


def _failed(error: Exception, timeout_s: float | None) -> VideoError:
    if isinstance(error, av.error.ExitError) and timeout_s is not None:
        return VideoError(f"silent for {timeout_s:g} s")
    number = getattr(error, "errno", None) or 0
    return VideoError(getattr(error, "strerror", None) or str(error), number if 0 < number < 4096 else 0)
