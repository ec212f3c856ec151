"""What an importer gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from edgemill_core.tensors import Array

Native = Callable[[Array], Array]
"""Engine inputs, one sample a row, to the outputs of the model's own library."""


@dataclass(frozen=True)
class Imported:
    """A graph, and where it is our own translation the library to check it against.

    Attributes:
        native: ``None`` where the file is the graph itself.
    """

    proto: onnx.ModelProto
    native: Native | None = None
