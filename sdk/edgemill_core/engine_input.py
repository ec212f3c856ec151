"""What an engine takes, as recipes and manifests declare it: a picture, named numbers, or named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Union

from pydantic import Discriminator, Tag

from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.tensor_input import TensorInput


def _kind(declared: object) -> str:
    for tag, kind, key in (("(numbers)", RowInput, "features"), ("(tensors)", TensorInput, "tensors")):
        if isinstance(declared, kind) or (isinstance(declared, Mapping) and key in declared):
            return tag
    return "(picture)"


AnyInput = Union[PictureInput, RowInput, TensorInput]  # noqa: UP007 (3.10)
EngineInput = Annotated[
    Union[  # noqa: UP007 (3.10)
        Annotated[PictureInput, Tag("(picture)")],
        Annotated[RowInput, Tag("(numbers)")],
        Annotated[TensorInput, Tag("(tensors)")],
    ],
    Discriminator(_kind),
]
"""Whoever writes ``features:`` means numbers, and ``tensors:`` tensors, so that a complaint is about the right one."""


def said(declared: AnyInput) -> str:
    """What it takes, in a word for messages."""
    if isinstance(declared, PictureInput):
        return "pictures"
    return "numbers" if isinstance(declared, RowInput) else "tensors"
