"""When checks look, what counts, and how often they mend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgemill_agent.health.base import Check, Rise, Spell
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_agent.health.settings import HealthSettings
from edgemill_agent.health.table import OF_BOX, OF_STATION, checks_for
from edgemill_agent.health.watch import CALM_ROUNDS, MEND_MOST, MEND_PAUSE_S, MEND_WITHIN_S, Round, Watch
from edgemill_agent.settings import AgentSettings

EVERY_S = 5.0
BAD = Finding(State.ALARM, "bad", "mend it")


def settings(**station: object) -> AgentSettings:
    one = {"name": "cell", "bundle": "b", "source": {"folder": "p"}, **station}
    return AgentSettings.model_validate({"device": {"id": "box"}, "stations": [one]})


def facts(now_s: float) -> Facts:
    return Facts(now_s, 1e9 + now_s, Path("/nowhere"), {}, "", None, 0, None, {}, {})


class Told(Check):
    """Finds what it is told."""

    name = "told"
    mends = "restarts something"
    found: Finding = ok("well")
    looks = 0

    def look(self, facts: Facts) -> Finding:
        self.looks += 1
        return self.found


class Raises(Check):
    name = "raises"

    def look(self, facts: Facts) -> Finding:
        raise OSError("the sensor is gone from rtsp://u:secret@cam")


class Run:
    """A watch and its time."""

    def __init__(self, *checks: Check, may_mend: bool = True) -> None:
        self.watch, self.now_s = Watch(checks, EVERY_S, may_mend), 0.0

    def round(self) -> Round:
        self.now_s += EVERY_S
        return self.watch.round(facts(self.now_s))

    def states(self) -> Mapping[str, State]:
        return {one.check: one.state for one in self.watch.standings()}


def test_a_check_that_raises_is_reported_and_stops_no_other() -> None:
    told = Told(settings())
    told.found = BAD
    run = Run(Raises(settings()), told)
    found = run.round()
    assert [change.now.check for change in found.changes] == ["raises", "told"]
    assert run.states() == {"raises": State.UNKNOWN, "told": State.ALARM}
    said = found.changes[0].now.what
    assert "OSError: the sensor is gone" in said
    assert "secret" not in said


def test_what_must_hold_counts_only_once_it_has_held_and_a_flicker_changes_nothing() -> None:
    check = Told(settings())
    run = Run(check)
    run.round()
    check.found = Finding(State.ALARM, "gone", holds_s=12)
    for _ in range(2):
        assert not run.round().changes
    check.found = ok("back")
    assert not run.round().changes
    check.found = Finding(State.ALARM, "gone", holds_s=12)
    assert [len(run.round().changes) for _ in range(5)] == [0, 0, 0, 1, 0]


def test_well_again_counts_after_some_rounds() -> None:
    check = Told(settings())
    run = Run(check)
    check.found = BAD
    assert [change.before for change in run.round().changes] == [State.OK]
    check.found = ok("well")
    changes = [len(run.round().changes) for _ in range(CALM_ROUNDS + 2)]
    assert changes == [0] * CALM_ROUNDS + [1, 0]
    assert run.states() == {"told": State.OK}


def test_words_follow_while_the_state_stands() -> None:
    check = Told(settings())
    run = Run(check)
    check.found = BAD
    run.round()
    since = run.watch.standings()[0].since_utc_s
    check.found = Finding(State.ALARM, "worse")
    assert not run.round().changes
    assert (run.watch.standings()[0].what, run.watch.standings()[0].since_utc_s) == ("worse", since)


def test_a_check_looks_in_its_own_rounds() -> None:
    check = Told(settings())
    check.every = 3  # type: ignore[misc]
    run = Run(check)
    for _ in range(7):
        run.round()
    assert check.looks == 3


def mending(check: Told, run: Run, seconds: float) -> int:
    """How many restarts are asked for, and done, in so long."""
    done, until = 0, run.now_s + seconds
    while run.now_s < until:
        for mend in run.round().mends:
            assert mend.process == "cell/source"
            run.watch.mended(mend, run.now_s)
            done += 1
    return done


def test_a_mend_is_asked_for_a_few_times_an_hour_and_then_a_person() -> None:
    check = Told(settings())
    check.found = Finding(State.ALARM, "stuck", "look at the cable", restart="cell/source")
    run = Run(check)
    assert mending(check, run, MEND_PAUSE_S) == 1
    assert mending(check, run, MEND_WITHIN_S - 2 * MEND_PAUSE_S) == MEND_MOST - 1
    said = run.watch.standings()[0]
    assert said.mended == MEND_MOST
    assert "in vain: look at the cable" in said.to_do
    assert mending(check, run, 3 * MEND_PAUSE_S) > 0  # the first is an hour ago


def test_a_mend_that_could_not_be_done_is_asked_for_again() -> None:
    check = Told(settings())
    check.found = Finding(State.ALARM, "stuck", restart="cell/source")
    run = Run(check)
    assert all(run.round().mends for _ in range(10))


@pytest.mark.parametrize("state", [State.WARNING, State.OK, State.UNKNOWN])
def test_only_an_alarm_mends(state: State) -> None:
    check = Told(settings())
    check.found = Finding(state, "", restart="cell/source")
    run = Run(check)
    assert not any(run.round().mends for _ in range(10))


def test_nothing_is_mended_where_that_is_switched_off_or_not_declared() -> None:
    check = Told(settings())
    check.found = Finding(State.ALARM, "stuck", restart="cell/source")
    run = Run(check, may_mend=False)
    assert not run.round().mends
    check.mends = ""  # type: ignore[misc]
    run = Run(check)
    assert not run.round().mends
    assert "does not say that it mends" in run.watch.standings()[0].what


def test_the_table_names_each_once_and_only_what_applies() -> None:
    every = (*OF_BOX, *OF_STATION)
    names = [one.name for one in every]
    assert len(set(names)) == len(names)
    assert all(one.__doc__ for one in every)
    plain = {one.name for one in checks_for(settings())}
    assert plain == {"disk", "temperature", "clock", "memory", "camera", "engine"}
    plc = {"modbus": {"host": "h"}, "reject": "coil 1"}
    more = {one.name for one in checks_for(settings(deadline_ms=50, outputs=[plc]))}
    assert more - plain == {"late", "plc"}


def test_spells_and_rises() -> None:
    spell, rise = Spell(), Rise(10)
    assert [spell.seconds(so, now) for so, now in ((True, 1), (True, 4), (False, 5), (True, 9))] == [0, 3, 0, 0]
    assert [rise.by(count, now) for count, now in ((5, 0), (7, 5), (7, 12), (7, 30))] == [0, 2, 0, 0]
    rise = Rise(10, 0)
    assert [rise.by(count, now) for count, now in ((5, 0), (7, 5), (7, 12), (7, 30))] == [5, 7, 0, 0]


def test_limits_are_read_with_their_units() -> None:
    told = {"disk_free": "1GiB", "no_frame": "90s", "memory_window": "2h"}
    limits = HealthSettings.model_validate(told)
    assert (limits.disk_free, limits.no_frame.total_seconds()) == (1 << 30, 90)
    with pytest.raises(ValueError, match="late_share"):
        HealthSettings.model_validate({"late_share": 2})


Looks = Callable[[Facts], Finding]


@pytest.mark.parametrize("check", checks_for(settings(deadline_ms=50)), ids=lambda one: one.name)
def test_every_check_of_a_box_without_its_station_fails_alone_or_looks(check: Check) -> None:
    """No fact may be missing without being said: a station that is not there is the check's own failure."""
    watch = Watch([check], EVERY_S)
    watch.round(facts(1.0))
    if check.station:
        assert watch.standings()[0].state is State.UNKNOWN
        assert "KeyError" in watch.standings()[0].what
