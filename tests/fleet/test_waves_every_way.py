"""Every rollout that is small enough, through everything that can happen to it in whatever order.

All states that can be reached are visited, and the promises of ``waves`` are looked at on each way between two of them.
Times are ticks; what is longer ago than anything that counts is as long ago as that, so that there is an end to it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgemill_core.errors import InputError
from edgemill_fleet.rollouts import turns
from edgemill_fleet.rollouts.waves import (
    FAILED,
    OVER,
    Course,
    Member,
    Outcome,
    Rollout,
    Thresholds,
    WaveSettings,
    allowed_failures,
    heard,
    left,
    needed,
    step,
)

SILENT_S = 2.0
EVERY = os.environ.get("EDGEMILL_EVERY_ROLLOUT") == "1"


def rollout(sizes: tuple[int, ...], success: float, failures: int, soak_s: float) -> Rollout:
    members = [Member(f"d{number}{place}", number) for number, size in enumerate(sizes) for place in range(size)]
    waves = tuple(WaveSettings(percent=100, success=success, soak_s=soak_s) for _ in sizes)
    return Rollout(waves, Thresholds(failures=failures, silent_s=SILENT_S), tuple(members))


SMALL = [
    rollout((1, 1), 1.0, 0, 1.0),
    rollout((1, 1), 0.5, 1, 0.0),
    rollout((2,), 0.5, 2, 1.0),
]
LARGER = [
    rollout((1, 2), 0.5, 1, 1.0),
    rollout((2, 2), 1.0, 1, 1.0),
    rollout((2, 1), 0.5, 1, 2.0),
    rollout((1, 1, 1), 1.0, 0, 1.0),
    rollout((1, 0, 2), 0.5, 1, 0.0),
    rollout((3,), 0.7, 1, 1.0),
    rollout((3, 1), 0.7, 1, 0.0),
    rollout((2, 2), 0.5, 2, 1.0),
]


def named(one: Rollout) -> str:
    sizes = "+".join(str(sum(member.wave == wave for member in one.members)) for wave in range(len(one.waves)))
    return f"{sizes}, {one.waves[0].success:.0%}, {one.thresholds.failures} may fail, soak {one.waves[0].soak_s:.0f}"


def settled(one: Rollout, now_s: float) -> Rollout:
    """The same seen from ``now_s`` as 0; what is long ago cannot be told apart any more."""
    longest = max(SILENT_S, *(wave.soak_s for wave in one.waves))
    members = tuple(
        replace(member, since_s=max(-SILENT_S, member.since_s - now_s) if member.outcome is Outcome.ASKED else 0.0)
        for member in one.members
    )
    return replace(one, members=members, met_s=None if one.met_s is None else max(-longest, one.met_s - now_s))


def happenings(one: Rollout) -> Iterator[tuple[str, Rollout]]:
    """All that can happen besides a step, at time 0. Rolled back is as refused, to what is decided."""
    yield "time", settled(one, 1.0)
    for member in one.members:
        for outcome in (Outcome.TOOK, Outcome.REFUSED):
            yield f"{member.device} {outcome.value}", heard(one, {member.device: outcome}, 0.0)
        yield f"{member.device} left", left(one, [member.device], 0.0)
    for name, turn in (
        ("approved", turns.approved),
        ("paused", turns.paused),
        ("aborted", turns.aborted),
        ("resumed without", lambda it: turns.resumed(it, 0.0)),
        ("resumed again", lambda it: turns.resumed(it, 0.0, again=True)),
    ):
        try:
            yield name, turn(one)
        except InputError:
            continue


def of_wave(one: Rollout, wave: int) -> list[Member]:
    return [member for member in one.members if member.wave == wave and member.outcome is not Outcome.LEFT]


def check_step(before: Rollout, may_ask: bool) -> Rollout:
    """A step, and every promise that it could break."""
    done = step(before, 0.0, may_ask)
    after = done.rollout
    again = step(after, 0.0, may_ask)
    assert (again.rollout, again.ask, again.why) == (after, (), ""), "doing it again changes something"
    old = {member.device: member.outcome for member in before.members}
    asked = {one.device for one in after.members if one.outcome is Outcome.ASKED and old[one.device] is not one.outcome}
    assert asked == set(done.ask)
    assert all(old[device] is Outcome.WAITING for device in asked)
    if asked:
        assert may_ask, "somebody is asked outside of the windows"
        assert before.course is Course.RUNNING, "somebody is asked who must not be"
        for wave in range(max(one.wave for one in after.members if one.device in asked)):
            check_passed(before, after, wave)
    for one in after.members:
        overdue = one.outcome is Outcome.ASKED and -one.since_s >= SILENT_S
        assert not overdue or after.course in OVER, "silence does not count"
    if after.course is not before.course:
        assert done.why
        assert before.course is Course.RUNNING
        assert after.course in (Course.STOPPED, Course.DONE)
    if after.course is Course.DONE and before.course is Course.RUNNING:
        assert not any(one.outcome in (Outcome.WAITING, Outcome.ASKED) for one in after.members)
        for wave in range(len(after.waves)):
            check_passed(before, after, wave)
    if after.course is Course.RUNNING:
        for wave in range(len(after.waves)):
            assert sum(one.outcome in FAILED for one in of_wave(after, wave)) <= allowed_failures(after, wave)
    return settled(after, 0.0)


def check_passed(before: Rollout, after: Rollout, wave: int) -> None:
    """A wave that a later one was asked behind had what it takes, for as long as it takes."""
    inside = of_wave(after, wave)
    assert sum(one.outcome in FAILED for one in inside) <= allowed_failures(after, wave)
    assert all(one.outcome is not Outcome.WAITING for one in inside)
    if wave == before.wave:
        assert sum(one.outcome is Outcome.TOOK for one in inside) >= needed(after, wave)
        soaked = 0.0 if before.met_s is None else -before.met_s
        assert soaked >= after.waves[wave].soak_s, "its soak time is not over"


def every_state(begin: Rollout) -> set[Rollout]:
    begin = settled(begin, 0.0)
    seen, to_see = {begin}, deque([begin])
    while to_see:
        one = to_see.popleft()
        follow = [after for _, after in happenings(one)]
        follow += [check_step(one, may_ask) for may_ask in (True, False)]
        for after in follow:
            if after not in seen:
                seen.add(after)
                to_see.append(after)
    return seen


def ends(one: Rollout) -> Rollout:
    """Where it comes to if nobody says anything any more and time goes on."""
    for _ in range(40):
        one = settled(step(one, 0.0).rollout, 1.0)
    return one


@pytest.mark.parametrize("begin", SMALL + (LARGER if EVERY else []), ids=named)
def test_every_promise_holds_in_every_state(begin: Rollout) -> None:
    seen = every_state(begin)
    assert {one.course for one in seen} == set(Course)
    for one in seen if EVERY else list(seen)[:300]:
        if one.course is Course.RUNNING:
            assert ends(one).course in (Course.STOPPED, Course.DONE), "it waits for ever"


@pytest.mark.parametrize("begin", SMALL + LARGER, ids=named)
def test_a_release_that_breaks_every_box_reaches_the_first_wave_and_nothing_else(begin: Rollout) -> None:
    for broken in (Outcome.REFUSED, Outcome.ROLLED_BACK, None):
        one, asked, now_s = turns.approved(begin), set[str](), 0.0
        while one.course is Course.RUNNING:
            done = step(one, now_s)
            asked |= set(done.ask)
            words = {} if broken is None else dict.fromkeys(done.ask, broken)
            one, now_s = heard(done.rollout, words, now_s), now_s + 1
            assert now_s < 20
        assert one.course is Course.STOPPED
        assert asked == {member.device for member in begin.members if member.wave == 0}
