"""Our values as JSON and back: what keys are made of, and what steps write and read.

JSON and not pickle, because a cache folder may come along with somebody else's recipe: reading it must run nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from edgemill_core.durable import sha256_bytes

_SCALARS = (bool, int, float, str)


def plain(value: object) -> Any:
    """Dataclasses, models, mappings, sequences, enums and paths as JSON knows them; floats keep every bit.

    Raises:
        TypeError: something else is in it.
    """
    if value is None or type(value) in _SCALARS:  # most of what there is
        return value
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, _SCALARS):
        return value
    if hasattr(value, "item"):  # a number of numpy's
        return _scalar(value.item())
    raise TypeError(f"not plain: {value!r}")


def digest_of(value: object) -> str:
    """SHA-256 of ``plain(value)``; NaN and the infinities are values like others.

    Without indentation, unlike ``canonical_json``: Python's JSON is written in C then, ten times as fast.
    """
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(text.encode())


def write_plain(path: Path, value: object) -> None:
    """Write ``value`` as JSON, NaN spelled as Python does."""
    path.write_text(json.dumps(plain(value), ensure_ascii=False), encoding="utf-8")


def read_plain(path: Path, kind: Any) -> Any:
    """What ``write_plain`` wrote, as ``kind``, e.g. ``tuple[Verdict, ...]``."""
    return TypeAdapter(kind).validate_python(json.loads(path.read_text(encoding="utf-8")))
