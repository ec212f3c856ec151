"""What the routes of rollouts take and give."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from edgemill_core.validation import Strict
from edgemill_fleet.rollouts.waves import Course, Outcome, Thresholds, WaveSettings
from edgemill_fleet.rollouts.windows import Window
from edgemill_fleet.web.words import Name, Why, Word
from edgemill_link.enrolment import DeviceId

_MOST_DEVICES = 5000
"""Named one by one; more are named by group or tag."""


class RolloutRequest(Strict):
    """A release's way through the fleet.

    Attributes:
        devices: in the order in which they are to be asked; all that are enrolled if not said.
        group, tags: only those of this group that have all of these tags.
    """

    name: Name
    version: Name
    waves: Annotated[tuple[WaveSettings, ...], Field(min_length=1, max_length=50)]
    thresholds: Thresholds = Thresholds()
    windows: Annotated[tuple[Window, ...], Field(max_length=50)] = ()
    devices: Annotated[tuple[DeviceId, ...], Field(max_length=_MOST_DEVICES)] | None = None
    group: Word | None = None
    tags: Annotated[tuple[Word, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _ends(self) -> RolloutRequest:
        for seconds in (self.thresholds.silent_s, *(wave.soak_s for wave in self.waves)):
            if not math.isfinite(seconds):
                raise ValueError("seconds that end")
        return self


class WhyRequest(Strict):
    """In words, for the others."""

    why: Why = ""


class ResumeRequest(WhyRequest):
    """``again``: behind a stop, those that failed are asked once more; if not, they are left out."""

    again: bool = False


class AbortRequest(WhyRequest):
    """``back``: those too that took the release are asked for what they had before."""

    back: bool = False


class RolloutAnswer(Strict):
    """How a rollout stands; ``outcomes`` says for each wave how many devices came to which."""

    id: int
    name: str
    version: str
    course: Course
    wave: int
    waves: list[WaveSettings]
    thresholds: Thresholds
    windows: list[Window]
    outcomes: list[dict[str, int]]
    met_s: float | None
    why: str
    made_by: str
    made_s: float


class MemberAnswer(Strict):
    """A device of a rollout."""

    device: str
    wave: int
    outcome: Outcome
    since_s: float
    why: str
