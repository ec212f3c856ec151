"""A release that looks on before it is tried: what its ledger says of it, and what is on the disk if it is cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from edgemill.cli.update import _say as say
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.line.challenger import Challenger
from edgemill_agent.line.part import Part
from edgemill_agent.settings import AgentSettings, ShadowSettings, StationSettings, read_settings
from edgemill_agent.updating.book import Book, Update, read_book, write_book
from edgemill_agent.updating.shadowing import KINDS, MOST_ENDS, Shadowed, shadowed
from edgemill_agent.updating.slots import MOST_STARTS, Installed, Slots, bundle_folder, read_slots, write_slots
from edgemill_agent.updating.states import State
from edgemill_agent.updating.updater import Updater
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind

QUICK = {"most_disagreement": 0.1, "stop_at": 0.5, "errors": 0.05}
"""Six parts without a dispute agree, two disputed ones at the beginning do not; sixteen at most."""


def installed(version: str) -> Installed:
    digest = sha256_bytes(version.encode())
    return Installed(name="tiny", version=version, digest=digest, manifest=digest, runtime="onnxruntime")


OLD, NEW = installed("1.0.0"), installed("1.1.0")


class Shop:
    """The state folder of a box on which ``NEW`` was just proved, and what its line writes into the ledger."""

    def __init__(self, state: Path, *stations: str) -> None:
        self.state, self.number = state, 0
        made = [_station(name, shadow=QUICK) for name in stations]
        self.settings = _settings(made, state)
        write_slots(state, "tiny", Slots(active=OLD))
        update = Update(version=NEW.version, manifest=NEW.manifest, state=State.PROVED)
        write_book(state, Book(updates={"tiny": update}))
        self.ledger: Ledger = open_ledger(state, Clock())[0]
        self.says("cell", "ended", NEW)  # long ago
        self.judges("cell", "1", engine="new")
        with self.updater() as updater:
            assert updater.looking_on.begin("tiny", NEW)

    def updater(self) -> Updater:
        return Updater(self.settings, lambda: pytest.fail("nobody asks the clock"))

    def says(self, station: str, outcome: str, release: Installed, engine: str = "new", **more: Any) -> None:
        to = {"digest": release.digest, "engine": engine}
        told = {"outcome": outcome, "role": "challenger", "to": to, **more}
        self.ledger.append([Entry(Kind.SWAP, told, station=station)])

    def judges(self, station: str, disputed: str, engine: str = "new") -> None:
        """So many parts, of each whether it is disputed: 0 or 1."""
        entries = []
        for one in disputed:
            self.number += 1
            told = {"number": self.number, "disputed": one == "1", "engine": engine}
            entries.append(Entry(Kind.SHADOW, told, station=station))
        self.ledger.append(entries)

    def settled(self) -> tuple[State, str]:
        with self.updater() as updater:
            updater.settle()
        update = read_book(self.state).updates["tiny"]
        return update.state, update.why

    @property
    def slots(self) -> Slots:
        return read_slots(self.state, "tiny")

    def shadowed(self) -> Shadowed:
        folder, view = str(bundle_folder(self.state, NEW)), LedgerView.open(self.state)
        try:
            found = view.of_kind(*KINDS, after=self.slots.since)
            return shadowed(found, NEW.digest, folder, self.settings.stations)
        finally:
            view.close()


def _station(name: str, **swap: Any) -> dict[str, Any]:
    return {"name": name, "bundle": "release:tiny", "source": {"folder": "x"}, "swap": swap}


def _settings(stations: list[dict[str, Any]], state: Path) -> AgentSettings:
    made = AgentSettings.model_validate({"device": {"id": "box"}, "stations": stations})
    return made.model_copy(update={"state": state})


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "state", "cell")
    yield made
    made.ledger.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "state", "cell", "other")
    yield made
    made.ledger.close()


# --- what the ledger says ---


def test_one_that_agrees_goes_on_trial(shop: Shop) -> None:
    assert shop.settled() == (State.SHADOWING, "")
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "00000")
    assert shop.settled() == (State.SHADOWING, "")
    assert shop.slots == Slots(active=OLD, shadow=NEW, since=shop.slots.since)
    shop.judges("cell", "0")
    assert shop.settled() == (State.TRIAL, "station cell: 0 of 6 parts decided otherwise")
    assert shop.slots == Slots(active=OLD, trial=NEW, since=shop.ledger.position)
    assert [one.state for one in read_book(shop.state).told] == [State.SHADOWING, State.TRIAL]


def test_one_that_disputes_is_refused_with_the_parts(shop: Shop) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "0111")
    state, why = shop.settled()
    assert state is State.REFUSED
    assert why.startswith("station cell: 3 of 4 parts decided otherwise: too many")
    assert "(numbers 3, 4, 5; 16 parts at most)" in why
    assert shop.slots == Slots(active=OLD)
    assert read_book(shop.state).refused == {NEW.manifest: why}
    shop.judges("cell", "0" * 50)
    assert shop.settled() == (state, why), "what was concluded stays"


def test_the_first_conclusion_counts_however_late_it_is_looked_for(shop: Shop) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "000000" + "1" * 50)
    assert shop.settled()[0] is State.TRIAL


@pytest.mark.parametrize("last", ["0", "1"])
def test_after_so_many_parts_it_is_decided(shop: Shop, last: str) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "001001000100010")
    assert shop.settled()[0] is State.SHADOWING
    shop.judges("cell", last)
    assert shop.settled()[0] is (State.REFUSED if last == "1" else State.TRIAL)


def test_what_happens_after_it_agreed_does_not_count(two: Shop) -> None:
    for station in ("cell", "other"):
        two.says(station, "looks on", NEW)
        two.judges(station, "0" * 6)
        two.judges("cell", "1111")
    for _ in range(MOST_ENDS):
        two.says("cell", "ended", NEW)
    assert (two.shadowed().stations["cell"].disputed, two.shadowed().stations["cell"].as_dict()["agrees"]) == ((), True)
    assert two.settled()[0] is State.TRIAL


def test_what_another_engine_says_is_not_counted(shop: Shop) -> None:
    shop.says("cell", "looks on", OLD, "own")  # a challenger that somebody named
    shop.judges("cell", "1111", engine="own")
    shop.says("cell", "refused", OLD, "own")
    shop.says("elsewhere", "looks on", NEW)
    shop.judges("elsewhere", "1111")
    shop.says("cell", "refused", NEW, role="engine")
    assert shop.settled() == (State.SHADOWING, "")
    assert shop.shadowed().stations["cell"].at.seen == 0


def test_another_start_of_the_agent_goes_on_counting_and_other_settings_begin_anew(shop: Shop) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "100")
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "00")
    assert (shop.shadowed().stations["cell"].at.seen, shop.shadowed().seen) == (5, 5)
    shop.says("cell", "looks on", NEW, "tuned")
    shop.judges("cell", "0")  # of the one before
    shop.judges("cell", "00", engine="tuned")
    found = shop.shadowed()
    assert (found.stations["cell"].at.seen, found.stations["cell"].disputed, found.seen) == (2, (), 7)


def test_one_that_cannot_be_used_is_refused_with_the_reason(shop: Shop) -> None:
    told = {"outcome": "refused", "role": "challenger", "why": "no such file"}
    told["to"] = {"folder": str(bundle_folder(shop.state, NEW)), "runtime": None}
    shop.ledger.append([Entry(Kind.SWAP, told, station="cell")])
    assert shop.settled() == (State.REFUSED, "station cell: no such file")


def test_one_that_dies_again_and_again_is_refused(shop: Shop) -> None:
    for turn in range(MOST_ENDS):
        assert shop.settled()[0] is State.SHADOWING
        shop.says("cell", "looks on", NEW)
        shop.judges("cell", "0")
        shop.says("cell", "ended", NEW, why=f"it died, {turn}")
    assert shop.settled() == (State.REFUSED, "station cell: it died or hung 3 times while it looked on (it died, 2)")


def test_every_station_must_agree_and_one_is_enough_against_it(two: Shop) -> None:
    for station in ("cell", "other"):
        two.says(station, "looks on", NEW)
    two.judges("cell", "0" * 30)
    assert two.settled()[0] is State.SHADOWING
    assert two.shadowed().seen == 30
    two.judges("other", "11")
    state, why = two.settled()
    assert state is State.REFUSED
    assert why.startswith("station other: 2 of 2")


def test_both_stations_agree(two: Shop) -> None:
    for station in ("other", "cell"):
        two.says(station, "looks on", NEW)
        two.judges(station, "0" * 6)
    why = "station cell: 0 of 6 parts decided otherwise; station other: 0 of 6 parts decided otherwise"
    assert two.settled() == (State.TRIAL, why)


def test_where_no_station_wants_it_any_more_it_goes_on_trial(shop: Shop) -> None:
    shop.settings = _settings([_station("cell")], shop.state)
    assert shop.settled() == (State.TRIAL, "no station wants to see it first")


def test_a_payload_that_was_evicted_is_no_part(shop: Shop) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "11")
    view = LedgerView.open(shop.state)
    records = list(view.of_kind(*KINDS, after=shop.slots.since))
    view.close()
    gone = [type(one)(one.header, one.link, None) if one.header.kind is Kind.SHADOW else one for one in records]
    found = shadowed(gone, NEW.digest, "", shop.settings.stations)
    assert (found.outcome, found.seen) == (None, 0)
    assert shadowed(records, NEW.digest, "", shop.settings.stations).outcome is not None


# --- what the line writes ---


class Seat:
    """As much of an engine's seat as a challenger asks for."""

    engine_id, why_ended, ready, asked = "new", "", True, ()

    def __init__(self) -> None:
        self.child = SimpleNamespace(restarts=0)


def challenger() -> tuple[Challenger, list[Any]]:
    said: list[Any] = []
    made = Challenger(
        lambda part: said.append(("done", part.number)),
        lambda kind, told: said.append((kind, dict(told))),
        lambda outcome, why, _: said.append((outcome, why)),
    )
    return made, said


def test_where_it_has_no_verdict_it_disputes_the_one_that_there_is() -> None:
    made, said = challenger()
    part = Part(0, number=7, item="a", decision="pass")
    made.answered(Seat(), part, {"number": 7, "fault": "it cannot be read"})  # type: ignore[arg-type]
    told = {
        "number": 7,
        "item": "a",
        "decided": "pass",
        "disputed": True,
        "fault": "it cannot be read",
        "engine": "new",
    }
    assert said == [(Kind.SHADOW, told), ("done", 7)]
    assert (part.disputed, made.account.seen, made.account.disputed, made.account.skipped) == (True, 1, 1, 0)


@pytest.mark.parametrize(("decision", "disputed"), [("uncertain", False), ("pass", True), ("reject", True)])
def test_uncertain_is_a_decision_like_any_other(decision: str, disputed: bool) -> None:
    made, said = challenger()
    message = {"number": 7, "verdict": {"decision": decision}, "ms": 1.0}
    made.answered(Seat(), Part(0, number=7, decision="uncertain"), message)  # type: ignore[arg-type]
    assert said[0][1]["disputed"] is disputed


def test_one_that_never_does_says_so_a_few_times_and_one_that_was_late_to_load_looks_on() -> None:
    made, said = challenger()
    seat: Any = Seat()
    for seat.child.restarts in range(50):
        made.died(seat, ())
    assert said == [("ended", "it died")] * 10
    made.ready(seat)
    made.ready(seat)
    assert said[10:] == [("looks on", "")]
    made.ready(Seat())  # type: ignore[arg-type]
    assert said[11:] == [("looks on", "")]


# --- slots and book ---


def test_a_box_without_a_ledger_waits(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_slots(state, "tiny", Slots(active=OLD))
    update = Update(version=NEW.version, manifest=NEW.manifest, state=State.PROVED)
    write_book(state, Book(updates={"tiny": update}))
    with Updater(_settings([_station("cell", shadow=QUICK)], state), lambda: pytest.fail("no clock")) as updater:
        assert updater.looking_on.begin("tiny", NEW)
        updater.settle()
        assert updater.book.updates["tiny"].state is State.SHADOWING
        assert str(updater.looking_on.now()["tiny"]) == "station cell: 0 of 0 parts decided otherwise, 16 at most"


def test_no_station_that_wants_it_no_shadowing(tmp_path: Path) -> None:
    with Updater(_settings([_station("cell")], tmp_path), lambda: pytest.fail("no clock")) as updater:
        assert not updater.looking_on.begin("tiny", NEW)
    assert read_slots(tmp_path, "tiny") == Slots()


def test_an_agent_that_is_started_again_and_again_before_it_saw_a_part_gives_it_up(shop: Shop) -> None:
    def start() -> State:
        with shop.updater() as updater:
            updater.started()
        return read_book(shop.state).updates["tiny"].state

    for _ in range(MOST_STARTS):
        assert start() is State.SHADOWING
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "0")
    for _ in range(MOST_STARTS):
        assert start() is State.SHADOWING
    assert shop.slots.starts == MOST_STARTS
    assert start() is State.REFUSED
    assert "started 3 times" in read_book(shop.state).updates["tiny"].why
    assert shop.slots == Slots(active=OLD)


def test_slots_never_hold_one_that_looks_on_and_one_on_trial() -> None:
    slots = Slots(active=OLD, previous=NEW, starts=2)
    looking = slots.looking_on(NEW, since=4)
    assert looking == Slots(active=OLD, previous=NEW, shadow=NEW, since=4)
    assert looking.started(seen=2).on_trial(NEW, since=9) == Slots(active=OLD, previous=NEW, trial=NEW, since=9)
    assert (looking.now(trial=True), looking.rolled_back()) == (OLD, Slots(active=OLD, previous=NEW))


class Cut(BaseException):
    """The power goes."""


def cutting(monkeypatch: pytest.MonkeyPatch, at: int, before: bool) -> Callable[[], int]:
    """Let the power go at the ``at``-th move of a file into its place; gives how many there were."""
    count, real = 0, os.replace

    def replace(*given: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        if count == at and before:
            raise Cut
        real(*given, **named)
        if count == at:
            raise Cut

    monkeypatch.setattr(os, "replace", replace)
    return lambda: count


@pytest.mark.parametrize(
    ("way", "parts", "ends"),
    [("begins", "", State.SHADOWING), ("agrees", "000000", State.TRIAL), ("disputes", "11", State.REFUSED)],
)
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("at", [1, 2])
def test_wherever_it_is_cut_slots_and_book_agree_afterwards(
    tmp_path: Path, way: str, parts: str, ends: State, before: bool, at: int
) -> None:
    shop = Shop(tmp_path / "state", "cell")
    if way == "begins":
        write_slots(shop.state, "tiny", Slots(active=OLD))
        update = Update(version=NEW.version, manifest=NEW.manifest, state=State.PROVED)
        write_book(shop.state, Book(updates={"tiny": update}))
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", parts)
    with pytest.MonkeyPatch.context() as patch, suppress(Cut), shop.updater() as updater:
        done = cutting(patch, at, before)
        updater.looking_on.begin("tiny", NEW) if way == "begins" else updater.settle()
    assert done() == at
    assert shop.slots.active == OLD
    with shop.updater() as updater:
        updater.settle()
        if updater.book.updates["tiny"].state is State.PROVED:
            assert (way, at, before) == ("begins", 1, True)
            updater.looking_on.begin("tiny", NEW)
    book = read_book(shop.state)
    assert book.updates["tiny"].state is ends
    assert [one.state for one in book.told] == list(dict.fromkeys((State.SHADOWING, ends)))
    expected = {State.SHADOWING: (NEW, None), State.TRIAL: (None, NEW), State.REFUSED: (None, None)}
    assert (shop.slots.shadow, shop.slots.trial) == expected[ends]
    if parts:
        assert f"{parts.count('1')} of {len(parts)} parts" in book.updates["tiny"].why
    shop.ledger.close()


def test_the_command_says_how_far_it_is(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.says("cell", "looks on", NEW)
    shop.judges("cell", "100")
    with shop.updater() as updater:
        say(shop.settings, updater.book, updater.looking_on.now(), running=False, json=False)
    said = capsys.readouterr().out
    assert "tiny 1.1.0: shadowing, as soon as the agent is started" in said
    assert "station cell: 1 of 3 parts decided otherwise, 16 at most" in said


def test_slots_that_were_removed_let_the_plan_be_followed_anew(shop: Shop) -> None:
    write_slots(shop.state, "tiny", Slots(active=OLD))
    assert shop.settled()[0] is State.SUPERSEDED
    assert read_book(shop.state).refused == {}


# --- settings ---


def test_the_challenger_of_a_station_is_the_release_for_as_long_as_it_looks_on(tmp_path: Path) -> None:
    station = {**_station("cell", shadow={}), "shadow": {"bundle": "own"}, "tune": {"min_confidence": 0.5}}
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"device": {"id": "box"}, "stations": [station, _station("plain")]}))
    state = tmp_path / "state"

    def challengers(use: Any) -> list[tuple[Path, str | None, dict[str, Any]] | None]:
        found = [one.shadow for one in read_settings(path, use).stations]
        return [(one.bundle, one.runtime, one.tune) if one else None for one in found]

    own = (tmp_path / "own", None, {})
    write_slots(state, "tiny", Slots(active=OLD))
    assert challengers("trial") == [own, None]
    write_slots(state, "tiny", Slots(active=OLD).looking_on(NEW, since=0))
    release = (bundle_folder(state, NEW), "onnxruntime", {"min_confidence": 0.5})
    assert (challengers("trial"), challengers("active")) == ([release, None], [own, None])
    write_slots(state, "tiny", Slots(active=OLD).on_trial(NEW, since=0))
    assert challengers("trial") == [own, None]
    assert {one.bundle for one in read_settings(path, "trial").stations} == {bundle_folder(state, NEW)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"swap": {"shadow": {"most_disagreement": 0.05, "stop_at": 0.05}}}, "less than stop_at"),
        ({"swap": {"shadow": {"most_disagreement": 0.2, "stop_at": 0.2001}}}, "further apart"),
        ({"swap": {"shadow": {"errors": 0.5}}}, "less than or equal to 0.2"),
        ({"swap": {"shadow": {"most_disagreement": 0}}}, "greater than 0"),
        ({"source": {"folder": "x", "slots": 1}}, "source.slots is 2"),
        ({"products": {1: {"bundle": "other"}}}, "without products"),
    ],
)
def test_what_cannot_be_shadowed_is_said_with_the_settings(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"device": {"id": "box"}, "stations": [{**_station("cell", shadow={}), **change}]}))
    with pytest.raises(SettingsError) as caught:
        read_settings(path, "names")
    assert why in f"{caught.value.expected} {caught.value.got}"


def test_what_a_release_disputes_is_kept_whatever_else_is(tmp_path: Path) -> None:
    def station(**more: Any) -> StationSettings:
        return StationSettings.model_validate({**_station("cell", shadow={}), **more})

    for one in (station(), station(evidence={"keep": ["late"]})):
        assert one.keeps(1, "pass", False, disputed=True)
        assert not one.keeps(1, "pass", False, disputed=False)
    assert not station(swap={}).keeps(1, "pass", False, disputed=True)
    assert station(swap={}, evidence={"keep": ["disputed"]}).keeps(1, "pass", False, disputed=True)


def test_the_defaults_are_those_of_the_guide() -> None:
    told = ShadowSettings()
    assert (told.most_disagreement, told.stop_at, told.errors, told.test.most) == (0.01, 0.05, 0.01, 507)
