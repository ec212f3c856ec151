"""Shares as they are written in recipes: in parts of 1, never in percent or points."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field


def said(share: float) -> str:
    """A share in percent without idle digits: 95%, 97.5%, 98.33%."""
    return f"{100 * share:.4g}%"


def _in_parts_of_one(value: object) -> object:
    """Refuse what was meant in percent or points, with what to write.

    Raises:
        ValueError: a text, or a number of 1 or more.
    """
    if isinstance(value, str):
        meant = _number(value)
        example = f"write {meant / 100:g}" if meant is not None and 0 < meant < 100 else "0.01 is one point"
        raise ValueError(f"a number in parts of 1, without a unit: {example}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1:
        if value < 100:
            points = "one point" if value == 1 else f"{value:g} points"
            raise ValueError(f"a number in parts of 1, less than 1: {value / 100:g} is {points}")
        raise ValueError("a number in parts of 1, less than 1: 0.01 is one point")
    return value


def _number(text: str) -> float | None:
    words = text.replace("%", " ").split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


PartOfOne = Annotated[float, Field(gt=0, lt=1), BeforeValidator(_in_parts_of_one)]
"""More than 0 and less than 1."""
Confidence = Annotated[float, Field(ge=0.5, lt=1), BeforeValidator(_in_parts_of_one)]
"""One-sided: at least 0.5, less than 1."""
