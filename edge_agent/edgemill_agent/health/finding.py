"""What a check finds, and what stands of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class State(IntEnum):
    """How something is. The numbers are those of ``edgemill_health`` in ``/metrics``."""

    OK = 0
    WARNING = 1
    """Worth a look; the line does its work."""
    ALARM = 2
    """Verdicts, records or the box itself are in danger, or suffer already."""
    UNKNOWN = 3
    """It cannot be found out here; that is never called fine."""

    @property
    def word(self) -> str:
        """As people read it."""
        return self.name.lower()


@dataclass(frozen=True)
class Finding:
    """What one look found.

    Attributes:
        what: in words.
        to_do: what a person can do about it.
        holds_s: seconds for which looks must find it before it counts; meanwhile what stood before stands.
        restart: name of the process whose restart would mend it; empty if none would.
    """

    state: State
    what: str
    to_do: str = ""
    holds_s: float = 0.0
    restart: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(State.OK, what)


@dataclass
class Standing:
    """What is held to be so of one check.

    Attributes:
        since_utc_s: when it began, by the wall clock, seconds since 1970.
        mended: how often the check has mended since the agent was started.
    """

    check: str
    station: str
    state: State
    what: str
    to_do: str
    since_utc_s: float
    mended: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "check": self.check,
            "station": self.station,
            "state": self.state.word,
            "what": self.what,
            "to_do": self.to_do,
            "since": self.since_utc_s,
            "mended": self.mended,
        }
