"""What becomes of an update where two things come together: a cut, a backup, a damaged disk, a withdrawn release."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lossy_disk import Killed
from release_keys import NOW
from released_box import NAME, VERSIONS, ReleasedBox, Releases, proves
from small_bundle import make_bundle

from edgemill.cli import update as command
from edgemill_agent.backup.making import _bundles as in_a_backup
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, open_ledger
from edgemill_agent.line.line import Line
from edgemill_agent.settings import FleetSettings, read_settings
from edgemill_agent.updating.book import Update, read_book, write_book
from edgemill_agent.updating.clearing import Clearing
from edgemill_agent.updating.slots import Slots, bundle_folder, read_slots, write_slots
from edgemill_agent.updating.starting import count_start
from edgemill_agent.updating.states import TABLE, State
from edgemill_agent.updating.updater import Updater
from edgemill_core.bundle import write_bundle
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import BundleError, EdgemillError, InputError, LinkError
from edgemill_core.ledger import Kind, Record
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan
from edgemill_link.trust.refusal import Refused
from edgemill_link.trust.source import FolderSource


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    made = Releases(tmp_path_factory.mktemp("releases"))
    plan = Plan(device="box", version=9, expires=NOW + timedelta(days=7), releases=())
    made.plans["none"] = sign_plan(plan, [made.keys.plans])
    return made


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk is waited for."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def box(releases: Releases, tmp_path: Path) -> ReleasedBox:
    """1.0.0 judges, and the plan names 1.1.0."""
    made = ReleasedBox(tmp_path, releases)
    releases.plan("1.0.0")
    made.follow()
    releases.plan("1.1.0")
    return made


def cut(box: ReleasedBox, state: State) -> Update:
    """1.1.0 came as far as this, and then the process died."""

    def dies(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        ReleasedBox(box.folder, box.releases, dies).follow()  # type: ignore[arg-type]
    book = read_book(box.state)
    update = book.updates[NAME].model_copy(update={"state": state})
    write_book(box.state, book.model_copy(update={"updates": {NAME: update}}))
    return update


def state(box: ReleasedBox) -> State:
    return read_book(box.state).updates[NAME].state


@pytest.mark.parametrize("stands", [State.STAGED, State.PROVED])
@pytest.mark.parametrize("gone", [False, True])
def test_a_bundle_that_was_damaged_or_lost_since_it_was_laid_out_is_had_again(
    box: ReleasedBox, stands: State, gone: bool
) -> None:
    cut(box, stands)
    (folder,) = (box.state / "slots" / NAME / "bundles").glob("1.1.0-*")
    if gone:
        shutil.rmtree(folder)
        shutil.rmtree(box.state / "blobs")
    else:
        (folder / "golden" / "x.npy").write_bytes(b"bad")  # and the blob with it
    for _ in range(2):
        with pytest.raises(BundleError):
            box.follow()
        if gone:
            break
    box.follow()
    assert state(box) is State.TRIAL
    assert box.check() == "1.0.0"


@pytest.mark.parametrize("content", [None, b"{}"])
@pytest.mark.parametrize("stands", [State.VERIFIED, State.STAGED, State.PROVED])
def test_a_manifest_that_was_damaged_or_lost_on_the_way_is_had_again(
    box: ReleasedBox, stands: State, content: bytes | None
) -> None:
    update = cut(box, stands)
    file = box.state / "slots" / NAME / "manifests" / f"{update.manifest}.json"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(BundleError, match="damaged or lost"):
        box.follow()
    box.follow()
    assert state(box) is State.TRIAL


def test_a_damaged_one_holds_up_no_other_that_came(box: ReleasedBox) -> None:
    update, book = cut(box, State.VERIFIED), read_book(box.state)
    write_book(box.state, book.model_copy(update={"updates": {"aaa": update, **book.updates}}))
    settings = box.settings()
    other = settings.stations[0].model_copy(update={"name": "other", "bundle": Path("release:aaa")})
    settings = settings.model_copy(update={"stations": (*settings.stations, other)})
    with Updater(settings, lambda: NOW, prove=proves) as updater, pytest.raises(BundleError, match="slots/aaa/"):
        updater.go_on()
    assert state(box) is State.TRIAL


def test_a_box_starts_and_goes_on_though_the_slots_were_removed_in_the_middle_of_a_trial(box: ReleasedBox) -> None:
    box.follow()
    shutil.rmtree(box.state / "slots" / NAME)
    box.start()
    assert state(box) is State.ROLLED_BACK
    box.releases.plan("1.2.0")
    box.follow()
    assert box.check() == "1.2.0"


@pytest.mark.parametrize("stands", [one for one in State if TABLE[one]])
def test_what_became_the_active_one_in_another_way_ends_its_update_wherever_that_is(
    box: ReleasedBox, stands: State
) -> None:
    """A new proof led back to it, and the power went before the book said so; or an older book was put back."""
    update = cut(box, stands)
    with box.updater() as updater:
        new = updater._installed_of(NAME, update)
    write_slots(box.state, NAME, Slots(active=new, previous=read_slots(box.state, NAME).active))
    box.start()
    assert state(box) in (State.COMMITTED, State.SUPERSEDED)
    box.follow()
    assert box.check() == "1.1.0"


def test_a_backup_has_every_bundle_that_its_slots_name(box: ReleasedBox) -> None:
    """What looks on would be refused for not being there."""
    box.follow()
    slots = read_slots(box.state, NAME)
    assert slots.active is not None
    assert slots.trial is not None
    write_slots(box.state, NAME, slots.looking_on(slots.trial, 0))
    found = {one.path for one in in_a_backup(box.state)}
    assert {f"slots/{NAME}/bundles/{one.folder}/manifest.json" for one in (slots.active, slots.trial)} < found


def test_of_a_long_trial_only_swaps_are_read(box: ReleasedBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A station that stands still holds a trial open for weeks, and a box that starts reads what it came to."""
    box.follow()
    ledger, _ = open_ledger(box.state, Clock())
    ledger.append([Entry(Kind.METRICS, {}) for _ in range(3000)])
    box.record_outcome(ledger, "committed")
    ledger.close()
    read: list[Record] = []
    made = Record.from_row

    def counted(row: Sequence[Any]) -> Record:
        read.append(made(row))
        return read[-1]

    monkeypatch.setattr(Record, "from_row", counted)
    box.start()
    assert [one.header.kind for one in read] == [Kind.SWAP]
    assert state(box) is State.COMMITTED


def test_a_box_that_has_no_more_than_it_needs_reads_no_records_over_it(
    box: ReleasedBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked each hour, and records are millions."""
    box.follow()
    box.decide("committed")
    monkeypatch.setattr(Clearing, "_judged_by", lambda *_: pytest.fail("all that lies there is in a slot"))
    box.follow()
    assert read_slots(box.state, NAME).previous is not None


def test_a_disk_that_is_full_does_not_keep_a_box_from_starting(
    box: ReleasedBox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box.follow()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    count_start(box.settings())
    assert "No space left" in caplog.text


@pytest.mark.parametrize("stands", [State.PLANNED, State.VERIFIED, State.STAGED, State.PROVED])
def test_what_no_plan_names_any_more_is_given_up_wherever_it_is(box: ReleasedBox, stands: State) -> None:
    """It would be taken up at the next look, and what came of it would lie there for ever."""
    cut(box, stands)
    box.releases.plan("none")
    box.follow()
    assert state(box) is State.SUPERSEDED
    with box.updater() as updater:
        updater.go_on()
    assert read_slots(box.state, NAME).trial is None
    assert [one.name for one in (box.state / "slots" / NAME / "bundles").iterdir()] == ["1.0.0-d8c6fc3363e1"]
    assert not list((box.state / "blobs").rglob("*.part"))


def test_a_release_of_which_a_file_is_missing_holds_up_no_other(box: ReleasedBox, tmp_path: Path) -> None:
    made, folder, keys = make_bundle(tmp_path / "c", {"c.bin": b"c"}), box.releases.folder, box.releases.keys
    bundle = write_bundle(made.folder, made.manifest.model_copy(update={"name": "c"}), tmp_path / "made")
    publish(Repository(folder, NOW), bundle, keys.all)
    listed = {path.rpartition("/")[0]: one.hashes["sha256"] for path, one in Repository(folder, NOW).releases().items()}
    wanted = ((NAME, "1.2.0"), ("c", "1.0.0"))
    named = tuple(
        PlannedRelease(name=name, version=version, manifest=listed[f"{name}/{version}"]) for name, version in wanted
    )
    plan = Plan(device="box", version=8, expires=NOW + timedelta(days=7), releases=named)
    (folder / "plans" / "box.json").write_bytes(sign_plan(plan, [keys.plans]))
    (folder / "blobs" / blob_path(sha256_bytes(VERSIONS["1.2.0"]))).unlink()
    settings = box.settings()
    other = settings.stations[0].model_copy(update={"name": "other", "bundle": Path("release:c")})
    settings = settings.model_copy(update={"stations": (*settings.stations, other)})
    with Updater(settings, lambda: NOW, prove=proves) as updater, pytest.raises(Refused, match="has no blobs"):
        updater.follow(FolderSource(folder), box.releases.root)
    assert state(box) is State.PLANNED
    assert read_book(box.state).updates["c"].state is State.COMMITTED


@pytest.mark.parametrize("trouble", [BundleError, LinkError])
def test_a_running_agent_hears_of_what_went_on_before_an_update_broke_off(
    box: ReleasedBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[EdgemillError]
) -> None:
    told = []
    (tmp_path / "agent.yaml").write_text(
        f"device: {{id: box}}\nstate: {box.state}\nfleet: {{trust: root.json}}\n"
        f"stations: [{{name: cell, bundle: 'release:{NAME}', source: {{folder: x}}}}]\n"
    )
    (tmp_path / "root.json").write_bytes(box.releases.root)

    def breaks(*_: object) -> None:
        raise trouble("it broke off", expected="a whole one", got="half", fix="again")

    monkeypatch.setattr(Updater, "follow", breaks)
    monkeypatch.setattr(Updater, "prove_anew", lambda self: self.book)
    monkeypatch.setattr(command, "give_way", lambda _: None)
    monkeypatch.setattr(command, "_tell_agent", told.append)
    with pytest.raises(trouble):
        command.update(tmp_path / "agent.yaml", "releases", 0.0, again=False, json=False)
    assert len(told) == 1


@pytest.mark.parametrize("by_place", [False, True])
def test_a_bundle_that_is_named_by_its_place_is_not_looked_after(
    box: ReleasedBox, tmp_path: Path, by_place: bool
) -> None:
    """Its name is nobody's to prove: a process would be started each minute for it, for ever."""
    active = read_slots(box.state, NAME).active
    assert active is not None
    bundle = bundle_folder(box.state, active) if by_place else f"release:{NAME}"
    file = tmp_path / "agent.yaml"
    station = f"{{name: c, bundle: '{bundle}', source: {{folder: x}}}}"
    file.write_text(f"{{device: {{id: box}}, state: {box.state}, stations: [{station}]}}")
    updates = Line(read_settings(file), Clock(), file=file)._updates
    assert updates is not None
    assert updates.names == ([] if by_place else [NAME])


@pytest.mark.parametrize("url", [None, "https://releases"])
def test_what_agrees_waits_at_a_start_for_the_plan_that_may_not_name_it_any_more(
    box: ReleasedBox, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    box.swap = {"shadow": {"most_disagreement": 0.1, "stop_at": 0.5, "errors": 0.05}}
    box.follow()
    box.look_on("000000")
    fleet = FleetSettings.model_validate({"trust": "root.json", "url": url})
    made = box.settings().model_copy(update={"fleet": fleet})
    monkeypatch.setattr(box, "settings", lambda: made)
    box.start()
    assert state(box) is (State.SHADOWING if url else State.TRIAL)
    box.releases.plan("none" if url else "1.1.0")
    box.follow()
    assert state(box) is (State.SUPERSEDED if url else State.TRIAL)


def test_an_update_by_hand_waits_for_a_look_of_the_agent(box: ReleasedBox) -> None:
    first = box.updater()
    with pytest.raises(InputError, match="another update"):
        box.updater()
    threading.Timer(0.05, first.__exit__).start()
    with Updater(box.settings(), lambda: NOW, patience_s=10.0) as updater:
        assert updater.book.updates[NAME].state is State.COMMITTED


def test_what_was_withdrawn_on_its_way_is_given_up_though_a_plan_still_names_it(box: ReleasedBox) -> None:
    """Last in this file: the release is gone from the folder for good."""
    update = cut(box, State.STAGED)
    withdraw(Repository(box.releases.folder, NOW), f"{NAME}/{update.version}", box.releases.keys.all)
    with pytest.raises(Refused):
        box.follow()
    assert state(box) is State.SUPERSEDED
