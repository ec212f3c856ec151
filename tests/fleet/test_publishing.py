"""What is signed for: only what the folder's keys signed before, and what was asked for now."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from release_keys import NOW, Keys, later, resigned, state, target
from small_bundle import make_bundle
from tuf.api.metadata import MetaFile

from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.durable import sha256_file
from edgemill_core.errors import BundleError, EdgemillError, InputError, TrustError
from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.planning import make_plan, read_plans
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.renewing import renew
from edgemill_fleet.releases.repository import Repository, RoleKeys
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.client import refresh
from edgemill_link.trust.plan import Plan, sign_plan
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore

ONE = "b/1.0.0/manifest.json"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    """A bundle, the one behind it, an empty folder of releases and one with the bundle in it."""
    place = tmp_path_factory.mktemp("made")
    bundle = make_bundle(place / "shelf", {"golden/x.npy": b"x" * 700})
    make_bundle(place / "next", {}, version="1.1.0")
    Repository.create(place / "empty", keys.roles, keys.all, now=NOW)
    shutil.copytree(place / "empty", place / "released")
    publish(Repository(place / "released", NOW), bundle, keys.all)
    return place


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Bundle:
    shutil.copytree(made / "shelf", tmp_path / "shelf")
    return open_bundle(tmp_path / "shelf" / "b-1.0.0")


@pytest.fixture
def following(made: Path) -> Bundle:
    return open_bundle(made / "next" / "b-1.0.0")


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Repository:
    shutil.copytree(made / "empty", tmp_path / "releases")
    return Repository(tmp_path / "releases", NOW)


@pytest.fixture
def released(made: Path, tmp_path: Path) -> Repository:
    shutil.copytree(made / "released", tmp_path / "releases")
    return Repository(tmp_path / "releases", NOW)


def seen(repository: Repository, place: Path) -> Mapping[str, Any]:
    """By a box that knows the first root alone."""
    store = TrustStore(place)
    store.begin((repository.folder / "metadata" / "1.root.json").read_bytes())
    return refresh(FolderSource(repository.folder), store, lambda: repository.now).releases()


def says(kind: type[EdgemillError], what: str) -> AbstractContextManager[Any]:
    return pytest.raises(kind, match=what)


def test_a_bundle_lies_there_whole_and_each_blob_once(
    repository: Repository, bundle: Bundle, keys: Keys, tmp_path: Path
) -> None:
    made = publish(repository, bundle, keys.all)
    files = {**bundle.manifest.files, **bundle.manifest.records}
    assert (made.release, made.new, made.blobs) == ("b/1.0.0", True, len({one.sha256 for one in files.values()}))
    for entry in files.values():
        assert sha256_file(repository.folder / "blobs" / blob_path(entry.sha256)) == entry.sha256
    (manifest,) = (repository.folder / "targets").rglob("*.manifest.json")
    assert manifest.relative_to(repository.folder / "targets").as_posix() == f"b/1.0.0/{made.manifest}.manifest.json"
    (listed,) = seen(repository, tmp_path / "box").values()
    assert listed.hashes["sha256"] == sha256_file(manifest) == made.manifest
    assert listed.unrecognized_fields["custom"]["bytes"] == bundle.manifest.size_bytes


def test_the_same_again_changes_nothing_and_mends_what_a_disk_lost(
    released: Repository, bundle: Bundle, keys: Keys
) -> None:
    before = state(released.folder)
    assert not publish(released, bundle, keys.all).new
    assert state(released.folder) == before
    blob = next((released.folder / "blobs").rglob("*/*"))
    content = blob.read_bytes()
    blob.write_bytes(bytes(len(content)))
    assert publish(released, bundle, keys.all).blobs == 1
    assert blob.read_bytes() == content


@pytest.mark.parametrize("first", ["listed", "withdrawn"])
def test_a_version_means_one_content_for_ever(
    released: Repository, following: Bundle, keys: Keys, tmp_path: Path, first: str
) -> None:
    other = make_bundle(tmp_path / "other", {"golden/x.npy": b"y" * 700})
    if first == "withdrawn":
        withdraw(released, "b/1.0.0", keys.all)
        publish(released, following, keys.all)
    before = state(released.folder)
    with says(InputError, "released before, with other content"):
        publish(released, other, keys.all)
    assert state(released.folder) == before


def test_what_was_withdrawn_may_come_back_as_it_was(
    released: Repository, bundle: Bundle, keys: Keys, tmp_path: Path
) -> None:
    withdraw(released, "b/1.0.0", keys.all)
    assert seen(released, tmp_path / "box") == {}
    with says(InputError, "is not released"):
        withdraw(released, "b/1.0.0", keys.all)
    assert publish(released, bundle, keys.all).new
    assert list(seen(released, tmp_path / "box")) == [ONE]
    withdraw(released, "b/1.0.0", keys.all)


def test_a_bundle_that_changes_while_it_is_copied_is_not_signed_for(
    repository: Repository, bundle: Bundle, keys: Keys, tmp_path: Path
) -> None:
    (bundle.folder / "golden" / "x.npy").write_bytes(b"z" * 700)
    with says(BundleError, "was altered"):
        publish(repository, bundle, keys.all)
    assert seen(repository, tmp_path / "box") == {}
    assert not list(repository.folder.rglob(".new.*"))


@pytest.mark.parametrize("word", ["..", "a/b", "", ".hidden", "a\nb", "x" * 65])
@pytest.mark.parametrize("key", ["name", "version"])
def test_names_that_would_leave_the_folder_are_refused(
    repository: Repository, bundle: Bundle, keys: Keys, word: str, key: str
) -> None:
    odd = Bundle(bundle.folder, bundle.manifest.model_copy(update={key: word}))
    with says(InputError, f"no {key} that can be released"):
        publish(repository, odd, keys.all)


# --- keys ---


@pytest.mark.parametrize("lacking", ["releases", "online"])
def test_a_key_that_is_missing_is_said_before_anything_is_copied(
    repository: Repository, bundle: Bundle, keys: Keys, lacking: str
) -> None:
    before = state(repository.folder)
    able = [one for one in keys.all if one is not getattr(keys, lacking)]
    with says(InputError, "cannot be signed"):
        publish(repository, bundle, able)
    with says(InputError, "has nothing to say here"):
        publish(repository, bundle, [*keys.all, Keys().releases])
    assert state(repository.folder) == before


def test_below_its_threshold_nobody_makes_a_root(tmp_path: Path, keys: Keys) -> None:
    able = [keys.root[0], keys.root[0], keys.releases, keys.online]
    with says(InputError, "root cannot be signed"):
        Repository.create(tmp_path / "releases", keys.roles, able, now=NOW)
    assert not (tmp_path / "releases").exists()
    twice = RoleKeys([keys.root[0].public_key] * 2, *[[one] for one in _others(keys)], threshold=2)
    with says(InputError, "threshold of root cannot be met"):
        Repository.create(tmp_path / "releases", twice, able, now=NOW)


def _others(keys: Keys) -> list[Any]:
    return [keys.releases.public_key, keys.online.public_key, keys.plans.public_key]


def test_a_private_key_beside_anothers_public_one_signs_nothing(
    released: Repository, keys: Keys, tmp_path: Path
) -> None:
    false = Keys().online
    false._public_key = keys.online.public_key  # type: ignore[attr-defined]
    before = state(released.folder)
    with says(InputError, "does not hold"):
        renew(released, [false])
    assert state(released.folder) == before


def test_a_folder_with_something_in_it_is_left_alone(released: Repository, keys: Keys) -> None:
    before = state(released.folder)
    with says(InputError, "not empty"):
        Repository.create(released.folder, keys.roles, keys.all)
    assert state(released.folder) == before


# --- whoever writes there without a key ---


def _put_in(folder: Path, keys: Keys) -> None:
    """As whoever can write to the folder could: a release of his own, in the newest releases."""
    file = folder / "metadata" / "2.releases.json"
    told = json.loads(file.read_bytes())
    told["signed"]["targets"]["b/6.6.6/manifest.json"] = target("6.6.6").to_dict()
    file.write_bytes(json.dumps(told).encode())


def _put_in_next(folder: Path, keys: Keys) -> None:
    """Behind the newest, as a publisher that was killed leaves it; not even signed by another."""
    before = (folder / "metadata" / "2.releases.json").read_bytes()
    (folder / "metadata" / "3.releases.json").write_bytes(before)
    resigned(
        folder / "metadata" / "3.releases.json",
        [keys.releases],
        version=3,
        targets={"b/6.6.6/manifest.json": target("6.6.6").to_dict()},
    )


def _name_himself(folder: Path, keys: Keys) -> None:
    """New targets that hand on to him, too."""
    place, thief = folder / "metadata", Keys().releases
    told = json.loads((place / "1.targets.json").read_bytes())["signed"]["delegations"]
    told["keys"][thief.public_key.keyid] = thief.public_key.to_dict()
    told["roles"][0]["keyids"].append(thief.public_key.keyid)
    (place / "2.targets.json").write_bytes((place / "1.targets.json").read_bytes())
    resigned(place / "2.targets.json", [thief], version=2, delegations=told, **{"x-edgemill-root": 1})


def _sign_himself(folder: Path, keys: Keys) -> None:
    """The timestamp; it leads to what it led to."""
    resigned(folder / "metadata" / "timestamp.json", [Keys().online], version=9)


def _list_his_own(folder: Path, keys: Keys) -> None:
    """With the online key, which he has stolen."""
    place = folder / "metadata"
    resigned(place / "2.releases.json", [Keys().releases], targets={"b/6.6.6/manifest.json": target("6.6.6").to_dict()})
    for lister, listed in (("2.snapshot", "2.releases"), ("timestamp", "2.snapshot")):
        name = f"{listed.partition('.')[2]}.json"
        told = json.loads((place / f"{lister}.json").read_bytes())["signed"]["meta"]
        told[name] = MetaFile.from_data(2, (place / f"{listed}.json").read_bytes(), ["sha256"]).to_dict()
        resigned(place / f"{lister}.json", [keys.online], meta=told)


def _sign_other_releases(folder: Path, keys: Keys) -> None:
    """With a release key and no online key: another file of the version that is listed."""
    told = {"b/6.6.6/manifest.json": target("6.6.6").to_dict()}
    resigned(folder / "metadata" / "2.releases.json", [keys.releases], targets=told)


def _put_a_root_of_his_own(folder: Path, keys: Keys) -> None:
    place, thief = folder / "metadata", Keys()
    Repository.create(folder / "his", thief.roles, thief.all, now=NOW)
    shutil.copy(folder / "his" / "metadata" / "1.root.json", place / "2.root.json")
    resigned(place / "2.root.json", thief.root, version=2)


def _turn_back(folder: Path, keys: Keys) -> None:
    for name in ("2.snapshot.json", "2.releases.json"):
        (folder / "metadata" / name).unlink()


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        (_put_in, True),
        (_turn_back, True),
        (_sign_himself, True),
        (_list_his_own, True),
        (_sign_other_releases, True),
        (_put_a_root_of_his_own, True),
        (_put_in_next, False),
        (_name_himself, False),
    ],
)
def test_nothing_is_signed_on_top_of_what_no_key_signed(
    released: Repository,
    following: Bundle,
    keys: Keys,
    tmp_path: Path,
    tampering: Callable[[Path, Keys], None],
    found: bool,
) -> None:
    tampering(released.folder, keys)
    able = [keys.releases, keys.online]
    for work in (lambda: publish(released, following, able), lambda: renew(released, able)):
        if found:
            with says(TrustError, "is not what its keys signed"):
                work()
        else:
            work()
            assert set(seen(released, tmp_path / "box")) <= {ONE, "b/1.1.0/manifest.json"}
            assert (released.folder / "metadata" / "timestamp.json").read_bytes().count(b'"version": 1,') == 0


def test_a_folder_that_somebody_made_anew_is_found_out_by_the_root_that_one_knows(
    released: Repository, bundle: Bundle, keys: Keys, tmp_path: Path
) -> None:
    """He names our release key beside his own; what we sign then he could put under our own root."""
    root, thief = released.root_bytes(), Keys()
    roles = RoleKeys(
        thief.roles.root,
        [keys.releases.public_key, thief.releases.public_key],
        [keys.online.public_key, thief.online.public_key],
        thief.roles.plans,
    )
    shutil.rmtree(released.folder)
    Repository.create(released.folder, roles, thief.all, now=NOW)
    for pinned in (root, b"{}"):
        with says(TrustError, "is not what its keys signed"):
            publish(Repository(released.folder, NOW, pinned), bundle, [keys.releases, keys.online])
    assert seen(released, tmp_path / "box") == {}


def test_snapshots_that_list_too_little_are_not_counted_on_from(released: Repository, keys: Keys) -> None:
    place = released.folder / "metadata"
    resigned(place / "2.snapshot.json", [keys.online], meta={})
    listed = MetaFile.from_data(2, (place / "2.snapshot.json").read_bytes(), ["sha256"]).to_dict()
    resigned(place / "timestamp.json", [keys.online], meta={"snapshot.json": listed})
    with says(TrustError, "no word of it"):
        renew(released, keys.all)


# --- time ---


def test_what_nobody_renewed_for_years_can_be_signed_again(released: Repository, keys: Keys, tmp_path: Path) -> None:
    late = Repository(released.folder, later(700))
    with says(TrustError, "not believed"):
        seen(late, tmp_path / "box")
    standing = renew(late, [keys.online, keys.releases]).standing
    assert standing.releases.expires == later(700 + 365)
    assert standing.timestamp.expires == standing.snapshot.expires == later(730)


def test_a_clock_that_stands_before_what_was_signed_signs_nothing(released: Repository, keys: Keys) -> None:
    with says(InputError, "clock"):
        renew(Repository(released.folder, later(-1)), keys.all)


# --- two at once, and disks ---


def test_two_at_once_wait_for_each_other(released: Repository, bundle: Bundle, keys: Keys) -> None:
    with held(released.folder):
        for work in (
            lambda: publish(released, bundle, keys.all),
            lambda: withdraw(released, "b/1.0.0", keys.all),
            lambda: renew(released, keys.all),
            lambda: make_plan(released, "line3", ["b/1.0.0"], keys.all),
        ):
            with says(InputError, "somebody else is at work"):
                work()
    publish(released, bundle, keys.all)


def test_several_at_once_lose_nothing(released: Repository, following: Bundle, keys: Keys, tmp_path: Path) -> None:
    bundles = [following, *(make_bundle(tmp_path / f"{n}", {}, version=f"2.0.{n}") for n in range(2))]
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_insist, args=(released, one, keys)) for one in bundles]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert len(seen(released, tmp_path / "box")) == 4


def _insist(repository: Repository, bundle: Bundle, keys: Keys) -> None:
    while True:
        try:
            publish(repository, bundle, keys.all)
            return
        except InputError:
            continue


def test_a_full_disk_leaves_what_boxes_see(
    released: Repository, following: Bundle, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = state(released.folder)
    monkeypatch.setattr(os, "replace", full)
    with says(InputError, "cannot be used"):
        publish(released, following, keys.all)
    monkeypatch.undo()
    assert state(released.folder) == before


def test_a_folder_that_is_not_there(tmp_path: Path, bundle: Bundle, keys: Keys) -> None:
    with says(InputError, "cannot be used"):
        publish(Repository(tmp_path / "nowhere"), bundle, keys.all)
    with says(InputError, "is no folder of releases"):
        publish(Repository(tmp_path), bundle, keys.all)


# --- plans ---


def test_plans_count_up(released: Repository, keys: Keys) -> None:
    assert [make_plan(released, "line3", ["b/1.0.0"], [keys.plans]).version for _ in range(3)] == [1, 2, 3]
    assert make_plan(released, "line3", [], [keys.plans], least=10).version == 10
    assert make_plan(released, "line4", ["b/1.0.0"], [keys.plans], days=7).expires == later(7)
    assert sorted(read_plans(released.folder)) == ["line3", "line4"]


@pytest.mark.parametrize("device", ["", ".", "..", "../line3", "a/b", "line3\n", ".line3", "x" * 65, "\x00"])
def test_a_device_that_would_leave_the_folder_is_refused(released: Repository, keys: Keys, device: str) -> None:
    before = state(released.folder)
    with says(InputError, "no device is called so"):
        make_plan(released, device, ["b/1.0.0"], [keys.plans])
    assert state(released.folder) == before


def test_a_plan_names_what_is_listed_once_and_is_signed_by_its_key(released: Repository, keys: Keys) -> None:
    with says(InputError, "is not released"):
        make_plan(released, "line3", ["b/2.0.0"], [keys.plans])
    with says(InputError, "twice"):
        make_plan(released, "line3", ["b/1.0.0", "b/1.0.0"], [keys.plans])
    with says(InputError, "a plan cannot be signed"):
        make_plan(released, "line3", ["b/1.0.0"], [keys.releases, keys.online])
    assert not read_plans(released.folder)


@pytest.mark.parametrize("kind", ["noise", "a stranger's", "the last version there is"])
def test_a_plan_that_one_cannot_count_on_from_is_said(released: Repository, keys: Keys, kind: str) -> None:
    version = (1 << 40) - 1 if kind.startswith("the last") else 5
    plan = Plan(device="line3", version=version, expires=later(1), releases=())
    signer = Keys().plans if kind == "a stranger's" else keys.plans
    file = released.folder / "plans" / "line3.json"
    file.parent.mkdir()
    file.write_bytes(b"noise" if kind == "noise" else sign_plan(plan, [signer]))
    with says(TrustError, "no plan to count on from"):
        make_plan(released, "line3", ["b/1.0.0"], [keys.plans])
    file.unlink()
    assert make_plan(released, "line3", ["b/1.0.0"], [keys.plans], least=6).version == 6
