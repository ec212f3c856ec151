"""Waves over many devices, and what people say to them; ``test_waves_every_way`` goes through the small ones."""

from __future__ import annotations

import math
import os
import random
from datetime import datetime, timezone
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgemill_core.errors import InputError
from edgemill_fleet.rollouts import turns
from edgemill_fleet.rollouts.waves import (
    Course,
    Outcome,
    Rollout,
    Thresholds,
    WaveSettings,
    allowed_failures,
    heard,
    left,
    members_of,
    needed,
    pardoned,
    step,
)
from edgemill_fleet.rollouts.windows import Window, may_ask


def percents(*told: float) -> tuple[WaveSettings, ...]:
    return tuple(WaveSettings(percent=one) for one in told)


@settings(max_examples=60, deadline=None)
@example(many=1000, tenths=[9])  # 0.009 * 1000 is a little more than 9
@given(many=st.integers(0, 3000), tenths=st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_a_wave_has_as_many_devices_as_its_percentage_says(many: int, tenths: list[int]) -> None:
    devices = {f"d{number}": "" for number in range(many)}
    members = members_of(devices, percents(*(one / 10 for one in tenths)))
    assert [one.device for one in members] == list(devices)[: len(members)], "each once, in their order"
    for wave in range(len(tenths)):
        upto = sum(one.wave <= wave for one in members)
        assert upto == max(math.ceil(Fraction(one, 1000) * many) for one in tenths[: wave + 1])


def test_a_group_is_a_wave_and_percentages_count_it() -> None:
    devices = {"a": "lab", "b": "line", "c": "lab", "d": "line", "e": "line"}
    waves = (WaveSettings(group="lab"), *percents(60, 100))
    found = {one.device: one.wave for one in members_of(devices, waves)}
    assert found == {"a": 0, "c": 0, "b": 1, "d": 2, "e": 2}
    assert [one.device for one in members_of(devices, waves[:1])] == ["a", "c"]


@settings(max_examples=100, deadline=None)
@example(size=50, percent=14, limit=50)
@example(size=50, percent=42, limit=50)
@given(size=st.integers(0, 400), percent=st.integers(1, 100), limit=st.integers(0, 400))
def test_shares_are_what_people_mean_by_them(size: int, percent: int, limit: int) -> None:
    waves = (WaveSettings(percent=100, success=percent / 100),)
    limits = Thresholds(failures=limit, failure_share=percent / 100)
    one = Rollout(waves, limits, members_of({f"d{number}": "" for number in range(size)}, waves))
    assert needed(one, 0) == math.ceil(Fraction(percent, 100) * size)
    assert allowed_failures(one, 0) == min(limit, math.floor(Fraction(percent, 100) * size))


@pytest.mark.parametrize(
    "told", [{}, {"percent": 10, "group": "a"}, {"percent": 0}, {"percent": 101}, {"group": "a", "success": 0}]
)
def test_what_is_no_wave(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WaveSettings.model_validate(told)


def plant(waves: tuple[WaveSettings, ...], many: int, **limits: float) -> Rollout:
    devices = {f"d{number:05d}": "" for number in range(many)}
    return turns.approved(Rollout(waves, Thresholds.model_validate(limits), members_of(devices, waves)))


def test_many_of_which_two_in_a_hundred_fail_and_one_is_silent() -> None:
    chance = random.Random(1)
    waves = tuple(WaveSettings(percent=one, success=0.9, soak_s=600) for one in (1, 10, 50, 100))
    many = 10_000 if os.environ.get("EDGEMILL_EVERY_ROLLOUT") == "1" else 1000
    one = plant(waves, many, failures=many, failure_share=0.08, silent_s=3600)
    upto, now_s, steps, fates = [many // 100, many // 10, many // 2, many], 0.0, 0, dict[str, Outcome]()
    while one.course is Course.RUNNING:
        done = step(one, now_s)
        assert sum(member.outcome is not Outcome.WAITING for member in done.rollout.members) <= upto[done.rollout.wave]
        for device in done.ask:
            fates[device] = chance.choices([Outcome.TOOK, Outcome.REFUSED, Outcome.SILENT], [97, 2, 1])[0]
        words = {device: fates[device] for device in done.ask if fates[device] is not Outcome.SILENT}
        one, now_s, steps = heard(done.rollout, words, now_s + 30), now_s + 60, steps + 1
        assert steps < 200
    assert one.course is Course.DONE
    assert {member.device: member.outcome for member in one.members} == fates


def test_of_ten_thousand_that_it_breaks_a_hundred_were_asked() -> None:
    one, now_s = plant(percents(1, 10, 100), 10_000, failures=5), 0.0
    while one.course is Course.RUNNING:
        done = step(one, now_s)
        one, now_s = heard(done.rollout, dict.fromkeys(done.ask, Outcome.ROLLED_BACK), now_s), now_s + 60
    assert one.course is Course.STOPPED
    assert sum(member.outcome is not Outcome.WAITING for member in one.members) == 100


def test_a_late_failure_of_a_wave_that_was_over_stops_it_and_names_it() -> None:
    one = step(plant(percents(50, 100), 4), 0.0).rollout
    one = step(heard(one, {"d00000": Outcome.TOOK, "d00001": Outcome.TOOK}, 1.0), 2.0).rollout
    assert one.wave == 1
    done = step(heard(one, {"d00001": Outcome.ROLLED_BACK}, 3.0), 4.0)
    assert done.rollout.course is Course.STOPPED
    assert done.why == "1 of 2 devices of wave 1 failed, 0 may: d00001 (rolled back)"


def test_the_soak_time_begins_again_when_a_device_falls_back() -> None:
    waves = (WaveSettings(percent=50, success=1, soak_s=10), WaveSettings(percent=100))
    one = step(plant(waves, 2, failures=1), 0.0).rollout
    one = step(heard(one, {"d00000": Outcome.TOOK}, 0.0), 0.0).rollout
    assert step(one, 9.9).rollout.wave == 0
    assert step(pardoned(one, 5.0), 14.0).rollout.wave == 0
    assert step(one, 10.0).rollout.wave == 1


def test_who_left_is_as_if_he_had_never_been_in() -> None:
    one = step(plant(percents(100), 2), 0.0).rollout
    one = heard(left(one, ["d00000"], 0.0), {"d00000": Outcome.REFUSED, "d00001": Outcome.TOOK}, 0.0)
    assert step(one, 0.0).rollout.course is Course.DONE


def test_what_cannot_be_done_to_a_rollout_is_said() -> None:
    one = plant(percents(100), 1)
    for turn in (turns.approved, lambda it: turns.resumed(it, 0.0)):
        with pytest.raises(InputError) as error:
            turn(one)
        assert error.value.got == "it is running"
    with pytest.raises(InputError, match="cannot be aborted"):
        turns.aborted(turns.aborted(one))


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 11, day, hour, minute, tzinfo=timezone.utc).timestamp()


def test_windows() -> None:
    night = Window.model_validate({"days": ["fri"], "begin": "22:00", "end": "05:30"})
    assert [
        may_ask([night], at(*when)) for when in [(27, 21, 59), (27, 22), (28, 5, 29), (28, 5, 30), (28, 22), (27, 3)]
    ] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    noon = Window.model_validate({"begin": "12:00", "end": "13:00", "zone": "Europe/Berlin"})
    assert may_ask([night, noon], at(25, 11, 30))
    assert not may_ask([night, noon], at(25, 12, 30))
    assert may_ask([], 0.0)


@pytest.mark.parametrize(
    "told",
    [{"begin": "22:00"}, {"begin": "25:00", "end": "1:00"}, {"zone": "Nowhere/City"}, {"days": []}, {"zone": "../etc"}],
)
def test_what_is_no_window(told: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"begin": "01:00", "end": "02:00", **told} if "begin" not in told else told)
