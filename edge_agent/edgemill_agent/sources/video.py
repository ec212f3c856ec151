"""A video file: each frame is a part, in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from edgemill_agent.sources.base import Arrival, Source
from edgemill_core.errors import InputError

_LOOK_S = 0.2


class VideoSource(Source):
    """Reads a file from its start. Frames are named by their number, so a worker that is started anew goes on behind.

    What is in front of that is decoded again, because only a walk from the start counts frames for certain.
    With ``loop`` the file is read again and again, in numbered rounds.
    """

    def parts(self) -> Iterator[Arrival | None]:
        """Every frame; a damaged one, and the place where the file is cut off, come with their fault."""
        path = Path(self.settings["video"])
        if self.settings.get("loop"):
            while True:
                turn, _, after = self.after.rpartition("/")
                yield from self._read(path, after, f"{turn or '0' * 9}/")
                self.after = f"{int(turn or 0) + 1:09d}/"
                yield None
        yield from self._read(path, self.after, "")
        while not self.settings.get("once"):
            yield None
            time.sleep(_LOOK_S)

    def _read(self, path: Path, after: str, turn: str) -> Iterator[Arrival]:
        from edgemill_agent.sources.video_stream import VideoError, VideoStream

        index, fault = 0, ""
        try:
            with VideoStream(str(path)) as stream:
                for index, picture in enumerate(stream.pictures(), start=1):
                    if f"{index:09d}" > after:
                        self.after = f"{turn}{index:09d}"
                        yield self.arrival(self.after, picture)
                fault = stream.missing()
        except VideoError as error:
            if not index:
                raise _unusable(path, str(error)) from error
            fault = str(error)
        if fault and f"{index + 1:09d}" > after:
            self.after = f"{turn}{index + 1:09d}"
            yield Arrival(self.after, fault=f"the video cannot be read behind frame {index}: {fault}")


def _unusable(path: Path, got: str) -> InputError:
    return InputError(
        f"the source's video {path} cannot be read",
        expected="a video file with at least one frame that can be decoded",
        got=got,
        fix="mend `video:` under the station's `source:`, or the file; a recording that was cut off may lack its index",
    )
