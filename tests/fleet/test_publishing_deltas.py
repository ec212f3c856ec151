"""Publishing makes deltas from the newest few releases of the name, and lists those that save half."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from cuts import killed_before
from release_keys import NOW, Keys, state
from small_bundle import make_bundle

from edgemill_core.bundle import open_bundle, write_bundle
from edgemill_core.durable import sha256_bytes
from edgemill_fleet.releases import deltas
from edgemill_fleet.releases.deltas import EARLIER, earlier_releases
from edgemill_fleet.releases.exporting import export
from edgemill_fleet.releases.publishing import Published, publish, withdraw
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import BlobStore, blob_path
from edgemill_link.trust.by_delta import ByDelta
from edgemill_link.trust.delta import delta_of
from edgemill_link.trust.delta_index import MOST_DELTAS, DeltaIndex, delta_path, index_path, parse_index
from edgemill_link.trust.source import FolderSource

EVERY = 1 if os.environ.get("EDGEMILL_EVERY_CUT") else 7
"""Of the calls before which a publisher is killed."""
WEIGHTS_FILE = "models/v/more.weights"
WEIGHTS = random.Random(1).randbytes(80_000)


def trained(number: int) -> bytes:
    """The weights with another head."""
    return WEIGHTS[:-5_000] + random.Random(100 + number).randbytes(5_000)


class Shop:
    """A folder of releases of one bundle, whose head is another in each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, Keys()
        self.releases = folder / "releases"
        Repository.create(self.releases, self.keys.roles, self.keys.all, now=NOW)
        self.told: list[str] = []

    def publish(self, version: str, weights: bytes) -> Published:
        """Under this version; the same again where it was published before."""
        place = self.folder / f"made-{version}"
        if not place.exists():
            made = make_bundle(self.folder / version, {WEIGHTS_FILE: weights, "small.bin": weights[-5_000:]})
            write_bundle(made.folder, made.manifest.model_copy(update={"version": version}), place)
        return publish(Repository(self.releases, NOW), open_bundle(place), self.keys.all, self.told.append)

    def index(self, content: bytes) -> DeltaIndex:
        file = self.releases / index_path(sha256_bytes(content))
        return parse_index(file.read_bytes()) if file.is_file() else DeltaIndex()

    def bases(self, content: bytes) -> set[str]:
        return set(self.index(content).deltas)


def digests(*numbers: int) -> set[str]:
    return {sha256_bytes(trained(number)) for number in numbers}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_box_on_an_earlier_release_gets_the_next_by_its_head_alone(shop: Shop, tmp_path: Path) -> None:
    assert shop.publish("1.0.0", trained(0)).deltas == 0
    assert shop.publish("1.1.0", trained(1)).deltas == 1
    assert shop.told == [f"delta of {WEIGHTS_FILE}"]
    store, source = BlobStore(tmp_path / "box"), FolderSource(shop.releases)
    store.fetch(source, sha256_bytes(trained(0)), len(WEIGHTS))
    by_delta = ByDelta(source, store)
    assert by_delta.fetch(sha256_bytes(trained(1)), len(WEIGHTS))
    assert store.path(sha256_bytes(trained(1))).read_bytes() == trained(1)
    assert by_delta.saved > 0.9 * len(WEIGHTS)


def test_the_newest_few_are_thought_of_and_withdrawn_ones_too(shop: Shop) -> None:
    for number in (0, 1, 2, 9, 10):
        shop.publish(f"1.{number}.0", trained(number))
    assert shop.bases(trained(10)) == digests(1, 2, 9)
    withdraw(Repository(shop.releases, NOW), "b/1.9.0", shop.keys.all)
    assert shop.publish("1.11.0", trained(11)).deltas == EARLIER
    assert shop.bases(trained(11)) == digests(2, 9, 10)


def test_a_list_that_is_full_holds_up_no_release(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    full = DeltaIndex(deltas={f"{number:064x}": 1 for number in range(MOST_DELTAS)})
    file = shop.releases / index_path(sha256_bytes(trained(1)))
    file.parent.mkdir(parents=True)
    file.write_text(full.model_dump_json())
    assert shop.publish("1.1.0", trained(1)).deltas == 1
    assert shop.bases(trained(1)) == digests(0)


def test_what_would_not_save_half_is_not_kept(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    other = random.Random(9).randbytes(len(WEIGHTS))
    assert shop.publish("1.1.0", other).deltas == 0
    assert not list((shop.releases / "deltas").rglob("*.json"))
    assert [file for file in (shop.releases / "deltas").rglob("*") if file.is_file()] == []


def test_published_again_nothing_is_made_again_and_what_was_lost_is_mended(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    shop.publish("1.1.0", trained(1))
    shop.told.clear()
    assert shop.publish("1.1.0", trained(1)).deltas == 1
    assert shop.told == []
    lost = shop.releases / delta_path(sha256_bytes(trained(1)), sha256_bytes(trained(0)))
    before = lost.read_bytes()
    lost.unlink()
    shop.publish("1.1.0", trained(1))
    assert lost.read_bytes() == before
    (shop.releases / index_path(sha256_bytes(trained(1)))).write_bytes(b"{")
    shop.publish("1.1.0", trained(1))
    assert shop.bases(trained(1)) == digests(0)


def test_a_blob_that_the_publisher_lost_is_no_base_and_no_trouble(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    (shop.releases / "blobs" / blob_path(sha256_bytes(trained(0)))).unlink()
    assert shop.publish("1.1.0", trained(1)).deltas == 0


@pytest.mark.parametrize("of", [WEIGHTS[:100], trained(5)], ids=["short", "other"])
def test_a_delta_that_does_not_lead_there_is_not_listed(shop: Shop, monkeypatch: pytest.MonkeyPatch, of: bytes) -> None:
    """As where a disk altered the blob that it leads from."""
    shop.publish("1.0.0", trained(0))
    (shop.folder / "other").write_bytes(of)
    monkeypatch.setattr(deltas, "delta_of", lambda _, base: delta_of(shop.folder / "other", base))
    assert shop.publish("1.1.0", trained(1)).deltas == 0
    assert shop.told == [f"delta of {WEIGHTS_FILE}"]
    assert shop.bases(trained(1)) == set()


def test_an_altered_manifest_of_an_earlier_release_is_passed_over(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    (manifest,) = (shop.releases / "targets").rglob("*.manifest.json")
    manifest.write_bytes(manifest.read_bytes() + b" ")
    standing = Repository(shop.releases, NOW).standing()
    assert earlier_releases(shop.releases, standing, "b", "1.1.0") == []


def test_a_publisher_that_is_killed_lists_no_delta_that_is_not_whole(shop: Shop) -> None:
    shop.publish("1.0.0", trained(0))
    base, number = shop.folder / "base", 0
    shop.releases.rename(base)
    shutil.copytree(base, shop.releases)
    shop.publish("1.1.0", trained(1))
    whole = state(shop.releases / "deltas")
    while True:
        shutil.rmtree(shop.releases)
        shutil.copytree(base, shop.releases)
        killed = killed_before(number, lambda: shop.publish("1.1.0", trained(1)))
        for old, size in shop.index(trained(1)).deltas.items():
            assert (shop.releases / delta_path(sha256_bytes(trained(1)), old)).stat().st_size == size
        if not killed:
            break
        assert shop.publish("1.1.0", trained(1)).deltas == 1
        assert state(shop.releases / "deltas") == whole
        number += EVERY
    assert number > 30


def test_a_stick_takes_none_along(shop: Shop, tmp_path: Path) -> None:
    shop.publish("1.0.0", trained(0))
    shop.publish("1.1.0", trained(1))
    export(Repository(shop.releases, NOW), tmp_path / "stick")
    assert (tmp_path / "stick" / "blobs").is_dir()
    assert not (tmp_path / "stick" / "deltas").exists()
