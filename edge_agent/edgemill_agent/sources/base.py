"""The contract of a source: parts in order, each with a name that it can go on after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Arrival:
    """A part that came.

    Attributes:
        item: what the source calls it; rises from part to part.
        frame: ``uint8[height, width, 3]``, blue-green-red; ``None`` if there is no usable picture.
        context: what the line knows of the part.
        fault: why there is no frame, in words.
        fields: the numbers of a request; ``None`` for a part that comes as a picture.
    """

    item: str
    frame: Pixels | None = None
    context: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fault: str = ""
    fields: Mapping[str, float] | None = None


class Source(ABC):
    """Gives parts, in a worker process of its own.

    Args:
        settings: the station's ``source:`` settings, as JSON values.
        after: the last part that was taken before; go on behind it. Empty at the very first start.
    """

    def __init__(self, settings: Mapping[str, Any], after: str) -> None:
        self.settings = settings
        self.after = after

    @abstractmethod
    def parts(self) -> Iterator[Arrival | None]:
        """Parts as they come; ``None`` now and then while nothing comes. Ends if there will never be more."""
