"""A camera that runs by itself: its newest frame is kept, handed out when the line wants one, and else counted."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgemill_agent.sources import Source
from edgemill_agent.sources.base import Arrival
from edgemill_core.processes.channel import Channel

Give = Callable[[Arrival, int, dict[str, int]], None]
_TICK_S = 0.2
_HUNG_S = 5.0
"""A library that gives no sign for so long beyond twice the camera's time-out (to open, then to play) hangs."""


class Newest:
    """One frame, never a queue of them, so that what the line gets is what is there now.

    Args:
        give: hands a frame to the line, with the want that it answers and what was counted; takes one of ``free``.
        free: slots of the ring.
        wants: what the line wants already, each ``(number, at_ns)``: a frame that was not captured before ``at_ns``.
    """

    def __init__(self, give: Give, free: deque[int], wants: Iterable[tuple[int, int]] = ()) -> None:
        self._give, self._free = give, free
        self._wants = dict(wants)
        self._frame: Arrival | None = None
        self._lock = threading.Lock()
        self._captured = self._dropped = 0

    def came(self, arrival: Arrival) -> None:
        """A frame came; one that is still here was wanted by nobody."""
        with self._lock:
            self._captured += 1
            if arrival.damaged:
                self._dropped += 1
                return
            self._dropped += self._frame is not None
            self._frame = arrival
            self._hand_out()

    def hear(self, message: Mapping[str, Any], obey: Callable[[Mapping[str, Any]], None]) -> None:
        """``{"want": number, "at_ns"}``, ``{"unwant": number}``, or what any source worker is told."""
        with self._lock:
            if "want" in message:
                self._wants[message["want"]] = message["at_ns"]
            elif "unwant" in message:
                self._wants.pop(message["unwant"], None)
            else:
                obey(message)
            self._hand_out()

    def counted(self) -> dict[str, int]:
        """Frames that came and that nobody wanted, since this was asked last."""
        with self._lock:
            return self._count()

    def _hand_out(self) -> None:
        if self._frame is None or not self._wants or not self._free:
            return
        number, at_ns = next(iter(self._wants.items()))
        if self._frame.captured_ns >= at_ns:
            frame, self._frame = self._frame, None
            del self._wants[number]
            self._give(frame, number, self._count())

    def _count(self) -> dict[str, int]:
        told = {"captured": self._captured, "dropped": self._dropped}
        self._captured = self._dropped = 0
        return told


def give_newest(channel: Channel, source: Source, newest: Newest, obey: Callable[[Mapping[str, Any]], None]) -> None:
    """Until the line process is gone.

    Sends ``{"open": true}`` with the first frame, then frames with the ``"want"`` that each answers; ``"captured"`` and
    ``"dropped"``, with each frame and a few times a second, count what came since they were told last.
    """
    capture = _Capture(channel, source, newest)
    threading.Thread(target=capture.run, daemon=True).start()
    while True:
        if channel.waiting(_TICK_S):
            message = channel.receive()
            if message is None:
                return
            newest.hear(message, obey)
        capture.check()


class _Capture:
    """The thread in which the camera is read."""

    def __init__(self, channel: Channel, source: Source, newest: Newest) -> None:
        self._channel, self._source, self._newest = channel, source, newest
        self._failed: Exception | None = None
        self._nodded_s = self._told_s = time.monotonic()
        self._limit_s = source.settings["timeout_ms"] / 1e3 * 2 + _HUNG_S

    def run(self) -> None:
        opened = False
        try:
            for arrival in self._source.parts():
                self._nodded_s = time.monotonic()
                if arrival is None:
                    continue
                if not opened:
                    opened = True
                    self._channel.send({"open": True})
                self._newest.came(arrival)
        except Exception as error:  # raised again where the process listens
            self._failed = error

    def check(self) -> None:
        """Tell the counts, and end if the thread failed or hangs in a driver, where no time-out reaches it."""
        if self._failed is not None:
            raise self._failed
        now = time.monotonic()
        if now - self._told_s >= _TICK_S:
            self._told_s = now
            counted = self._newest.counted()
            if counted["captured"]:
                self._channel.send(counted)
        if now - self._nodded_s > self._limit_s:
            self._channel.send({"camera": "gone", "why": "its driver hangs; another worker tries again"})
            os._exit(1)  # in order would mean to wait for that thread
