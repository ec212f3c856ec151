"""What people do to a rollout: approve, pause, resume, abort. Pure, as ``waves`` is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from edgemill_core.errors import InputError
from edgemill_fleet.rollouts.waves import FAILED, OVER, Course, Member, Outcome, Rollout, abandoned


def approved(rollout: Rollout) -> Rollout:
    """It may begin.

    Raises:
        InputError: it is no draft.
    """
    _check(rollout, "approved", {Course.DRAFT})
    return replace(rollout, course=Course.RUNNING)


def paused(rollout: Rollout) -> Rollout:
    """Nobody new is asked until it is resumed.

    Raises:
        InputError: it does not run.
    """
    _check(rollout, "paused", {Course.RUNNING})
    return replace(rollout, course=Course.PAUSED)


def resumed(rollout: Rollout, now_s: float, again: bool = False) -> Rollout:
    """It goes on; behind a stop, somebody has looked at those that failed.

    Args:
        again: they are asked once more, and count again. If not they are left out from now on. A box does not try again
            what it refused or rolled back, unless somebody tells it to (``agent update --again``).

    Raises:
        InputError: it is neither paused nor stopped.
    """
    _check(rollout, "resumed", {Course.PAUSED, Course.STOPPED})
    if rollout.course is Course.PAUSED:
        return replace(rollout, course=Course.RUNNING)
    become = Outcome.WAITING if again else Outcome.LEFT
    members = tuple(
        replace(one, outcome=become, since_s=now_s) if one.outcome in FAILED else one for one in rollout.members
    )
    # It goes back to the wave of the first that is asked again: those behind it are not asked before that one took it.
    wave = min((one.wave for one in members if one.outcome is Outcome.WAITING), default=rollout.wave)
    again_from = replace(rollout, course=Course.RUNNING, wave=min(wave, rollout.wave), met_s=None, members=members)
    while abandoned(again_from):  # somebody has looked, and goes on without that wave
        again_from = replace(again_from, wave=again_from.wave + 1)
    return again_from


def aborted(rollout: Rollout) -> Rollout:
    """It is over.

    Raises:
        InputError: it is over already.
    """
    _check(rollout, "aborted", set(Course) - OVER)
    return replace(rollout, course=Course.ABORTED)


def going_back(members: Iterable[Member], also_took: bool) -> tuple[str, ...]:
    """Devices of an aborted rollout that are asked for what they had before.

    Args:
        also_took: those too that took the release.
    """
    asked = FAILED | {Outcome.ASKED} | ({Outcome.TOOK} if also_took else frozenset())
    return tuple(one.device for one in members if one.outcome in asked)


def _check(rollout: Rollout, verb: str, courses: set[Course]) -> None:
    if rollout.course not in courses:
        raise InputError(
            f"this rollout cannot be {verb}",
            expected="one that is " + " or ".join(sorted(one.value for one in courses)),
            got=f"it is {rollout.course.value}",
            fix="look at it: edgemill fleet rollouts",
        )
