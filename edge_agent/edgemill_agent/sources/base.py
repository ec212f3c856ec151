"""The contract of a source: parts in order, each with a name that it can go on after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Picture(Protocol):
    """A frame that is not converted before somebody wants it."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def damaged(self) -> bool:
        """Part of it was guessed."""

    def pixels(self) -> Pixels:
        """``uint8[height, width, 3]``, blue-green-red."""


@dataclass(frozen=True)
class Arrival:
    """A part that came.

    Attributes:
        item: what the source calls it; rises from part to part.
        frame: ``uint8[height, width, 3]``, blue-green-red; ``None`` if there is no usable picture.
        context: what the line knows of the part.
        fault: why there is no frame, in words.
        fields: the numbers of a request; ``None`` for a part that comes as a picture.
        convert: makes the frame, in place of ``frame``: most frames of a camera are wanted by nobody.
        captured_ns: when a camera took it, by the monotonic clock; 0 where that does not matter.
        damaged: only part of it came; of a camera that runs by itself the next one will do.
        ask: under this number the source wants to be told the verdict; 0 if it does not.
    """

    item: str
    frame: Pixels | None = None
    context: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""
    fields: Mapping[str, float] | None = None
    convert: Callable[[], Pixels] | None = None
    captured_ns: int = 0
    damaged: bool = False
    ask: int = 0


class Source(ABC):
    """Gives parts, in a worker process of its own.

    A ``live`` source is a camera that runs by itself: its parts are iterated over in a thread, only the newest one
    is kept, and it is handed out when the line wants one. From any other source parts are taken when there is room.

    Args:
        settings: the station's ``source:`` settings, as JSON values.
        after: the last part that was taken before; go on behind it. Empty at the very first start.
        tell: sends a message to the line, from any thread: ``{"camera": "gone", "why"}``, ``{"camera": "back",
            "after_s"}``.
    """

    live: ClassVar[bool] = False

    def __init__(
        self, settings: Mapping[str, Any], after: str, tell: Callable[[Mapping[str, Any]], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.after = after
        self.tell = tell

    @abstractmethod
    def parts(self) -> Iterator[Arrival | None]:
        """Parts as they come; ``None`` now and then while nothing comes. Ends if there will never be more."""

    def hand_over(self, arrival: Arrival) -> bool:  # noqa: ARG002
        """The line has room for this part now; false if nobody wants it judged any more."""
        return True

    def answered(self, told: Mapping[str, Any]) -> None:  # noqa: B027
        """The line tells what became of a part that came with ``ask``, once that is on the disk."""

    def arrival(self, item: str, picture: Picture, captured_ns: int = 0) -> Arrival:
        """A part that comes as a picture of a video; with its fault if it is damaged or no slot can take it."""
        size, most = picture.width * picture.height * 3, int(self.settings["max_frame_bytes"])
        if picture.damaged:
            return Arrival(item, fault="the picture is damaged: only part of it came", damaged=True)
        if size > most:
            return Arrival(item, fault=too_large(size, most), captured_ns=captured_ns)
        return Arrival(item, convert=picture.pixels, captured_ns=captured_ns)


def too_large(size: int, most: int) -> str:
    """What is said of a picture that no slot can take; both in bytes."""
    return f"the picture takes {size} bytes, a slot has {most}"
