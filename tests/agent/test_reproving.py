"""The box is another one than that on which the active bundle was proved: what becomes of it, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from release_keys import NOW

from edgemill.cli.status import _lines
from edgemill_agent.health.finding import State as Health
from edgemill_agent.health.proof import Proof, judge
from edgemill_agent.health.table import checks_for
from edgemill_agent.line.updates import Look, Pace, Updates
from edgemill_agent.settings import AgentSettings
from edgemill_agent.status_file import Status
from edgemill_agent.updating.book import Book, read_book, write_book
from edgemill_agent.updating.proving import Proven
from edgemill_agent.updating.reproving import needs_proof, proved_anew
from edgemill_agent.updating.slots import Installed, Reproof, Slots, bundle_folder, read_slots, write_slots
from edgemill_agent.updating.states import Event, State
from edgemill_agent.updating.telling import told_of
from edgemill_agent.updating.updater import Updater
from edgemill_core.bundle import open_bundle
from edgemill_core.durable import sha256_bytes

OLD, NEW = {"driver": "1"}, {"driver": "2"}


def installed(version: str, on: dict[str, str] | None = None, runtime: str = "openvino") -> Installed:
    digest, box = sha256_bytes(version.encode()), OLD if on is None else on
    return Installed(name="tiny", version=version, digest=digest, manifest=digest, runtime=runtime, proved_on=box)


def proves(**runtimes: str | None) -> Callable[[Installed], Proven]:
    """What is proved of each version, ``v2="onnxruntime"``."""

    def prove(one: Installed) -> Proven:
        found = runtimes[f"v{one.version[0]}"]
        return Proven(found, () if found == one.runtime else (f"{one.runtime}: it does not decide as it did",))

    return prove


SLOTS = Slots(active=installed("2.0.0"), previous=installed("1.0.0"))


@pytest.mark.parametrize(
    ("slots", "box", "so"),
    [
        (Slots(), NEW, False),
        (SLOTS, OLD, False),
        (SLOTS, NEW, True),
        (SLOTS.on_trial(installed("3.0.0"), 0), NEW, False),
        (SLOTS.with_active(installed("2.0.0", on={})), NEW, True),
    ],
)
def test_when_a_new_proof_is_needed(slots: Slots, box: dict[str, str], so: bool) -> None:
    assert needs_proof(slots, box) is so


@pytest.mark.parametrize(
    ("proved", "version", "runtime", "again", "why"),
    [
        ({"v2": "openvino"}, "2.0.0", "openvino", Reproof.HOLDS, "driver: 1, now 2"),
        ({"v2": "onnxruntime"}, "2.0.0", "onnxruntime", Reproof.ANOTHER_RUNTIME, "openvino: it does not decide"),
        ({"v2": None, "v1": "openvino"}, "1.0.0", "openvino", Reproof.WENT_BACK, "2.0.0: openvino: it does not"),
        ({"v2": None, "v1": "onnxruntime"}, "1.0.0", "onnxruntime", Reproof.WENT_BACK, "2.0.0: openvino: it does not"),
        ({"v2": None, "v1": None}, "2.0.0", "openvino", Reproof.DOUBTED, "1.0.0: openvino: it does not decide"),
    ],
)
def test_what_becomes_of_the_slots(
    proved: dict[str, str | None], version: str, runtime: str, again: Reproof, why: str
) -> None:
    found = proved_anew(SLOTS, NEW, proves(**proved))
    assert found.active is not None
    assert (found.active.version, found.active.runtime, found.active.again) == (version, runtime, again)
    assert found.active.why.startswith("driver: 1, now 2")
    assert why in found.active.why
    assert not needs_proof(found, NEW), "it is not proved again and again"
    assert needs_proof(found, OLD)
    assert found.previous is not None
    assert {found.active.version, found.previous.version} == {"1.0.0", "2.0.0"}
    if again is Reproof.WENT_BACK:
        assert found.previous.again is Reproof.DOUBTED
    else:
        assert found.previous == SLOTS.previous


def test_what_looks_on_while_the_bundle_before_takes_over_ends_in_the_book_too() -> None:
    begun = Book().begun("tiny", "3.0.0", "a" * 64)
    for event in (Event.FETCHED, Event.LAID_OUT, Event.DECIDES, Event.LOOKS_ON):
        begun = begun.moved("tiny", event)
    back = proved_anew(SLOTS, NEW, proves(v2=None, v1="openvino"))
    assert back.active is not None
    told = begun.proved_anew("tiny", back.active, back.previous).told
    assert [one.state for one in told] == [State.SHADOWING, State.SUPERSEDED, Reproof.WENT_BACK]
    assert told[1].version == "3.0.0"


BOXES, RUNTIMES = some.sampled_from([OLD, NEW]), some.sampled_from(["openvino", "x", None])


@given(some.lists(some.tuples(BOXES, RUNTIMES, some.booleans())))
def test_a_box_never_stands_and_forgets_no_bundle(rounds: list[tuple[dict[str, str], str | None, bool]]) -> None:
    slots, told = SLOTS, Book()
    for box, runtime, other in rounds:
        if needs_proof(slots, box):
            slots = proved_anew(slots, box, proves(v2=runtime, v1="openvino" if other else None))
        assert slots.active is not None
        assert slots.previous is not None
        assert {slots.active.version, slots.previous.version} == {"1.0.0", "2.0.0"}
        assert slots.active.proved_on == box
        before, told = told, told.proved_anew("tiny", slots.active, None)
        assert told.proved_anew("tiny", slots.active, None) == told, "it is told once"
        assert len(told.told) - len(before.told) in (0, 1)


# --- on the disk ---


class Cut(BaseException):
    """The power goes."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    write_slots(tmp_path, "tiny", SLOTS)
    return tmp_path


def settings(state: Path) -> AgentSettings:
    station = {"name": "cell", "bundle": "release:tiny", "source": {"folder": "x"}}
    made = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station]})
    return made.model_copy(update={"state": state})


def prove_anew(state: Path, box: dict[str, str], monkeypatch: pytest.MonkeyPatch, **proved: str | None) -> Book:
    monkeypatch.setattr(Updater, "_prove_installed", lambda _, __, one: proves(**proved)(one))
    with Updater(settings(state), lambda: NOW, box=lambda: box) as updater:
        return updater.prove_anew()


def test_a_bundle_that_is_not_proved_any_more_goes_and_may_come_again_on_another_box(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = prove_anew(state, NEW, monkeypatch, v2=None, v1="openvino")
    assert SLOTS.active is not None
    assert list(book.refused) == [SLOTS.active.manifest], "its plan still names it"
    assert (book.updates["tiny"].version, book.updates["tiny"].state.value) == ("1.0.0", "committed")
    assert [(one.version, one.state) for one in book.told] == [("1.0.0", Reproof.WENT_BACK)]
    assert read_slots(state, "tiny").now(trial=True) == read_slots(state, "tiny").active
    assert told_of(state, ["tiny"])["tiny"]["active"] == {
        "version": "1.0.0",
        "runtime": "openvino",
        "proof": Reproof.WENT_BACK.value,
    }
    assert prove_anew(state, NEW, monkeypatch) == book
    assert prove_anew(state, OLD, monkeypatch, v1="openvino").refused == {}


def test_a_new_proof_that_is_cut_is_told_all_the_same(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("edgemill_agent.updating.updater.write_book", cut)
        with pytest.raises(Cut):
            prove_anew(state, NEW, monkeypatch, v2="openvino")
    assert read_book(state) == Book()
    book = prove_anew(state, NEW, monkeypatch)  # nothing is proved a second time
    assert [one.state for one in book.told] == [Reproof.HOLDS]
    assert read_book(state) == book


def test_a_bundle_that_is_damaged_is_not_proved(state: Path) -> None:
    with Updater(settings(state), lambda: NOW, box=lambda: NEW) as updater:
        assert [one.state for one in updater.prove_anew().told] == [Reproof.DOUBTED]
    active = read_slots(state, "tiny").active
    assert active is not None
    assert active.version == "2.0.0"
    with pytest.raises(Exception, match="manifest"):
        open_bundle(bundle_folder(state, active))


def test_status_says_what_is_in_each_slot_and_how_far_the_update_is(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove_anew(state, NEW, monkeypatch, v2=None, v1="openvino")
    told = {"device": "box", "written": {"utc": 0.0}, "processes": {}, "stations": {}, "health": []}
    lines = list(_lines(Status({**told, "releases": told_of(state, ["tiny", "none"])}, False, None)))
    assert "  tiny: active 1.0.0, previous 2.0.0; 1.0.0 committed: driver: 1, now 2; 2.0.0: openvino" in "\n".join(
        lines
    )
    assert "  none: nothing is installed" in lines
    (state / "updates.json").write_text("{")
    assert "cannot be read" in told_of(state, ["tiny"])["tiny"]["trouble"]


# --- the check ---


@pytest.mark.parametrize(
    ("active", "health", "what"),
    [
        (installed("2.0.0", on=NEW), Health.OK, "proved on this box"),
        (installed("2.0.0"), Health.WARNING, "driver: 1, now 2"),
        (installed("2.0.0", on=NEW).model_copy(update={"again": Reproof.HOLDS}), Health.OK, ""),
        (installed("2.0.0", on=NEW).model_copy(update={"again": Reproof.DOUBTED, "why": "bad"}), Health.ALARM, "bad"),
    ],
)
def test_whether_what_judges_is_proved(active: Installed, health: Health, what: str) -> None:
    found = judge(active, NEW)
    assert (found.state, what in found.what) == (health, True), found
    assert bool(found.to_do) == (health is not Health.OK)


def test_the_check_looks_at_releases_alone(state: Path, tmp_path: Path) -> None:
    assert SLOTS.active is not None
    made = settings(state)
    assert not any(isinstance(one, Proof) for one in checks_for(made))
    stations = [one.model_copy(update={"bundle": bundle_folder(state, SLOTS.active)}) for one in made.stations]
    (check,) = [
        one for one in checks_for(made.model_copy(update={"stations": tuple(stations)})) if isinstance(one, Proof)
    ]
    check = Proof(check.settings, root=tmp_path)
    facts: Any = type("Facts", (), {"state": state})
    assert check.look(facts).state is Health.WARNING


# --- when ---


def dice(numbers: Iterator[float]) -> Callable[[float, float], float]:
    return lambda low, high: low + (high - low) * next(numbers)


def test_a_server_is_asked_so_often_and_less_often_where_it_is_not_reached() -> None:
    pace = Pace(900.0, 1000.0, dice(iter([0.5, 0.0, 1.0])))
    assert pace.ask_at_s == 1000.0 + 150.0
    pace.asked(True, 2000.0)
    assert pace.ask_at_s == 2000.0 + 0.9 * 900
    waits = []
    for _ in range(12):
        pace.asked(False, 0.0)
        waits.append(pace.ask_at_s)
    assert 450 <= waits[0] <= 900
    assert all(wait <= 6 * 3600 for wait in waits)
    assert min(waits[-3:]) >= 3 * 3600
    pace.asked(True, 5000.0)
    assert pace.ask_at_s == 5000.0 + 1.1 * 900
    pace.asked(False, 0.0)
    assert 450 <= pace.ask_at_s <= 900, "it begins anew"


def test_a_box_without_an_address_asks_nobody_and_looks_at_itself_all_the_same() -> None:
    pace = Pace(None, 7.0)
    assert (pace.ask_at_s, pace.box_at_s) == (float("inf"), 7.0)
    pace.asked(False, 9.0)
    assert pace.ask_at_s == float("inf")
    pace.looked(True, 10.0)
    assert pace.box_at_s == 70.0
    for _ in range(12):
        pace.looked(False, 0.0)
    assert pace.box_at_s > 3 * 3600


def test_what_the_agent_does_of_its_own_accord(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SLOTS.active is not None
    made = settings(state)
    there = [one.model_copy(update={"bundle": bundle_folder(state, SLOTS.active)}) for one in made.stations]
    made = made.model_copy(update={"stations": tuple(there)})
    updates = Updates(state / "agent.yaml", made, bool, int, list, print, list)
    monkeypatch.setattr("edgemill_agent.line.updates.read_box", lambda: OLD)
    assert not updates._something_to_do()
    book = Book().begun("tiny", "3.0.0", "a" * 64)
    for event, so in ((None, False), (Event.FETCHED, True), (Event.LAID_OUT, True), (Event.DECIDES, True)):
        book = book.moved("tiny", event) if event is not None else book
        write_book(state, book)
        assert updates._something_to_do() is so, "what came is gone on with, however the one before ended"
    for over in (book.moved("tiny", Event.TAKEN_UP), book.moved("tiny", Event.FIRST)):
        write_book(state, over)
        assert not updates._something_to_do()
    monkeypatch.setattr("edgemill_agent.line.updates.read_box", lambda: NEW)
    assert updates._something_to_do()


def test_what_was_decided_while_another_one_looked_after_updates_is_looked_at_later(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided, looks = 1, iter([Look(), Look(True), Look(True)])
    monkeypatch.setattr("edgemill_agent.line.updates._TICK_S", 0.0)
    monkeypatch.setattr("edgemill_agent.line.updates._AGAIN_S", 0.01)
    updates = Updates(state / "agent.yaml", settings(state), lambda: True, lambda: decided, list, print, list)
    updates.names = ["tiny"]
    monkeypatch.setattr(updates, "_something_to_do", bool)

    async def look(_: bool) -> Look:
        return next(looks)

    async def go() -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(updates.run(), 0.1)

    monkeypatch.setattr(updates, "_look", look)
    asyncio.run(go())
    assert len(list(looks)) == 1, "once more, and no more then"


def test_trouble_is_said_once(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorded: list[str] = []
    updates = Updates(state / "agent.yaml", settings(state), bool, int, list, recorded.append, list)
    away, forged = Look(trouble=("LinkError", "no server")), Look(trouble=("Refused", "signed by a stranger"))
    with caplog.at_level("INFO", "edgemill.updates"):
        for look in (away, away, Look(trouble=("InputError", "another goes on")), away, Look(True), forged, forged):
            updates._tell_trouble(look, True)
        updates._tell_trouble(Look(True), False)
        updates._tell_trouble(Look(), True)
    said = [one.getMessage() for one in caplog.records]
    assert [one.partition(":")[0] for one in said] == [
        "updates cannot be looked for",
        "updates can be looked for again",
        "updates are not believed",
        "updates cannot be looked for",
    ]
    assert "died" in said[-1]
    assert recorded == ["signed by a stranger"]


def test_every_needs_an_address() -> None:
    fleet = {"trust": "root.json", "every": "15m"}
    station = {"name": "cell", "bundle": "b", "source": {"folder": "x"}}
    with pytest.raises(ValueError, match="every needs a url"):
        AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station], "fleet": fleet})
