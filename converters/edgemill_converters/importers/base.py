"""What an importer gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from edgemill_core.tensors import Array

Native = Callable[[Mapping[str, Array]], Sequence[Array]]
"""What the model's own library gives: inputs by name, as the graph takes them, to its outputs in the graph's order.

Of a model that takes a row of numbers, several rows at once.
"""


@dataclass(frozen=True)
class Imported:
    """A graph, and where it is our own translation the library to check it against.

    Attributes:
        native: ``None`` where the file is the graph itself.
    """

    proto: onnx.ModelProto
    native: Native | None = None
