"""Durations as people write them in ``agent.yaml``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(written: object) -> object:
    found = re.fullmatch(r"(\d+)([smhd])", written) if isinstance(written, str) else None
    if found is None:
        raise ValueError("a whole number with its unit: 90d, 12h, 30m or 45s")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]
