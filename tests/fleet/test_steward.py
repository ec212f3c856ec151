"""The steward over real tables and a real folder of releases: asks, signs, stops, goes on after it was killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cuts import killed_before
from fleet_rows import Ledger, add_devices, add_release, begin_rollout, course, outcomes
from release_keys import NOW, Keys, later, make_repository, path_of, target
from sqlalchemy import select

from edgemill_core.errors import InputError
from edgemill_fleet.intake.messages import Message
from edgemill_fleet.intake.taking import take_messages
from edgemill_fleet.releases.planning import Planned, read_plans
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.rollouts.signing import PlanSigner
from edgemill_fleet.rollouts.steward import Steward
from edgemill_fleet.rollouts.waves import Outcome, WaveSettings
from edgemill_fleet.rollouts.windows import Window
from edgemill_fleet.store.database import Database, open_database
from edgemill_fleet.store.devices import revoke_device
from edgemill_fleet.store.rollouts import (
    Order,
    SecondPersonError,
    abort_rollout,
    approve_rollout,
    count_outcomes,
    create_rollout,
    pause_rollout,
    resume_rollout,
)
from edgemill_fleet.store.tables import Audit, Device, PlanOf, RolloutRow, Wanted
from edgemill_fleet.store.wanted import want

NOW_S = NOW.timestamp()
FIRST, REST = WaveSettings(percent=34), WaveSettings(percent=100)
EVERY_CUT = os.environ.get("EDGEMILL_EVERY_CUT") == "1"


class Plant:
    """A fleet whose clock stands until it is told."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder, self.keys, self.now_s = database, folder, Keys(), NOW_S
        repository = make_repository(folder, self.keys)
        repository.change_releases({path_of("1.1.0"): target("1.1.0", b"{}")}, [], self.keys.all)
        self.steward = self.another("one")
        add_devices(database, "a", "b", "c")
        for version in ("1.0.0", "1.1.0"):
            add_release(database, version=version)
        self.ledgers = {device: Ledger(device) for device in "abc"}

    def another(self, holder: str, database: Database | None = None) -> Steward:
        signer = PlanSigner(self.folder, [self.keys.online, self.keys.plans])
        return Steward(database or self.database, signer, lambda: self.now_s, holder)

    def hears(self, device: str, outcome: Outcome, version: str = "1.0.0") -> None:
        ledger = self.ledgers[device]
        before = ledger.position
        ledger.says(outcome, version)
        done = take_messages(self.database, [Message(device, ledger.batch(before))], self.now_s)
        assert not done.trouble

    def plans(self) -> dict[str, tuple[int, list[str]]]:
        found = {device: told.signed for device, told in read_plans(self.folder).items()}
        return {device: (plan.version, [one.version for one in plan.releases]) for device, plan in found.items()}

    def goes_on(self, seconds: float = 1.0) -> None:
        self.now_s += seconds
        assert not self.steward.step().trouble


@pytest.fixture
def plant(database: Database, tmp_path: Path) -> Plant:
    return Plant(database, tmp_path / "releases")


def test_two_waves(plant: Plant) -> None:
    number = begin_rollout(plant.database, FIRST, REST)
    plant.goes_on()
    assert plant.plans() == {"a": (1, ["1.0.0"]), "b": (1, ["1.0.0"])}
    assert outcomes(plant.database, number) == {"a": "asked", "b": "asked", "c": "waiting"}
    plant.hears("a", Outcome.TOOK)
    plant.goes_on()
    assert "c" not in plant.plans()
    plant.hears("b", Outcome.TOOK)
    plant.goes_on()
    assert plant.plans()["c"] == (1, ["1.0.0"])
    plant.hears("c", Outcome.TOOK)
    plant.goes_on()
    assert course(plant.database, number) == "done"
    with plant.database.reading() as session:
        assert count_outcomes(session, number) == {0: {Outcome.TOOK: 2}, 1: {Outcome.TOOK: 1}}
        assert [row.what for row in session.query(Audit).order_by(Audit.id)] == [
            "rollout made",
            "rollout approved",
            "rollout done",
        ]
        assert not session.execute(select(PlanOf).where(PlanOf.due)).all()


def test_it_stops_when_one_refuses_and_goes_on_without_it(plant: Plant) -> None:
    number = begin_rollout(plant.database, FIRST, REST)
    plant.goes_on()
    plant.hears("a", Outcome.REFUSED)
    plant.hears("b", Outcome.TOOK)
    plant.goes_on()
    plant.goes_on(100)
    assert course(plant.database, number) == "stopped"
    assert "c" not in plant.plans()
    with plant.database.session() as session:
        assert "a (refused)" in session.get_one(RolloutRow, number).why
        resume_rollout(session, number, "ben", plant.now_s)
    plant.goes_on()
    assert outcomes(plant.database, number) == {"a": "left", "b": "took", "c": "asked"}


def test_silence_fails_and_what_is_asked_again_is_asked_again(plant: Plant) -> None:
    number = begin_rollout(plant.database, FIRST, REST, silent_s=60)
    plant.goes_on()
    plant.hears("b", Outcome.TOOK)
    for _ in range(3):
        plant.goes_on(20)
    assert course(plant.database, number) == "stopped"
    assert outcomes(plant.database, number)["a"] == "silent"
    with plant.database.session() as session:
        resume_rollout(session, number, "ben", plant.now_s, again=True)
    plant.goes_on()
    assert outcomes(plant.database, number) == {"a": "asked", "b": "took", "c": "waiting"}
    assert plant.plans()["a"] == (2, ["1.0.0"])
    plant.hears("a", Outcome.TOOK)
    plant.goes_on()
    assert outcomes(plant.database, number)["c"] == "asked"


def test_time_in_which_no_steward_looked_is_not_silence(plant: Plant) -> None:
    number = begin_rollout(plant.database, silent_s=60)
    plant.goes_on()
    plant.goes_on(3600)
    assert set(outcomes(plant.database, number).values()) == {"asked"}
    for _ in range(3):
        plant.goes_on(20)
    assert set(outcomes(plant.database, number).values()) == {"silent"}


def test_a_clock_that_was_far_ahead_puts_neither_silence_nor_soak_time_off(plant: Plant) -> None:
    def passes(times: int) -> None:
        for _ in range(times):
            plant.goes_on(25)  # no more at once: time in which nobody looked does not count

    number = begin_rollout(plant.database, WaveSettings(percent=34, soak_s=50), REST, silent_s=100, failures=3)
    plant.now_s += 1_000_000
    plant.goes_on()
    plant.now_s -= 1_000_000
    plant.goes_on()
    passes(3)
    assert outcomes(plant.database, number) == {"a": "asked", "b": "asked", "c": "waiting"}
    passes(1)
    assert outcomes(plant.database, number) == {"a": "silent", "b": "silent", "c": "waiting"}
    plant.now_s += 1_000_000
    plant.hears("a", Outcome.TOOK)
    plant.hears("b", Outcome.TOOK)
    with plant.database.session() as session:
        resume_rollout(session, number, "ben", plant.now_s)
    plant.goes_on()
    plant.now_s -= 1_000_000
    plant.goes_on()
    passes(1)
    assert outcomes(plant.database, number)["c"] == "waiting"
    passes(1)
    assert outcomes(plant.database, number)["c"] == "asked"


@pytest.mark.parametrize("back", [False, True])
def test_abort_sends_back_whom_it_should(plant: Plant, back: bool) -> None:
    with plant.database.session() as session:
        want(session, ["a", "b"], "tiny", "1.0.0", NOW_S)
    number = begin_rollout(plant.database, version="1.1.0")
    plant.goes_on()
    assert [releases for _, releases in plant.plans().values()] == [["1.1.0"]] * 3
    plant.hears("a", Outcome.TOOK, "1.1.0")
    with plant.database.session() as session:
        assert abort_rollout(session, number, "anna", plant.now_s, back) == (3 if back else 2)
    plant.goes_on()
    assert {device: releases for device, (_, releases) in plant.plans().items()} == {
        "a": ["1.0.0"] if back else ["1.1.0"],
        "b": ["1.0.0"],
        "c": [],  # it had none
    }
    with pytest.raises(InputError, match="cannot be aborted"), plant.database.session() as session:
        abort_rollout(session, number, "anna", plant.now_s)


def test_who_was_asked_twice_still_goes_back_to_what_was_before(plant: Plant) -> None:
    with plant.database.session() as session:
        want(session, ["a"], "tiny", "1.0.0", NOW_S)
    number = begin_rollout(plant.database, version="1.1.0")
    plant.goes_on()
    plant.hears("a", Outcome.ROLLED_BACK, "1.1.0")
    plant.goes_on()
    with plant.database.session() as session:
        resume_rollout(session, number, "ben", plant.now_s, again=True)
    plant.goes_on()
    assert plant.plans()["a"] == (2, ["1.1.0"])
    with plant.database.session() as session:
        abort_rollout(session, number, "anna", plant.now_s)
    plant.goes_on()
    assert plant.plans()["a"] == (3, ["1.0.0"])


def test_nobody_is_asked_before_approval_in_a_pause_or_outside_the_windows(plant: Plant) -> None:
    assert NOW.hour == 12
    night = Window.model_validate({"begin": "22:00", "end": "02:00"})
    order = Order("tiny", "1.0.0", (REST,), windows=(night,))
    with plant.database.session() as session:
        number = create_rollout(session, order, {"a": "", "b": ""}, "anna", NOW_S)
    plant.goes_on()
    with pytest.raises(SecondPersonError), plant.database.session() as session:
        approve_rollout(session, number, "anna", NOW_S)
    with plant.database.session() as session:
        approve_rollout(session, number, "ben", NOW_S)
    plant.goes_on()
    assert not plant.plans()
    with plant.database.session() as session:
        pause_rollout(session, number, "ben", NOW_S)
    plant.goes_on(11 * 3600)
    assert not plant.plans()
    with plant.database.session() as session:
        resume_rollout(session, number, "ben", NOW_S)
    plant.goes_on()
    assert set(plant.plans()) == {"a", "b"}


def test_a_device_that_runs_it_already_took_it(plant: Plant) -> None:
    plant.hears("a", Outcome.TOOK)
    number = begin_rollout(plant.database)
    plant.goes_on()
    assert outcomes(plant.database, number) == {"a": "took", "b": "asked", "c": "asked"}


def test_a_revoked_device_is_left_out_and_gets_no_plan(plant: Plant) -> None:
    number = begin_rollout(plant.database)
    with plant.database.session() as session:
        revoke_device(session, "a", NOW_S)
    plant.goes_on()
    assert outcomes(plant.database, number) == {"a": "left", "b": "asked", "c": "asked"}
    assert set(plant.plans()) == {"b", "c"}


@pytest.mark.parametrize("taken", ["revoked", "planned for another"])
def test_where_nobody_is_left_of_a_wave_the_next_does_not_begin_by_itself(plant: Plant, taken: str) -> None:
    """The boxes that the release broke are the first that somebody takes out."""
    number = begin_rollout(plant.database, FIRST, REST)
    plant.goes_on()
    with plant.database.session() as session:
        for device in "ab":
            if taken == "revoked":
                revoke_device(session, device, plant.now_s)
            else:
                want(session, [device], "tiny", "1.1.0", plant.now_s)
    plant.goes_on()
    assert (course(plant.database, number), outcomes(plant.database, number)["c"]) == ("stopped", "waiting")
    with plant.database.session() as session:
        assert "nobody is left of wave 1" in session.get_one(RolloutRow, number).why
        resume_rollout(session, number, "ben", plant.now_s)
    plant.goes_on()
    assert (course(plant.database, number), outcomes(plant.database, number)["c"]) == ("running", "asked")
    plant.hears("c", Outcome.TOOK)
    plant.goes_on()
    assert course(plant.database, number) == "done"


def test_of_two_rollouts_of_a_name_the_one_that_asks_last_has_the_device(plant: Plant) -> None:
    first = begin_rollout(plant.database)
    plant.goes_on()
    second = begin_rollout(plant.database, version="1.1.0")
    plant.goes_on()
    assert set(outcomes(plant.database, first).values()) == {"left"}
    assert set(outcomes(plant.database, second).values()) == {"asked"}
    with plant.database.reading() as session:
        assert {row.before for row in session.query(Wanted)} == {"1.0.0"}


def test_a_withdrawn_release_stops_its_rollout_and_leaves_the_plans(plant: Plant) -> None:
    number = begin_rollout(plant.database, FIRST, REST)
    plant.goes_on()
    Repository(plant.folder, later(0)).change_releases({}, [path_of("1.0.0")], plant.keys.all)
    plant.goes_on()
    assert course(plant.database, number) == "stopped"
    assert plant.plans() == {"a": (2, []), "b": (2, [])}


@pytest.mark.parametrize("paused", [False, True])
def test_a_rollout_of_a_withdrawn_release_is_not_resumed(plant: Plant, paused: bool) -> None:
    number = begin_rollout(plant.database, FIRST, REST)
    plant.goes_on()
    if paused:
        with plant.database.session() as session:
            pause_rollout(session, number, "anna", plant.now_s)
    Repository(plant.folder, later(0)).change_releases({}, [path_of("1.0.0")], plant.keys.all)
    plant.goes_on()
    with pytest.raises(InputError) as caught, plant.database.session() as session:
        resume_rollout(session, number, "anna", plant.now_s)
    assert caught.value.got == "it is withdrawn"
    assert course(plant.database, number) == ("paused" if paused else "stopped")


def test_plans_and_the_list_are_signed_again_before_they_expire(plant: Plant) -> None:
    begin_rollout(plant.database)
    plant.goes_on()
    plant.goes_on(10 * 86_400)
    assert {version for version, _ in plant.plans().values()} == {1}
    plant.goes_on(11 * 86_400)
    assert {version for version, _ in plant.plans().values()} == {2}
    standing = Repository(plant.folder, NOW + timedelta(days=21)).standing()
    assert standing.timestamp.expires > NOW + timedelta(days=50)
    assert not plant.steward.step().renewed


def test_a_folder_that_somebody_holds_is_tried_again(plant: Plant) -> None:
    from edgemill_fleet.releases.holding import held

    begin_rollout(plant.database)
    with held(plant.folder):
        assert "somebody else is at work" in plant.steward.step().trouble[0]
    plant.goes_on()
    assert set(plant.plans()) == {"a", "b", "c"}


def test_a_plan_that_cannot_be_made_keeps_no_other(plant: Plant) -> None:
    begin_rollout(plant.database)
    (plant.folder / "plans").mkdir()
    (plant.folder / "plans" / "b.json").write_text("altered")
    done = plant.steward.step()
    assert done.signed == 2
    assert [one.split(":")[0] for one in done.trouble] == ["b"]


def test_one_steward_works_and_another_follows_when_its_lease_is_over(plant: Plant) -> None:
    begin_rollout(plant.database)
    other = plant.another("two")
    assert plant.steward.step().ours
    assert not other.step().ours
    plant.now_s += 61
    assert other.step().ours
    assert not plant.steward.step().ours


def test_a_steward_that_lost_its_lease_while_it_signed_marks_nothing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_rollout(plant.database)
    real = PlanSigner.sign

    def slow(*told: object) -> Planned:
        made: Planned = real(*told)  # type: ignore[arg-type]
        plant.now_s += 61
        monkeypatch.undo()
        assert plant.another("two").step().ours
        return made

    monkeypatch.setattr(PlanSigner, "sign", slow)
    assert not plant.steward.step().ours
    assert {version for version, _ in plant.plans().values()} == {1}, "the other one took over what lay there"


def test_a_steward_that_slept_before_it_signs_overwrites_nothing(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the database and the folder another followed it, and signed what was wanted since."""
    begin_rollout(plant.database)
    real = PlanSigner.sign

    def sleepy(*told: object) -> Planned:
        monkeypatch.undo()
        plant.now_s += 61
        with plant.database.session() as session:
            want(session, ["b"], "tiny", "1.1.0", plant.now_s)
        assert plant.another("two").step().ours
        made: Planned = real(*told)  # type: ignore[arg-type]
        return made

    monkeypatch.setattr(PlanSigner, "sign", sleepy)
    assert not plant.steward.step().ours
    assert plant.another("two").step().ours
    assert {device: releases for device, (_, releases) in plant.plans().items()} == {
        "a": ["1.0.0"],
        "b": ["1.1.0"],
        "c": ["1.0.0"],
    }


def test_what_changes_while_it_is_signed_stays_due(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_rollout(plant.database)
    real = PlanSigner.sign

    def change_behind(*told: object) -> Planned:
        made: Planned = real(*told)  # type: ignore[arg-type]
        monkeypatch.undo()
        with plant.database.session() as session:
            want(session, ["b"], "tiny", "1.1.0", plant.now_s)
        return made

    monkeypatch.setattr(PlanSigner, "sign", change_behind)
    plant.goes_on()
    assert plant.plans() == {"a": (1, ["1.0.0"]), "b": (2, ["1.1.0"]), "c": (1, ["1.0.0"])}


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_killed_at_any_write_the_next_one_ends_it(plant: Plant) -> None:
    """Before each call that changes the folder of releases; SQLite's own writes are its own affair."""
    begin_rollout(plant.database)
    url = plant.database.engine.url.render_as_string()
    plant.database.close()

    def work() -> None:
        database = open_database(url)
        plant.another("killed", database).step()
        os._exit(0)  # nothing is tidied up

    number = 0
    while killed_before(number, work):
        plant.now_s += 61
        check_whole(plant, url, number, lambda: begin_again(plant, url))
        number += 1 if EVERY_CUT else 7
    assert number >= 3 * (4 if EVERY_CUT else 1)


def check_whole(plant: Plant, url: str, cut: int, again: Callable[[], None]) -> None:
    database = open_database(url)
    done = plant.another(f"after {cut}", database).step()
    assert done.ours
    assert not done.trouble
    versions = {version for version, _ in plant.plans().values()}
    with database.reading() as session:
        assert {(row.version, row.due) for row in session.query(PlanOf)} == {(version, False) for version in versions}
    assert len(versions) == 1, "a plan was signed twice"
    Repository(plant.folder, NOW).standing()
    database.close()
    again()


def begin_again(plant: Plant, url: str) -> None:
    """The same devices are to run the other version."""
    database = open_database(url)
    with database.session() as session:
        version = "1.0.0" if session.query(Wanted).first().version == "1.1.0" else "1.1.0"  # type: ignore[union-attr]
        want(session, [row.id for row in session.query(Device)], "tiny", version, plant.now_s)
    plant.now_s += 61
    database.close()
