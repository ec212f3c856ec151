"""What an engine takes, as recipes and manifests declare it: a picture, or named numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Union

from pydantic import Discriminator, Tag

from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput


def _kind(declared: object) -> str:
    numbers = isinstance(declared, RowInput) or (isinstance(declared, Mapping) and "features" in declared)
    return "(numbers)" if numbers else "(picture)"


EngineInput = Annotated[
    Union[Annotated[PictureInput, Tag("(picture)")], Annotated[RowInput, Tag("(numbers)")]],  # noqa: UP007 (3.10)
    Discriminator(_kind),
]
"""Whoever writes ``features:`` means numbers, so that a complaint is about the right one."""
