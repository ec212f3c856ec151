"""The decision of a rollout: which devices are to be asked next, and when it stops. No database, no clock, no network.

A rollout asks its waves one after the other. A device that was asked counts as failed when it refused the release,
rolled it back, or said nothing for ``silent_s``: **silence counts as failure**, because a box that a release broke may
be one that cannot tell. A wave is over when enough of its devices took the release and its soak time has passed. A
rollout that saw too many failures stops by itself; what took the release keeps it until somebody decides otherwise.

What it promises, whatever happens in whatever order (``tests/fleet/test_waves_every_way.py`` goes through all of it):

- No device of a wave is asked before every earlier wave had enough that took it, no more failures than may be, and
  its soak time. So a release that breaks every box reaches the first wave and nothing else.
- Nobody is asked before approval, in a pause, behind a stop, after an abort, or outside the windows.
- Once everybody has answered or is silent, it goes on, is done, or has stopped: it never waits for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated

from pydantic import Field, model_validator

from edgemill_core.validation import Strict


class Outcome(str, Enum):
    """What became of one device."""

    WAITING = "waiting"
    """Not asked yet."""
    ASKED = "asked"
    """Its plan names the release."""
    TOOK = "took"
    """It said that the release is committed."""
    REFUSED = "refused"
    """It said that it does not prove, or cannot be used."""
    ROLLED_BACK = "rolled back"
    """It said that it was tried, and the one before is back."""
    SILENT = "silent"
    """It was asked, and nothing came of it in time; what it says later counts again."""
    LEFT = "left"
    """It was taken out of the rollout: revoked, or planned for something else by somebody."""


FAILED = frozenset({Outcome.REFUSED, Outcome.ROLLED_BACK, Outcome.SILENT})
ANSWERS = frozenset({Outcome.TOOK, Outcome.REFUSED, Outcome.ROLLED_BACK})
"""What a device may say of itself."""


class Course(str, Enum):
    """How a rollout stands."""

    DRAFT = "draft"
    """Waits for a second person's approval."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nobody new is asked; what was asked goes on, and is counted."""
    STOPPED = "stopped"
    """Too many failed. Can be resumed by somebody who has looked."""
    ABORTED = "aborted"
    """By somebody; devices that were asked and have not taken it are asked for what they had before, others if he
    said so."""
    DONE = "done"


OVER = frozenset({Course.ABORTED, Course.DONE})


class WaveSettings(Strict):
    """One wave.

    Attributes:
        percent: of the rollout's devices, cumulative: ``10`` then ``100`` are two waves. Rounded up to a device.
        group: instead of it, every device of this group that no wave before has.
        success: share of its devices that must take the release before the next wave begins.
        soak_s: seconds for which that must then stay so.
    """

    percent: Annotated[float, Field(gt=0, le=100)] | None = None
    group: str | None = None
    success: Annotated[float, Field(gt=0, le=1)] = 1.0
    soak_s: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _one_of_both(self) -> WaveSettings:
        if (self.percent is None) == (self.group is None):
            raise ValueError("a wave has either percent or group")
        return self


class Thresholds(Strict):
    """When a rollout stops by itself.

    Attributes:
        failures: devices of one wave that may fail; one more stops it.
        failure_share: share of a wave's devices that may fail; the stricter of the two counts.
        silent_s: seconds after being asked in which a device must have said how it ended.
    """

    failures: Annotated[int, Field(ge=0)] = 0
    failure_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    silent_s: Annotated[float, Field(gt=0)] = 3600.0


@dataclass(frozen=True)
class Member:
    """A device of a rollout.

    Attributes:
        wave: from 0.
        since_s: when it came to its outcome, in seconds since 1970.
    """

    device: str
    wave: int
    outcome: Outcome = Outcome.WAITING
    since_s: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """Everything that its decisions are made from.

    Attributes:
        wave: that is asked now, from 0.
        met_s: when enough devices of that wave had taken the release; ``None``: not yet.
    """

    waves: tuple[WaveSettings, ...]
    thresholds: Thresholds
    members: tuple[Member, ...]
    course: Course = Course.DRAFT
    wave: int = 0
    met_s: float | None = None


@dataclass(frozen=True)
class Step:
    """What follows from how a rollout stands.

    Attributes:
        rollout: how it stands now.
        ask: devices whose plan is to name the release from now on.
        why: what changed its course, in words; empty if nothing did.
    """

    rollout: Rollout
    ask: tuple[str, ...] = ()
    why: str = ""


def members_of(devices: Mapping[str, str], waves: Sequence[WaveSettings]) -> tuple[Member, ...]:
    """Each device once, in the first wave that takes it; those that no wave takes are left out.

    Args:
        devices: group by device, in the order in which they are to be asked.
    """
    left: dict[str, str] = dict(devices)
    found: list[Member] = []
    for number, wave in enumerate(waves):
        if wave.percent is None:
            taken = [device for device, group in left.items() if group == wave.group]
        else:
            upto = _at_least(wave.percent / 100, len(devices))
            taken = list(left)[: max(0, upto - len(found))]
        found += [Member(device, number) for device in taken]
        for device in taken:
            del left[device]
    return tuple(found)


def heard(rollout: Rollout, words: Mapping[str, Outcome], now_s: float) -> Rollout:
    """Devices say how it ended, by one of ``ANSWERS``; one that was not asked is passed over."""
    if not words:
        return rollout
    members = (heard_of(one, words[one.device], now_s) if one.device in words else one for one in rollout.members)
    return replace(rollout, members=tuple(members))


def heard_of(member: Member, outcome: Outcome, now_s: float) -> Member:
    """The same for one member. Its last word counts: what refused it may be told to try again, and take it."""
    if outcome not in ANSWERS or member.outcome in (Outcome.WAITING, Outcome.LEFT, outcome):
        return member
    return replace(member, outcome=outcome, since_s=now_s)


def left(rollout: Rollout, devices: Iterable[str], now_s: float) -> Rollout:
    """Devices are taken out of the rollout; as if they had never been in, unless nobody else was in their wave."""
    out = set(devices)
    gone = [one.device for one in rollout.members if one.device in out and one.outcome is not Outcome.LEFT]
    return _with(rollout, dict.fromkeys(gone, Outcome.LEFT), now_s)


def pardoned(rollout: Rollout, seconds: float) -> Rollout:
    """Nobody listened for so long: it counts neither as silence of those that were asked, nor as soak time."""
    members = tuple(
        replace(one, since_s=one.since_s + seconds) if one.outcome is Outcome.ASKED else one for one in rollout.members
    )
    met_s = None if rollout.met_s is None else rollout.met_s + seconds
    return replace(rollout, members=members, met_s=met_s)


def step(rollout: Rollout, now_s: float, may_ask: bool = True) -> Step:
    """What is to be done now; doing it again changes nothing.

    Args:
        may_ask: a maintenance window is open.
    """
    if rollout.course in OVER or rollout.course is Course.DRAFT:
        return Step(rollout)
    rollout = _silenced(_not_ahead(rollout, now_s), now_s)
    if rollout.course is not Course.RUNNING:
        return Step(rollout)
    if why := _too_many(rollout):
        return Step(replace(rollout, course=Course.STOPPED), why=why)
    return _onward(rollout, now_s, may_ask)


def _onward(rollout: Rollout, now_s: float, may_ask: bool) -> Step:
    asked: list[str] = []
    while True:
        if abandoned(rollout):
            why = f"nobody is left of wave {rollout.wave + 1} who could say how it went"
            return Step(replace(rollout, course=Course.STOPPED, met_s=None), tuple(asked), why)
        inside = _of_wave(rollout, rollout.wave)
        waiting = [one.device for one in inside if one.outcome is Outcome.WAITING]
        if waiting and not may_ask:
            return Step(rollout, tuple(asked))
        rollout = _with(rollout, dict.fromkeys(waiting, Outcome.ASKED), now_s)
        asked += waiting
        if sum(one.outcome is Outcome.TOOK for one in inside) < needed(rollout, rollout.wave):
            return Step(replace(rollout, met_s=None), tuple(asked))
        met_s = now_s if rollout.met_s is None else rollout.met_s
        if now_s - met_s < rollout.waves[rollout.wave].soak_s:
            return Step(replace(rollout, met_s=met_s), tuple(asked))
        if rollout.wave + 1 == len(rollout.waves):
            return _ended(replace(rollout, met_s=met_s), tuple(asked))
        rollout = replace(rollout, wave=rollout.wave + 1, met_s=None)


def _ended(rollout: Rollout, asked: tuple[str, ...]) -> Step:
    """Behind the last wave: done, once nobody is left who could still say something."""
    if any(one.outcome is Outcome.ASKED for one in rollout.members):
        return Step(rollout, asked)
    return Step(replace(rollout, course=Course.DONE), asked, "every wave took it")


def abandoned(rollout: Rollout) -> bool:
    """Whether all devices of the wave that is asked were taken out, and others wait: nothing speaks for going on.

    A box that a release broke may be revoked, or planned for something else, before it counts as silent.
    """
    had = [one for one in rollout.members if one.wave == rollout.wave]
    waits = any(one.wave > rollout.wave and one.outcome is Outcome.WAITING for one in rollout.members)
    return waits and bool(had) and all(one.outcome is Outcome.LEFT for one in had)


def needed(rollout: Rollout, wave: int) -> int:
    """How many devices of a wave must take the release before the next one begins."""
    return _at_least(rollout.waves[wave].success, len(_of_wave(rollout, wave)))


def allowed_failures(rollout: Rollout, wave: int) -> int:
    """How many devices of a wave may fail."""
    size, limits = len(_of_wave(rollout, wave)), rollout.thresholds
    return min(limits.failures, size - _at_least(1 - limits.failure_share, size))


def _too_many(rollout: Rollout) -> str:
    """Why it stops; empty if it does not. A device of another wave may fail late, and counts where it is."""
    for number in range(len(rollout.waves)):
        inside = _of_wave(rollout, number)
        failed = [one for one in inside if one.outcome in FAILED]
        if len(failed) > (most := allowed_failures(rollout, number)):
            named = ", ".join(f"{one.device} ({one.outcome.value})" for one in failed[:5])
            return f"{len(failed)} of {len(inside)} devices of wave {number + 1} failed, {most} may: {named}"
        if len(inside) - len(failed) < needed(rollout, number):
            return f"wave {number + 1} cannot reach {rollout.waves[number].success:.0%} any more: {len(failed)} failed"
    return ""


def _not_ahead(rollout: Rollout, now_s: float) -> Rollout:
    """What a clock that was ahead wrote counts from now on; else nobody would be silent until that time has come."""
    ahead = [one.device for one in rollout.members if one.outcome is Outcome.ASKED and one.since_s > now_s]
    met_s = None if rollout.met_s is None else min(rollout.met_s, now_s)
    return _with(replace(rollout, met_s=met_s), dict.fromkeys(ahead, Outcome.ASKED), now_s)


def _silenced(rollout: Rollout, now_s: float) -> Rollout:
    late = {
        one.device: Outcome.SILENT
        for one in rollout.members
        if one.outcome is Outcome.ASKED and now_s - one.since_s >= rollout.thresholds.silent_s
    }
    return _with(rollout, late, now_s)


def _at_least(share: float, of: int) -> int:
    """The share, rounded up; 70 % of 10 is 7, although ``0.7 * 10`` is a little more."""
    return math.ceil(share * of - 1e-6)


def _of_wave(rollout: Rollout, wave: int) -> list[Member]:
    return [one for one in rollout.members if one.wave == wave and one.outcome is not Outcome.LEFT]


def _with(rollout: Rollout, outcomes: Mapping[str, Outcome], now_s: float) -> Rollout:
    if not outcomes:
        return rollout
    members = tuple(
        replace(one, outcome=outcomes[one.device], since_s=now_s) if one.device in outcomes else one
        for one in rollout.members
    )
    return replace(rollout, members=members)
