"""Times as tables show them, and durations as people write them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from pydantic import TypeAdapter, ValidationError

from edgemill_agent.duration import Duration
from edgemill_core.errors import InputError


def date(at_s: float | None) -> str:
    """UTC, to the minute; ``-`` for none."""
    return "-" if at_s is None else f"{datetime.fromtimestamp(at_s, timezone.utc):%Y-%m-%d %H:%M}"


def ago(at_s: float | None, now_s: float | None = None) -> str:
    """How long since, in the largest unit that fits."""
    if at_s is None:
        return "never"
    seconds = max(0.0, (time.time() if now_s is None else now_s) - at_s)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit} ago"
    return f"{int(seconds)}s ago"


def seconds(written: str) -> float:
    """Of ``30m``.

    Raises:
        InputError: it is no duration.
    """
    try:
        told: timedelta = TypeAdapter(Duration).validate_python(written)
    except ValidationError as error:
        raise InputError(
            f"{written[:50]} is no duration",
            expected="a whole number with its unit",
            got=repr(written)[:80],
            fix="say 90d, 12h, 30m or 45s",
        ) from error
    return told.total_seconds()
