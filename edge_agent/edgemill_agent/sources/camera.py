"""A camera that runs by itself: opened, watched, and opened again whenever it is gone."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edgemill_agent.back_off import BackOff
from edgemill_agent.sources.base import Arrival, Source

if TYPE_CHECKING:
    from edgemill_agent.sources.video_stream import VideoError, VideoStream

_NOD_S = 0.1
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


class CameraSource(Source):
    """Gives every picture that comes, with the moment at which it came; a subclass knows how to open it."""

    live = True

    @abstractmethod
    def open(self) -> VideoStream:
        """Open it.

        Raises:
            VideoError: it does not open in time.
        """

    def explain(self, error: VideoError) -> str:
        """Why it is gone, in words, with the way out if there is one."""
        return str(error)

    @property
    def timeout_s(self) -> float:
        """Longest that opening may take, and from one picture to the next."""
        return float(self.settings["timeout_ms"]) / 1e3

    def parts(self) -> Iterator[Arrival | None]:
        """Pictures without end. A camera that ends, breaks or is silent is told, and tried again after a pause."""
        from edgemill_agent.sources.video_stream import VideoError

        wait, told, seen_s = BackOff(), "", time.monotonic()
        while True:
            why = "it ended the stream"
            try:
                with self.open() as stream:
                    for picture in stream.pictures():
                        captured_ns = time.monotonic_ns() - int(self.settings["latency_ms"] * 1e6)
                        if told:
                            told = ""
                            self.tell({"camera": "back", "after_s": round(time.monotonic() - seen_s, 3)})
                        seen_s = time.monotonic()
                        wait.reset()
                        yield self.arrival(self._name(), picture, captured_ns)
            except VideoError as error:
                why = self.explain(error)
            if why != told:
                told = why
                self.tell({"camera": "gone", "why": why})
            until = time.monotonic() + wait.wait_s()
            while time.monotonic() < until:
                yield None
                time.sleep(_NOD_S)

    def _name(self) -> str:
        """By the wall clock, and always behind the last one: that clock may be set back."""
        now = datetime.now(timezone.utc)
        with suppress(ValueError, OverflowError):  # the station had another source before
            now = max(now, _time_of(self.after) + timedelta(microseconds=1))
        self.after = now.strftime(_FORM)
        return self.after


def _time_of(name: str) -> datetime:
    return datetime.strptime(name, _FORM).replace(tzinfo=timezone.utc)
