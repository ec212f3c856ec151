"""What is written by people or other machines is checked by pydantic; its complaints become our messages."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from edgemill_core.secrets import masked


class Strict(BaseModel):
    """Base of what is read from files: an unknown key is an error, and nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_complaint(error: ValidationError) -> tuple[str, str, str]:
    """Where (dotted path), what was expected, and what was got, of the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    # A part in brackets is pydantic's name for one of several forms; nobody wrote it.
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("(")) or "(top)"
    if first["type"] == "extra_forbidden":
        return where, "no such key here", masked(f"{where}: {first['input']!r}")
    if first["type"] == "missing":
        return where, "this key", "nothing"
    return where, first["msg"].removeprefix("Value error, "), masked(repr(first["input"]))[:200]


def complaint(error: Exception) -> str:
    """What is wrong with a file that cannot be read, or does not say what it should, in one line."""
    return first_complaint(error)[1] if isinstance(error, ValidationError) else str(error)
