"""What an importer gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.recipe import Recipe
from edgemill_core.engine_input import AnyInput
from edgemill_core.row_input import RowInput
from edgemill_core.tensors import Array

Native = Callable[[Mapping[str, Array]], Sequence[Array]]
"""What the model's own library gives: inputs by name, as the graph takes them, to its outputs in the graph's order.

Of a model that takes a row of numbers, several rows at once.
"""

Translation = Callable[[], onnx.ModelProto]
"""Makes the graph, where that takes long; what it made is kept, and not made again for the reference."""


@dataclass(frozen=True)
class Imported:
    """A graph, and where it is our own translation the library to check it against.

    Attributes:
        proto: the graph, or what makes it.
        native: ``None`` where the file is the graph itself.
        framework: the library that the model is of, and its version.
        exporter: what translated it; empty where nothing did.
        pickled: a pickle was opened, which the recipe allowed.
    """

    proto: onnx.ModelProto | Translation
    native: Native | None = None
    framework: str = "ONNX"
    exporter: str = ""
    pickled: bool = False


FileImporter = Callable[[Sequence[Path], Recipe], Imported]
ObjectImporter = Callable[[Any, Recipe], Imported]


def one_by_one(native: Native, declared: AnyInput) -> Native:
    """The same, but every row of several by itself: as the box runs it, and as a program of batch 1 can."""
    if not isinstance(declared, RowInput):
        return native

    def each(feeds: Mapping[str, Array]) -> list[Array]:
        count = len(next(iter(feeds.values())))
        rows = [native({name: value[i : i + 1] for name, value in feeds.items()}) for i in range(count)]
        return [np.concatenate(column) for column in zip(*rows, strict=True)]

    return each


def named(distribution: str, shown: str | None = None) -> str:
    """A library with its version, e.g. ``torch 2.13.0``."""
    try:
        return f"{shown or distribution} {version(distribution)}"
    except PackageNotFoundError:
        return shown or distribution
