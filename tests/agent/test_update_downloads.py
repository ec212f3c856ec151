"""An update by what changed alone, and on a disk that is too small for everything; from publishing to slots."""

from __future__ import annotations

import os
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from release_keys import NOW, Keys
from small_bundle import make_bundle
from static_server import serving

from edgemill_agent.settings import AgentSettings, FleetSettings
from edgemill_agent.updating.book import Book
from edgemill_agent.updating.outcome import Outcome
from edgemill_agent.updating.proving import Proven
from edgemill_agent.updating.slots import Slots, bundle_folder, home, read_slots
from edgemill_agent.updating.states import Event, State
from edgemill_agent.updating.updater import Updater
from edgemill_core.bundle import open_bundle, write_bundle
from edgemill_core.durable import sha256_bytes
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import SPARE_BYTES, BlobStore
from edgemill_link.trust.delta_index import delta_path
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan
from edgemill_link.trust.source import FolderSource, HttpSource, Source

WEIGHTS = random.Random(1).randbytes(300_000)
FILE = "models/v/more.weights"


def weights(number: int) -> bytes:
    """With a head of their own."""
    return WEIGHTS[:-10_000] + random.Random(100 + number).randbytes(10_000)


class Plant:
    """Releases 1.0.0, 1.1.0, …, that differ in their heads, and a box that follows them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, Keys()
        self.releases, self.state = folder / "releases", folder / "state"
        Repository.create(self.releases, self.keys.roles, self.keys.all, now=NOW)
        (self.releases / "plans").mkdir()
        self.told: list[str] = []
        self.free: int | None = None
        self.planned = 0

    def release(self, number: int) -> None:
        version = f"1.{number}.0"
        made = make_bundle(self.folder / version, {FILE: weights(number)})
        changed = made.manifest.model_copy(update={"version": version})
        publish(
            Repository(self.releases, NOW),
            write_bundle(made.folder, changed, self.folder / f"b{number}"),
            self.keys.all,
        )
        self.planned += 1
        listed = Repository(self.releases).releases()[f"b/{version}/manifest.json"]
        one = PlannedRelease(name="b", version=version, manifest=listed.hashes["sha256"])
        plan = Plan(device="box", version=self.planned, expires=NOW + timedelta(days=7), releases=(one,))
        (self.releases / "plans" / "box.json").write_bytes(sign_plan(plan, [self.keys.plans]))

    def follow(self, source: Source | None = None) -> Book:
        station = {"name": "cell", "bundle": "release:b", "source": {"folder": "x"}}
        settings = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station]})
        settings = settings.model_copy(update={"state": self.state})
        root = (self.releases / "metadata/1.root.json").read_bytes()
        with Updater(settings, lambda: NOW, self.told.append, prove=lambda *_: Proven("onnxruntime", ())) as updater:
            if self.free is not None:
                updater._blobs._free = lambda _: self.free + SPARE_BYTES - self.used()
            return updater.follow(source or FolderSource(self.releases), root)

    def used(self) -> int:
        return sum(file.stat().st_size for file in (self.state / "blobs").rglob("*") if file.is_file())

    @property
    def slots(self) -> Slots:
        return read_slots(self.state, "b")

    def bundles(self) -> list[str]:
        return sorted(place.name[:5] for place in (home(self.state, "b") / "bundles").iterdir())


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Every trial is kept."""
    monkeypatch.setattr(Updater, "_outcome", lambda *_: Outcome(Event.KEPT, ""))
    return Plant(tmp_path)


class Counting(FolderSource):
    """What it gave, in bytes, by the first folder of its path."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gave: dict[str, int] = {}

    def stream(self, path: str, most: int, start: int = 0):  # type: ignore[no-untyped-def]
        for piece in super().stream(path, most, start):
            self.gave[path.split("/")[0]] = self.gave.get(path.split("/")[0], 0) + len(piece)
            yield piece


def test_the_next_release_comes_by_its_head(plant: Plant) -> None:
    plant.release(0)
    plant.follow()
    plant.release(1)
    source = Counting(plant.releases)
    assert plant.follow(source).updates["b"].state is State.TRIAL
    assert 10_000 < source.gave["deltas"] < 11_000
    assert source.gave.get("blobs", 0) < 10_000
    assert plant.slots.trial is not None
    assert (bundle_folder(plant.state, plant.slots.trial) / FILE).read_bytes() == weights(1)


def test_a_delta_that_is_wrong_is_in_the_book_and_the_update_goes_on(plant: Plant) -> None:
    plant.release(0)
    plant.follow()
    plant.release(1)
    delta = plant.releases / delta_path(sha256_bytes(weights(1)), sha256_bytes(weights(0)))
    delta.write_bytes(bytes(delta.stat().st_size))
    book = plant.follow()
    assert book.updates["b"].state is State.TRIAL
    assert [(one.state, one.why) for one in book.told][1:] == [
        (State.PLANNED, "deltas that did not lead to their blob: 1; fetched as a whole"),
        (State.TRIAL, ""),
    ]
    assert any("as a whole" in said for said in plant.told)


def test_of_many_releases_stay_what_judges_what_is_tried_and_the_way_back(plant: Plant) -> None:
    for number in range(4):
        plant.release(number)
        plant.follow()
    assert plant.bundles() == ["1.1.0", "1.2.0", "1.3.0"]
    assert plant.used() < 3.2 * len(WEIGHTS)
    plant.follow()
    assert plant.bundles() == ["1.2.0", "1.3.0"]
    assert (plant.slots.active.version, plant.slots.previous.version) == ("1.3.0", "1.2.0")  # type: ignore[union-attr]
    assert "b 1.1.0" in "".join(plant.told)


@pytest.mark.parametrize(("bundles", "fits"), [(2.2, True), (1.9, False)])
def test_where_there_is_no_room_the_way_back_goes_with_a_word_and_what_judges_never(
    plant: Plant, bundles: float, fits: bool
) -> None:
    for number in (0, 1):
        plant.release(number)
        plant.follow()
    plant.follow()
    plant.release(2)
    plant.free = int(bundles * len(WEIGHTS))
    if not fits:
        with pytest.raises(Exception, match="no room"):
            plant.follow()
        assert plant.bundles() == ["1.0.0", "1.1.0"]  # nothing goes in vain
        assert plant.slots.previous is not None
        return
    book = plant.follow()
    assert book.updates["b"].state is State.TRIAL
    assert plant.bundles() == ["1.1.0", "1.2.0"]
    assert plant.slots.previous is None
    told = [one for one in book.told if "makes room" in one.why]
    assert [(one.version, one.state, one.why[:7]) for one in told] == [("1.2.0", State.PLANNED, "b 1.0.0")]


def test_what_cannot_be_removed_is_said_and_holds_up_no_update(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        plant.release(number)
        plant.follow()
    real = os.replace

    def stuck(old: os.PathLike[str], new: os.PathLike[str]) -> None:
        if "/.new.1." in str(new):
            raise OSError(30, "Read-only file system")
        real(old, new)

    monkeypatch.setattr(os, "replace", stuck)
    assert plant.follow().updates["b"].state is State.COMMITTED
    assert "Read-only" in plant.told[-1]
    for one in (plant.slots.active, plant.slots.previous):
        assert one is not None
        open_bundle(bundle_folder(plant.state, one))


def test_a_download_that_is_killed_goes_on_and_loses_no_more_than_was_not_on_the_disk(tmp_path: Path) -> None:
    content = random.Random(3).randbytes(2_000_000)
    digest = sha256_bytes(content)
    served, store = BlobStore(tmp_path / "blobs"), BlobStore(tmp_path / "box")
    served.path(digest).parent.mkdir(parents=True)
    served.path(digest).write_bytes(content)
    with serving(tmp_path) as url:
        for kill in range(3):
            child = os.fork()
            if child == 0:
                came = 0

                def tell(more: int) -> None:
                    nonlocal came
                    came += more
                    if came > 500_000:
                        os.kill(os.getpid(), signal.SIGKILL)

                store.fetch(HttpSource(url), digest, len(content), tell)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WTERMSIG(status) == signal.SIGKILL
            assert store.part(digest).stat().st_size >= 500_000 * (kill + 1)
        store.fetch(HttpSource(url), digest, len(content))
    assert store.path(digest).read_bytes() == content


def test_a_rate_is_given_with_or_without_its_unit() -> None:
    for said in ("2MB/s", "2MB", 2_000_000):
        assert FleetSettings.model_validate({"trust": "root.json", "rate": said}).rate == 2_000_000
    for wrong in ("1B/s", "fast", "-2MB/s", "2MB/h"):
        with pytest.raises(ValueError, match="rate"):
            FleetSettings.model_validate({"trust": "root.json", "rate": wrong})
