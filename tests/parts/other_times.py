"""Python processes whose wall clock shows another day, and their children's; the monotonic clock is left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

_SITE = """
import datetime, os, time

_ahead = float(os.environ["TESTS_DAYS_AHEAD"]) * 86_400
_seconds, _nanoseconds, _real = time.time, time.time_ns, datetime.datetime
time.time = lambda: _seconds() + _ahead
time.time_ns = lambda: _nanoseconds() + int(_ahead) * 1_000_000_000


class _Kind(type(_real)):
    def __instancecheck__(cls, found):
        return isinstance(found, _real)


class datetime_(_real, metaclass=_Kind):
    @classmethod
    def now(cls, tz=None):
        return _real.fromtimestamp(time.time(), tz)


datetime.datetime = datetime_
"""


def environment(folder: Path, days: float) -> dict[str, str]:
    """For a process on a day that many from now; ``folder`` holds what makes it believe so."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE)
    return {**os.environ, "PYTHONPATH": str(folder), "TESTS_DAYS_AHEAD": str(days)}


def days_since_1970() -> float:
    return time.time() / 86_400
