"""What a camera that runs by itself was asked for, and for which part each frame is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgemill_agent.line.part import Part

_AHEAD = 2
"""Frames that are under way without a trigger: one at the engine and one that waits for it, so that it never idles.
More would only get old."""


class Wants:
    """With a trigger each part wants the first frame captured at or after the moment in which the line saw the trigger.

    A part that has its verdict without a frame wants none any more, so after an outage no frame is given to parts that
    are long gone. Without a trigger the newest frame is wanted whenever a part is done.

    Args:
        triggered: whether the station has a trigger.
        send: to the source worker.
    """

    def __init__(self, triggered: bool, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._triggered, self._send = triggered, send
        self._open: dict[int, tuple[int, Part | None]] = {}
        self._last = 0
        for _ in range(0 if triggered else _AHEAD):
            self._ask(0, None)

    @property
    def open(self) -> list[tuple[int, int]]:
        """What is not answered, for a source worker that is started anew."""
        return [(number, at_ns) for number, (at_ns, _) in self._open.items()]

    def of(self, part: Part, now_ns: int) -> None:
        """The trigger fired for this part."""
        self._ask(now_ns, part)

    def again(self) -> None:
        """A part is done: without a trigger there is room for the next one."""
        if not self._triggered:
            self._ask(0, None)

    def forget(self, part: Part) -> None:
        """It has its verdict, and no frame."""
        for number, (_, whose) in list(self._open.items()):
            if whose is part:
                del self._open[number]
                self._send({"unwant": number})

    def answered(self, number: int) -> tuple[bool, Part | None]:
        """A frame came: whether it is still wanted, and for which part; ``None`` if it makes one."""
        at = self._open.pop(number, None)
        return (False, None) if at is None else (True, at[1])

    def _ask(self, at_ns: int, part: Part | None) -> None:
        self._last += 1
        self._open[self._last] = (at_ns, part)
        self._send({"want": self._last, "at_ns": at_ns})
