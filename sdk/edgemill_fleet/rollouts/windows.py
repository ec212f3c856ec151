"""Maintenance windows: when devices may be asked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta, timezone, tzinfo
from enum import Enum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from edgemill_core.validation import Strict


class Day(str, Enum):
    """A day of the week."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_WEEK = tuple(Day)


class Window(Strict):
    """A time of the week.

    Attributes:
        days: on which it begins; every day if not said.
        begin, end: ``22:00``, by the clock of ``zone``. An end that is not after the beginning is on the next day.
        zone: of IANA's names, ``Europe/Berlin``; UTC if not said.
    """

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _WEEK
    begin: time
    end: time
    zone: str = "UTC"

    @field_validator("begin", "end")
    @classmethod
    def _of_the_zone(cls, told: time) -> time:
        if told.tzinfo is not None:
            raise ValueError("a time as 22:00; its zone stands under zone:")
        return told

    @field_validator("zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        _zone(name)
        return name

    def is_open(self, now: datetime) -> bool:
        """Whether ``now``, which knows its zone, is inside."""
        here = now.astimezone(_zone(self.zone))
        today, clock = here.weekday(), here.time()
        if self.begin < self.end:
            return _WEEK[today] in self.days and self.begin <= clock < self.end
        began_today = _WEEK[today] in self.days and clock >= self.begin
        return began_today or (_WEEK[today - 1] in self.days and clock < self.end)


def may_ask(windows: Sequence[Window], now_s: float) -> bool:
    """Whether one of them is open; where there are none, always.

    Args:
        now_s: seconds since 1970.
    """
    now = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=now_s)
    return not windows or any(window.is_open(now) for window in windows)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"a zone of IANA's names that this machine knows: {name} is none") from error
