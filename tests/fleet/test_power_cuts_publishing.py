"""The power goes behind any step of whoever publishes, and takes any part of what was not synced with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from lossy_disk import Killed, Left, Tape
from release_keys import NOW, Keys, later
from small_bundle import make_bundle

from edgemill_core.bundle import Bundle
from edgemill_core.errors import InputError
from edgemill_fleet.releases.exporting import export
from edgemill_fleet.releases.planning import make_plan
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.renewing import renew
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.rotating import NewKeys, rotate
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.client import refresh
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore

FULL = bool(os.environ.get("EDGEMILL_EVERY_CUT"))
EVERY = 1 if FULL else 13
SECOND = later(0.5)
"""When it is done again: nothing that is signed then is what was signed before."""
ONE, TWO = "b/1.0.0/manifest.json", "b/1.1.0/manifest.json"


@dataclass(frozen=True)
class Plant:
    """Keys, bundles, and a folder in which the first bundle is released, with a plan for it."""

    keys: Keys
    fresh: Keys
    first: Bundle
    second: Bundle
    start: Path

    @property
    def new_keys(self) -> NewKeys:
        roles = self.fresh.roles
        return NewKeys(roles.root, roles.releases, roles.online, roles.plans)

    @property
    def signers(self) -> list[object]:
        return [*self.keys.all, *self.fresh.all]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    folder, keys = tmp_path_factory.mktemp("plant"), Keys()
    first = make_bundle(folder / "first", {})
    second = make_bundle(folder / "second", {"golden/x.npy": b"x" * 70}, version="1.1.0")
    repository = Repository.create(folder / "start", keys.roles, keys.all, now=NOW)
    publish(repository, first, keys.all)
    make_plan(repository, "line3", ["b/1.0.0"], keys.all)
    return Plant(keys, Keys(), first, second, folder / "start")


def publishing(plant: Plant, folder: Path, now: datetime = NOW) -> None:
    publish(Repository(folder, now), plant.second, plant.keys.all)


def withdrawing(plant: Plant, folder: Path, now: datetime = NOW) -> None:
    if ONE in Repository(folder, now).releases():
        withdraw(Repository(folder, now), "b/1.0.0", plant.keys.all)


def renewing(plant: Plant, folder: Path, now: datetime = NOW) -> None:
    renew(Repository(folder, now), plant.keys.all)


def planning(plant: Plant, folder: Path, now: datetime = NOW) -> None:
    make_plan(Repository(folder, now), "line3", ["b/1.0.0"], plant.keys.all)


def rotating(plant: Plant, folder: Path, now: datetime = NOW) -> None:
    """Every key; where it was cut behind the releases' new key, the old one has nothing more to say."""
    repository = Repository(folder, now)
    if repository.standing().root.version == 2:
        return
    able = [*plant.keys.all, *plant.fresh.all]
    if repository.standing().targets.version != 1:
        able.remove(plant.keys.releases)
    rotate(repository, plant.new_keys, able)


Work = Callable[..., None]
COURSES: dict[str, tuple[Work, tuple[str, ...]]] = {
    "publish": (publishing, (ONE, TWO)),
    "withdraw": (withdrawing, ()),
    "sign": (renewing, (ONE,)),
    "plan": (planning, (ONE,)),
    "rotate": (rotating, (ONE,)),
}


class Box:
    """A box, with what it believes; the first look was before all."""

    def __init__(self, plant: Plant, place: Path) -> None:
        self.place = place
        self.store = TrustStore(place / "trust")
        self.store.begin((plant.start / "metadata" / "1.root.json").read_bytes())
        self.sees(plant.start)

    def sees(self, folder: Path) -> tuple[str, ...]:
        """The releases; the files of each are there."""
        source = FolderSource(folder)
        trusted = refresh(source, self.store, lambda: later(1))
        for target in trusted.releases().values():
            name, digest = target.path.rpartition("/")[0], target.hashes["sha256"]
            assert source.read(f"targets/{name}/{digest}.manifest.json", 100_000)
        return tuple(trusted.releases())


def laid_out(left: Left, folder: Path) -> Path:
    left.lay_out(folder)
    return folder


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk is waited for: the tape has what was asked of it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def different(tape: Tape) -> Iterator[Left]:
    known = set()
    for left in tape.cuts(every=EVERY):
        if left.key not in known:
            known.add(left.key)
            yield left


def taped(plant: Plant, work: Work, place: Path) -> Tape:
    shutil.copytree(plant.start, place / "releases")
    tape = Tape(place)
    with tape.recording():
        work(plant, place / "releases")
    return tape


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("course", COURSES if FULL else ("publish", "rotate"))
def test_boxes_see_the_state_before_or_after_and_it_can_be_done_again(
    course: str, plant: Plant, tmp_path: Path
) -> None:
    work, after = COURSES[course]
    tape = taped(plant, work, tmp_path / "whole")
    number = 0
    for number, left in enumerate(different(tape), start=1):
        try:
            folder = laid_out(left, tmp_path / f"cut {number}") / "releases"
            box = Box(plant, tmp_path / f"box {number}")
            assert box.sees(folder) in ((ONE,), after)
            work(plant, folder, SECOND)
            assert box.sees(folder) == after
            assert Box(plant, tmp_path / f"fresh {number}").sees(folder) == after
            for one in (plant.first, plant.second)[: len(after)]:
                assert whole(one, folder), "every file of what is listed"
        except BaseException as error:
            error.add_note(f"behind step {left.step}, {tape.steps[left.step - 1].what}; lost: {left.why}")
            raise
        shutil.rmtree(tmp_path / f"cut {number}")
    assert number >= (5 if FULL else 2)


def whole(bundle: Bundle, folder: Path) -> bool:
    entries = {**bundle.manifest.files, **bundle.manifest.records}.values()
    return all((folder / "blobs" / blob_path(entry.sha256)).stat().st_size == entry.bytes for entry in entries)


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("course", ["publish", "withdraw", "sign"] if FULL else ["publish"])
def test_a_box_that_saw_what_was_lost_then_goes_on(course: str, plant: Plant, tmp_path: Path) -> None:
    """It may have seen a timestamp that no disk had yet; later one of the same version is another."""
    work, after = COURSES[course]
    tape = taped(plant, work, tmp_path / "whole")
    for done in range(1, len(tape.steps) + 1, EVERY if FULL else 1):
        seen = next(iter(tape.cut_after(done)))
        for left in list(tape.cut_after(done))[1:2]:
            folder = laid_out(left, tmp_path / f"cut {done}") / "releases"
            box = Box(plant, tmp_path / f"box {done}")
            box.sees(laid_out(seen, tmp_path / f"seen {done}") / "releases")
            work(plant, folder, SECOND)
            assert box.sees(folder) == after
            renew(Repository(folder, later(1)), plant.keys.all)
            assert box.sees(folder) == after


@pytest.mark.usefixtures("unsynced")
def test_a_publisher_is_killed_and_the_power_goes_behind_the_next_one(plant: Plant, tmp_path: Path) -> None:
    """What the first had not synced is not taken for safe by the second, which finds it there."""
    for dies_at in range(0, 10_000, 1 if FULL else 11):
        place, ended = tmp_path / f"killed {dies_at}", False
        shutil.copytree(plant.start, place / "releases")
        tape = Tape(place)
        with tape.recording(dies_at=dies_at), suppress(Killed):
            publishing(plant, place / "releases")
            ended = True
        if ended:
            break
        with tape.recording():
            publishing(plant, place / "releases")
        for number, left in enumerate(tape.cut_after(len(tape.steps))):
            folder = laid_out(left, tmp_path / f"cut {dies_at} {number}") / "releases"
            assert Box(plant, tmp_path / f"box {dies_at} {number}").sees(folder) == (ONE, TWO)
            assert whole(plant.second, folder), f"killed at call {dies_at}; lost: {left.why}"
    assert dies_at > 20


@pytest.mark.usefixtures("unsynced")
def test_making_the_folder(plant: Plant, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "whole")

    def make(folder: Path) -> None:
        Repository.create(folder, plant.keys.roles, plant.keys.all, now=NOW)

    with tape.recording():
        make(tmp_path / "whole" / "releases")
    for number, left in enumerate(different(tape)):
        folder = laid_out(left, tmp_path / f"cut {number}") / "releases"
        try:
            make(folder)
        except InputError:
            assert Repository(folder, NOW).standing().outdated == ()
        assert Repository(folder, NOW).releases() == {}
        publish(Repository(folder, NOW), plant.first, plant.keys.all)


@pytest.mark.usefixtures("unsynced")
def test_a_stick_that_is_drawn(plant: Plant, tmp_path: Path) -> None:
    source, tape = Repository(plant.start, NOW), Tape(tmp_path / "whole")
    with tape.recording():
        export(source, tmp_path / "whole" / "stick")
    for number, left in enumerate(different(tape)):
        folder = laid_out(left, tmp_path / f"cut {number}") / "stick"
        if (folder / "metadata" / "timestamp.json").exists():
            assert Box(plant, tmp_path / f"box {number}").sees(folder) == (ONE,)
        export(source, folder)
        assert Box(plant, tmp_path / f"again {number}").sees(folder) == (ONE,)
        assert whole(plant.first, folder)
