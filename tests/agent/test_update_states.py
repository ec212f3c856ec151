"""The decisions of an update, without disks; and what is on the disk wherever an update is cut."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from release_keys import NOW, Keys
from small_bundle import make_bundle
from tuf.api.metadata import TargetFile

from edgemill_agent.settings import AgentSettings, ShadowSettings, SwapSettings
from edgemill_agent.updating.book import Book, read_book
from edgemill_agent.updating.looking_on import LookingOn
from edgemill_agent.updating.outcome import Outcome, outcome_of
from edgemill_agent.updating.proving import Proven
from edgemill_agent.updating.shadowing import Shadowed
from edgemill_agent.updating.slots import Installed, Slots, bundle_folder, home, read_slots, write_slots
from edgemill_agent.updating.states import ENDS, TABLE, Event, State, after
from edgemill_agent.updating.updater import Updater
from edgemill_core.bundle import Bundle, open_bundle, write_bundle
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import InputError, LedgerError, LinkError
from edgemill_core.ledger import Header, Kind, Payload, Record
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource

# --- the table ---


def paths(state: State, events: tuple[Event, ...] = ()) -> Iterator[tuple[State, tuple[Event, ...]]]:
    if state in ENDS:
        yield state, events
    for event, to in TABLE[state].items():
        yield from paths(to, (*events, event))


def test_every_state_and_event_is_decided() -> None:
    assert set(TABLE) == set(State)
    assert {event for row in TABLE.values() for event in row} == set(Event)
    for state in State:
        for event in Event:
            if event in TABLE[state]:
                assert after(state, event) is TABLE[state][event]
            else:
                with pytest.raises(ValueError, match="does not hear"):
                    after(state, event)


def test_nothing_is_committed_that_was_not_fetched_proved_and_kept() -> None:
    ways = list(paths(State.PLANNED))
    assert {end for end, _ in ways} == ENDS
    for end, events in ways:
        if end is State.COMMITTED:
            assert events[:3] == (Event.FETCHED, Event.LAID_OUT, Event.DECIDES)
            assert events[3:] in (
                (Event.FIRST,),
                (Event.TAKEN_UP, Event.KEPT),
                (Event.LOOKS_ON, Event.AGREES, Event.KEPT),
            )
        if end is State.ROLLED_BACK:
            assert {Event.TAKEN_UP, Event.AGREES} & set(events)


@given(some.lists(some.sampled_from(Event), max_size=12))
def test_a_book_tells_of_every_end_once(events: list[Event]) -> None:
    book = Book().begun("tiny", "1.0.0", "a" * 64)
    for event in events:
        if event in TABLE[book.updates["tiny"].state]:
            book = book.moved("tiny", event, "why")
    state = book.updates["tiny"].state
    told = [one.state for one in book.told]
    assert told.count(state) == (1 if state in {*ENDS, State.TRIAL, State.SHADOWING} else 0)
    assert [one.number for one in book.told] == list(range(1, len(told) + 1))
    assert ("a" * 64 in book.refused) == (state in (State.REFUSED, State.ROLLED_BACK))
    assert Book.model_validate_json(book.model_dump_json()) == book


def test_a_plan_that_names_another_release_ends_the_one_under_way() -> None:
    book = Book().begun("tiny", "1.0.0", "a" * 64).begun("tiny", "1.1.0", "b" * 64)
    assert [(one.version, one.state) for one in book.told] == [("1.0.0", State.SUPERSEDED)]
    assert book.begun("tiny", "1.1.0", "b" * 64) == book


# --- slots ---


def installed(version: str) -> Installed:
    return Installed(name="tiny", version=version, digest=sha256_bytes(version.encode()), manifest="0" * 64)


def test_slots_go_forth_and_back() -> None:
    one, two = installed("1.0.0"), installed("1.1.0")
    tried = Slots().first(one).on_trial(two, since=7)
    assert (tried.now(trial=False), tried.now(trial=True), tried.since) == (one, two, 7)
    assert tried.committed() == Slots(active=two, previous=one)
    assert tried.started().started().starts == 2
    assert tried.started().rolled_back() == Slots(active=one)
    assert tried.committed().started() == tried.committed()


# --- what the ledger says ---


def swap(station: str, outcome: str, **more: Any) -> Record:
    payload = Payload(b"", json.dumps({"outcome": outcome, "role": "engine", **more}).encode())
    return Record(Header(1, 0, Kind.SWAP, station, "", 0, "b", 0, payload.digest), "", payload)


TO, FROM = {"to": {"digest": "new"}}, {"from": {"digest": "new"}}
BOTH = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("records", "decided"),
    [
        ([], None),
        ([swap("a", "took over", **TO)], None),
        ([swap("a", "committed", **TO)], None),
        ([swap("a", "committed", **TO), swap("b", "committed", **TO)], Outcome(Event.KEPT, "")),
        ([swap("a", "committed", **TO), swap("c", "committed", **TO)], None),
        ([swap("a", "committed", to={"digest": "other"}), swap("b", "committed", **TO)], None),
        (
            [swap("a", "committed", **TO), swap("b", "fell back", why="late", **FROM)],
            Outcome(Event.FELL_BACK, "station b: late"),
        ),
        ([swap("b", "fell back", why="late", **TO)], None),
        (
            [swap("a", "refused", why="no room", to={"folder": "/new"})],
            Outcome(Event.FELL_BACK, "station a: no room"),
        ),
        ([swap("a", "refused", to={"folder": "/other"})], None),
        ([swap("a", "refused", role="challenger", **TO)], None),
    ],
)
def test_the_ledger_decides_a_trial(records: list[Record], decided: Outcome | None) -> None:
    assert outcome_of(records, "new", "/new", BOTH) == decided


def test_what_no_station_runs_is_never_kept() -> None:
    assert outcome_of([swap("a", "committed", **TO)], "new", "/new", frozenset()) is None


# --- cut anywhere ---


class Cut(BaseException):
    """The power goes."""


class Workplace:
    """Two releases of a small bundle, and a box on which the first is active."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, Keys()
        self.releases = folder / "releases"
        Repository.create(self.releases, self.keys.roles, self.keys.all, now=NOW)
        for version, content in (("1.0.0", b"old"), ("1.1.0", b"new")):
            made = make_bundle(folder / version, {"golden/x.npy": content, "graph.onnx": b"same"})
            manifest = made.manifest.model_copy(update={"version": version})
            bundle = write_bundle(made.folder, manifest, folder / f"made-{version}")
            publish(Repository(self.releases, NOW), bundle, self.keys.all)
        self.name = bundle.manifest.name
        (self.releases / "plans").mkdir()

    def plan(self, number: int, version: str, now: datetime = NOW) -> None:
        path = f"{self.name}/{version}/manifest.json"
        listed = Repository(self.releases).releases()[path]
        one = PlannedRelease(name=self.name, version=version, manifest=listed.hashes["sha256"])
        plan = Plan(device="box", version=number, expires=now + timedelta(days=7), releases=(one,))
        (self.releases / "plans" / "box.json").write_bytes(sign_plan(plan, [self.keys.plans]))

    def settings(self, state: Path) -> AgentSettings:
        station = {"name": "cell", "bundle": f"release:{self.name}", "source": {"folder": "x"}}
        made = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station]})
        return made.model_copy(update={"state": state})

    def follow(self, state: Path) -> Book:
        with Updater(self.settings(state), lambda: NOW, prove=_proves) as updater:
            return updater.follow(FolderSource(self.releases), (self.releases / "metadata/1.root.json").read_bytes())


def _proves(_: Bundle, __: object, first: str | None = None) -> Proven:
    return Proven("onnxruntime", ())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("workplace"))


EVERY = 1 if os.environ.get("EDGEMILL_EVERY_CUT") else 11
"""Of the points at which an update is cut; all of them take a minute."""
POINTS = ("replace", "link", "fsync", "write", "unlink", "mkdir", "rmdir", "open")
"""Of ``os``: whatever changes the disk goes through one of these, save what C does by itself."""


def cutting(monkeypatch: pytest.MonkeyPatch, at: int, before: bool) -> Callable[[], int]:
    """Let the power go at the ``at``-th of these calls, before it or after it; gives how many there were."""
    count = 0

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and before:
                raise Cut
            found = real(*given, **named)
            if count == at:
                raise Cut
            return found

        return call

    for name in POINTS:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    return lambda: count


def old_or_new(workplace: Workplace, state: Path) -> str:
    """What an agent would start on: it is there, whole, and one of the two."""
    slots = read_slots(state, workplace.name)
    assert slots.active is not None
    bundle = open_bundle(bundle_folder(state, slots.active))
    assert bundle.manifest.content_digest == slots.active.digest
    if slots.trial is not None:
        assert open_bundle(bundle_folder(state, slots.trial)).manifest.version == "1.1.0"
    book = read_book(state)
    update = book.updates.get(workplace.name)
    if update is not None and update.state is State.TRIAL:
        assert slots.trial is not None
    return bundle.manifest.version


def test_an_update_that_is_cut_anywhere_leaves_old_or_new_and_goes_on(workplace: Workplace, tmp_path: Path) -> None:
    first = tmp_path / "first"
    workplace.plan(1, "1.0.0")
    workplace.follow(first)
    workplace.plan(2, "1.1.0")
    at, points = 1, 0
    while True:
        for before in (True, False):
            state = tmp_path / f"{at}-{before}"
            shutil.copytree(first, state)
            with pytest.MonkeyPatch.context() as patch:
                done = cutting(patch, at, before)
                try:
                    workplace.follow(state)
                except Cut:
                    points += 1
            assert old_or_new(workplace, state) == "1.0.0"
            book = workplace.follow(state)
            assert book.updates[workplace.name].state is State.TRIAL
            slots = read_slots(state, workplace.name)
            assert slots.trial is not None
            assert slots.trial.version == "1.1.0"
            assert [one.state for one in book.told].count(State.TRIAL) == 1
            shutil.rmtree(state)
        if done() < at:
            break
        at += EVERY
    assert points > 100 / EVERY


@pytest.mark.parametrize("until", [State.VERIFIED, State.STAGED, State.PROVED])
def test_what_came_is_tried_without_a_server(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: State
) -> None:
    workplace.plan(1, "1.0.0")
    workplace.follow(tmp_path)
    workplace.plan(2, "1.1.0")
    real = Book.moved

    def cut(book: Book, *given: Any, **named: Any) -> Book:
        if book.updates[workplace.name].state is until:
            raise Cut
        return real(book, *given, **named)

    with monkeypatch.context() as patch, suppress(Cut):
        patch.setattr(Book, "moved", cut)
        workplace.follow(tmp_path)
    assert read_book(tmp_path).updates[workplace.name].state is until
    with Updater(workplace.settings(tmp_path), lambda: NOW, prove=_proves) as updater:
        assert updater.go_on().updates[workplace.name].state is State.TRIAL
    trial = read_slots(tmp_path, workplace.name).trial
    assert trial is not None
    assert (trial.version, trial.runtime) == ("1.1.0", "onnxruntime")


def test_the_end_of_a_trial_that_is_cut_anywhere_is_reached_all_the_same(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    workplace.plan(1, "1.0.0")
    workplace.follow(base)
    workplace.plan(2, "1.1.0")
    workplace.follow(base)
    for event in (Event.KEPT, Event.FELL_BACK):
        monkeypatch.setattr(Updater, "_outcome", lambda *_, event=event: Outcome(event, "so the ledger says"))
        at = 1
        while True:
            state = tmp_path / f"{event.name}-{at}"
            shutil.copytree(base, state)
            with pytest.MonkeyPatch.context() as patch:
                done = cutting(patch, at, before=True)
                with suppress(Cut):
                    settle(workplace, state)
            settle(workplace, state)
            slots, book = read_slots(state, workplace.name), read_book(state)
            assert slots.active is not None
            assert slots.trial is None
            kept = event is Event.KEPT
            assert slots.active.version == ("1.1.0" if kept else "1.0.0")
            assert book.updates[workplace.name].state is (State.COMMITTED if kept else State.ROLLED_BACK)
            assert [one.state for one in book.told][-1] is book.updates[workplace.name].state
            assert len(book.told) == 3
            shutil.rmtree(state)
            if done() < at:
                break
            at += 1
        assert at > 5


def settle(workplace: Workplace, state: Path) -> None:
    with Updater(workplace.settings(state), lambda: NOW, prove=_proves) as updater:
        updater.settle()


# --- a server that lies ---


@pytest.fixture
def stolen(workplace: Workplace, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A box on 1.0.0 whose plan names 1.1.0, and a server of its own to tamper with."""
    state, real = tmp_path / "state", workplace.releases
    workplace.plan(1, "1.0.0")
    workplace.follow(state)
    workplace.plan(2, "1.1.0")
    shutil.copytree(real, tmp_path / "server")
    workplace.releases = tmp_path / "server"
    yield state, workplace.releases
    workplace.releases = real


def blob_of(server: Path, content: bytes) -> Path:
    return next(path for path in (server / "blobs").rglob("*") if path.is_file() and path.read_bytes() == content)


@pytest.mark.parametrize("how", ["altered", "missing", "short", "long", "manifest altered", "manifest missing"])
def test_what_is_not_as_it_was_signed_for_is_refused_and_the_rest_kept(
    workplace: Workplace, stolen: tuple[Path, Path], how: str
) -> None:
    state, server = stolen
    (manifest,) = (server / "targets" / workplace.name / "1.1.0").glob("*.manifest.json")
    target = manifest if "manifest" in how else blob_of(server, b"new")
    content = target.read_bytes()
    if "missing" in how:
        target.unlink()
    else:
        target.write_bytes({"short": content[:-1], "long": content + b"x"}.get(how, bytes(len(content))))
    with pytest.raises((Refused, LinkError)) as caught:
        workplace.follow(state)
    if isinstance(caught.value, Refused):
        assert caught.value.attack in (Attack.ALTERED, Attack.MISSING, Attack.ENDLESS)
    assert old_or_new(workplace, state) == "1.0.0"
    assert read_book(state).updates[workplace.name].state is State.PLANNED
    target.write_bytes(content)
    assert workplace.follow(state).updates[workplace.name].state is State.TRIAL


def signed_for(workplace: Workplace, server: Path, content: bytes, number: int) -> None:
    """Sign for another manifest, as somebody could who stole a release key."""
    name = f"{workplace.name}/1.1.0/manifest.json"
    target = TargetFile.from_data(name, content, ["sha256"])
    digest = target.hashes["sha256"]
    Repository(server, NOW).change_releases({name: target}, [], workplace.keys.all)
    (server / "targets" / workplace.name / "1.1.0" / f"{digest}.manifest.json").write_bytes(content)
    workplace.plan(number, "1.1.0")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"files": {"../../escape": {"sha256": "0" * 64, "bytes": 1}}}, "inside the bundle"),
        ({"files": {"/etc/cron.d/x": {"sha256": "0" * 64, "bytes": 1}}}, "inside the bundle"),
        ({"schema_version": "2.0"}, "another major version"),
        ({"version": "6.6.6"}, "under another name"),
        ({"name": "other"}, "under another name"),
        ({"models": []}, "wrong at 'models'"),
    ],
)
def test_a_manifest_that_is_signed_for_and_cannot_be_used_is_refused_for_good(
    workplace: Workplace, stolen: tuple[Path, Path], changed: dict[str, Any], why: str
) -> None:
    state, server = stolen
    (manifest,) = (server / "targets" / workplace.name / "1.1.0").glob("*.manifest.json")
    content = json.dumps({**json.loads(manifest.read_bytes()), **changed}).encode()
    signed_for(workplace, server, content, 3)
    book = workplace.follow(state)
    update = book.updates[workplace.name]
    assert update.state is State.REFUSED
    assert why in update.why
    assert old_or_new(workplace, state) == "1.0.0"
    assert not list(state.parent.rglob("escape"))
    assert workplace.follow(state) == book


def test_a_bundle_for_a_newer_agent_is_refused_with_the_reason(workplace: Workplace, stolen: tuple[Path, Path]) -> None:
    state, server = stolen
    (manifest,) = (server / "targets" / workplace.name / "1.1.0").glob("*.manifest.json")
    content = json.dumps({**json.loads(manifest.read_bytes()), "min_agent": "99.0.0"}).encode()
    signed_for(workplace, server, content, 3)
    assert "newer Edgemill" in workplace.follow(state).updates[workplace.name].why


def test_a_manifest_like_a_bomb_ends_with_a_word(workplace: Workplace, stolen: tuple[Path, Path]) -> None:
    state, server = stolen
    signed_for(workplace, server, b"[" * 1_000_000, 3)
    assert workplace.follow(state).updates[workplace.name].state is State.REFUSED


# --- a release that looks on, and the plan ---


def look_on(workplace: Workplace, state: Path, server: Path | None) -> Book:
    """Follow what ``server`` says, or without one go on, as a box whose station wants to see a release first."""
    settings = workplace.settings(state)
    (station,) = settings.stations
    wants = station.model_copy(update={"swap": SwapSettings(shadow=ShadowSettings())})
    settings = settings.model_copy(update={"stations": (wants,)})
    with Updater(settings, lambda: NOW, prove=_proves) as updater:
        return updater.follow(FolderSource(server), b"") if server is not None else updater.go_on()


def test_the_plan_that_is_followed_already_lets_it_look_on(workplace: Workplace, stolen: tuple[Path, Path]) -> None:
    state, server = stolen
    book = look_on(workplace, state, server)
    slots = read_slots(state, workplace.name)
    assert slots.shadow is not None
    assert (slots.shadow.version, slots.trial) == ("1.1.0", None)
    assert book.updates[workplace.name].state is State.SHADOWING
    assert (look_on(workplace, state, server), read_slots(state, workplace.name)) == (book, slots)


@pytest.mark.parametrize("how", ["withdrawn", "another plan", "the plan it was", "no server"])
def test_what_agrees_goes_on_trial_only_if_the_plan_still_names_it(
    workplace: Workplace, stolen: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    state, server = stolen
    look_on(workplace, state, server)
    agrees = Shadowed({}, Outcome(Event.AGREES, "so the ledger says"))
    monkeypatch.setattr(LookingOn, "_shadowed", lambda *_: agrees)
    if how == "withdrawn":
        withdraw(Repository(server, NOW), f"{workplace.name}/1.1.0", workplace.keys.all)
        with pytest.raises(Refused, match="listed now"):
            look_on(workplace, state, server)
    elif how == "another plan":
        workplace.plan(3, "1.0.0")
        look_on(workplace, state, server)
    else:
        look_on(workplace, state, server if how == "the plan it was" else None)
    slots, update = read_slots(state, workplace.name), read_book(state).updates[workplace.name]
    named = how in ("the plan it was", "no server")
    assert slots.shadow is None
    assert (slots.trial is not None) is named
    assert update.state is (State.TRIAL if named else State.SUPERSEDED)
    why = {"withdrawn": "it was withdrawn", "another plan": "the plan names it no more"}
    assert update.why == why.get(how, "so the ledger says")
    assert read_book(state).refused == {}


def test_two_updates_do_not_go_on_at_once(workplace: Workplace, tmp_path: Path) -> None:
    settings = workplace.settings(tmp_path / "state")
    with Updater(settings, lambda: NOW), pytest.raises(InputError, match="another update"):
        Updater(settings, lambda: NOW)


def test_a_box_that_was_off_for_ninety_days_works_on_and_catches_up(
    workplace: Workplace, stolen: tuple[Path, Path]
) -> None:
    state, server = stolen
    late = NOW + timedelta(days=90)

    def follow() -> Book:
        with Updater(workplace.settings(state), lambda: late, prove=_proves) as updater:
            return updater.follow(FolderSource(server), b"")

    with pytest.raises(Refused) as caught:
        follow()
    assert caught.value.attack is Attack.FREEZE
    assert old_or_new(workplace, state) == "1.0.0"
    Repository(server, late).sign_again(workplace.keys.all)
    with pytest.raises(Refused) as caught:  # the plan is old, too
        follow()
    assert caught.value.attack is Attack.FREEZE
    workplace.plan(3, "1.1.0", late)
    assert follow().updates[workplace.name].state is State.TRIAL


def test_a_blob_that_the_disk_lost_bits_of_is_fetched_again(workplace: Workplace, tmp_path: Path) -> None:
    state = tmp_path / "state"
    workplace.plan(1, "1.0.0")
    workplace.follow(state)
    slots = read_slots(state, workplace.name)
    assert slots.active is not None
    shutil.rmtree(bundle_folder(state, slots.active))
    write_slots(state, workplace.name, Slots())
    (state / "updates.json").unlink()
    blob = next(path for path in (state / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"old")
    blob.chmod(0o644)
    blob.write_bytes(b"bad")
    with pytest.raises(Exception, match="altered"):
        workplace.follow(state)
    workplace.follow(state)
    assert read_slots(state, workplace.name).active is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"active": 1, "plan": 1}', b'{"unknown": 1}'])
def test_a_file_of_state_that_a_disk_damaged_is_an_error_and_no_empty_state(tmp_path: Path, content: bytes) -> None:
    slots, book = home(tmp_path, "tiny") / "slots.json", tmp_path / "updates.json"
    assert (read_slots(tmp_path, "tiny"), read_book(tmp_path)) == (Slots(), Book())
    slots.parent.mkdir(parents=True)
    slots.write_bytes(content)
    book.write_bytes(content)
    with pytest.raises(LedgerError, match="which bundle of tiny is installed cannot be read"):
        read_slots(tmp_path, "tiny")
    with pytest.raises(LedgerError, match="how far updates are cannot be read"):
        read_book(tmp_path)


# --- another time, another order ---


def test_a_clock_at_1970_takes_the_time_from_what_was_signed(
    workplace: Workplace, stolen: tuple[Path, Path], tmp_path: Path
) -> None:
    state, server = stolen
    epoch, late = datetime.fromtimestamp(0, NOW.tzinfo), NOW + timedelta(days=90)
    shutil.copytree(server, tmp_path / "of day 0")

    def follow(place: Path) -> Book:
        with Updater(workplace.settings(state), lambda: epoch, prove=_proves) as updater:
            updater.started()
            return updater.follow(FolderSource(place), b"")

    Repository(server, late).sign_again(workplace.keys.all)
    with pytest.raises(Refused) as caught:  # the plan ended with day 7, by the time that was signed since
        follow(server)
    assert caught.value.attack is Attack.FREEZE
    with pytest.raises(Refused) as caught:
        follow(tmp_path / "of day 0")
    assert caught.value.attack is Attack.ROLLBACK
    assert old_or_new(workplace, state) == "1.0.0"
    workplace.plan(3, "1.1.0", late)
    assert follow(server).updates[workplace.name].state is State.TRIAL


def test_a_newer_plan_may_name_an_older_release_and_an_older_plan_is_not_believed(
    workplace: Workplace, stolen: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, server = stolen
    monkeypatch.setattr(Updater, "_outcome", lambda *_: Outcome(Event.KEPT, ""))
    plan_two = (server / "plans" / "box.json").read_bytes()

    def run(number: int, version: str) -> tuple[str, ...]:
        workplace.plan(number, version)
        workplace.follow(state)
        settle(workplace, state)
        slots = read_slots(state, workplace.name)
        assert slots.active is not None
        assert slots.previous is not None
        return slots.active.version, slots.previous.version

    assert run(2, "1.1.0") == ("1.1.0", "1.0.0")
    assert run(3, "1.0.0") == ("1.0.0", "1.1.0")  # the fleet goes back
    (server / "plans" / "box.json").write_bytes(plan_two)
    with pytest.raises(Refused) as caught:
        workplace.follow(state)
    assert caught.value.attack is Attack.ROLLBACK
    kept = state / "trust" / "plan.json"
    for damaged in (b"", kept.read_bytes()[:-9], b'{"signed": {"form": 2}, "signatures": []}'):
        kept.write_bytes(damaged)
        with pytest.raises(Refused) as caught:
            workplace.follow(state)
        assert caught.value.attack is Attack.ROLLBACK
    assert run(4, "1.1.0") == ("1.1.0", "1.0.0")
