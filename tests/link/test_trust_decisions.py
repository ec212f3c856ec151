"""Each decision of the workflow by itself: what is left out of it here, ``test_trust`` would not miss."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from release_keys import NOW, Keys, later, look, make_repository, path_of, put_back, refused, resigned, state, target
from tuf.api.metadata import MetaFile

from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.plan import (
    PLANS,
    Plan,
    PlannedRelease,
    Signed,
    believed_before,
    plan_digest,
    read_plan,
    sign_plan,
)
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.store import TrustStore
from edgemill_link.trust.trusted import (
    Trusted,
    check_snapshot,
    first_root,
    most_bytes,
    time_floor,
    with_snapshot,
    with_timestamp,
)
from edgemill_link.trust.trusted import next_root as following_root

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    folder = tmp_path_factory.mktemp("made") / "releases"
    make_repository(folder, keys)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "releases")


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> TrustStore:
    found = TrustStore(tmp_path / "trust")
    found.begin((folder / "metadata" / "1.root.json").read_bytes())
    return found


def signed(folder: Path, name: str) -> Any:
    return json.loads((folder / "metadata" / f"{name}.json").read_bytes())["signed"]


def listing(folder: Path, name: str, version: int) -> dict[str, Any]:
    """What a snapshot or timestamp says of ``VERSION.NAME.json`` as it lies there."""
    content = (folder / "metadata" / f"{version}.{name}.json").read_bytes()
    return MetaFile.from_data(version, content, ["sha256"]).to_dict()


def list_snapshot(folder: Path, keys: Keys, version: int = 2, **more: Any) -> None:
    meta = {"snapshot.json": listing(folder, "snapshot", version) | more}
    resigned(folder / "metadata" / "timestamp.json", [keys.online], meta=meta, version=9)


def next_root(folder: Path, keys: Keys, version: int = 2, **changed: Any) -> None:
    place = folder / "metadata"
    shutil.copy(place / f"{version - 1}.root.json", place / f"{version}.root.json")
    resigned(place / f"{version}.root.json", keys.root[:2], version=version, **changed)


# --- snapshot and roles: by digest, and by version ---


def test_another_snapshot_of_the_version_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    resigned(folder / "metadata" / "2.snapshot.json", [keys.online], expires="2026-12-01T00:00:00Z")
    with refused(Attack.MIX_AND_MATCH):
        look(folder, store)
    assert store.read("snapshot") is None


def test_other_releases_of_the_version_are_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    resigned(folder / "metadata" / "2.releases.json", [keys.releases], targets={})
    with refused(Attack.MIX_AND_MATCH):
        look(folder, store)
    assert store.read("releases") is None


def test_a_snapshot_under_the_name_of_another_version_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    shutil.copy(folder / "metadata" / "2.snapshot.json", folder / "metadata" / "3.snapshot.json")
    list_snapshot(folder, keys, 3)
    with refused(Attack.MIX_AND_MATCH):
        look(folder, store)
    assert store.read("snapshot") is None


def test_releases_under_the_name_of_another_version_are_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    shutil.copy(folder / "metadata" / "2.releases.json", folder / "metadata" / "3.releases.json")
    meta = signed(folder, "2.snapshot")["meta"] | {"releases.json": listing(folder, "releases", 3)}
    resigned(folder / "metadata" / "2.snapshot.json", [keys.online], meta=meta)
    list_snapshot(folder, keys)
    with refused(Attack.MIX_AND_MATCH):
        look(folder, store)


def test_a_stored_snapshot_is_not_gone_on_from_once_timestamp_names_another(
    folder: Path, store: TrustStore, keys: Keys
) -> None:
    look(folder, store)
    Repository(folder, NOW).sign_again(keys.all)
    behind = with_timestamp(store.load(), (folder / "metadata" / "timestamp.json").read_bytes())
    assert behind.snapshot is not None
    with refused(Attack.MIX_AND_MATCH):
        check_snapshot(behind, NOW)


def test_roles_belong_to_their_snapshot(folder: Path, store: TrustStore, keys: Keys) -> None:
    before = look(folder, store)
    Repository(folder, NOW).change_releases({}, [path_of("1.0.0")], keys.all)
    after = with_timestamp(before, (folder / "metadata" / "timestamp.json").read_bytes())
    after = with_snapshot(after, (folder / "metadata" / "3.snapshot.json").read_bytes())
    assert before.releases()
    assert after.releases() == {}


def test_releases_outside_the_paths_that_were_handed_on_are_none(folder: Path, store: TrustStore, keys: Keys) -> None:
    odd = ("manifest.json", "tiny/manifest.json", "tiny/1.0.0/x/manifest.json", "tiny/1.0.0/engine.py")
    targets = {path: target("1.0.0").to_dict() for path in (*odd, path_of("1.0.0"))}
    resigned(folder / "metadata" / "2.releases.json", [keys.releases], targets=targets)
    meta = signed(folder, "2.snapshot")["meta"] | {"releases.json": listing(folder, "releases", 2)}
    resigned(folder / "metadata" / "2.snapshot.json", [keys.online], meta=meta)
    list_snapshot(folder, keys)
    assert list(look(folder, store).releases()) == [path_of("1.0.0")]


# --- lengths ---


def test_a_listed_length_has_a_limit_of_our_own(folder: Path, store: TrustStore, keys: Keys) -> None:
    list_snapshot(folder, keys, length=1 << 40)
    with (folder / "metadata" / "2.snapshot.json").open("ab") as file:
        file.truncate(6_000_000)
    with refused(Attack.ENDLESS):
        look(folder, store)


def test_no_more_is_read_than_was_listed(folder: Path, store: TrustStore) -> None:
    trusted = look(folder, store)
    for name, version in (("snapshot", 2), ("targets", 1), ("releases", 2)):
        assert most_bytes(trusted, name, 1 << 30) == (folder / "metadata" / f"{version}.{name}.json").stat().st_size
    assert most_bytes(Trusted(trusted.root), "snapshot", 77) == 77


# --- time ---


def test_the_floor_of_time_is_what_was_signed_last_and_no_later_than_it_holds(folder: Path, keys: Keys) -> None:
    root = first_root((folder / "metadata" / "1.root.json").read_bytes())
    assert time_floor(root) == NOW
    file = folder / "metadata" / "timestamp.json"
    for said, floor in ((later(5), later(5)), (later(999), later(10)), (later(-5), NOW)):
        when = {"expires": f"{later(10):%Y-%m-%dT%H:%M:%SZ}", "x-edgemill-time": said.isoformat()}
        resigned(file, [keys.online], **when)
        assert time_floor(with_timestamp(root, file.read_bytes())) == floor
    for nonsense in ("soon", "", 7, None, "9999-12-31T23:59:59-23:59"):
        resigned(file, [keys.online], **{"x-edgemill-time": nonsense})
        assert time_floor(with_timestamp(root, file.read_bytes())) == NOW


def test_a_timestamp_expires_by_itself(folder: Path, store: TrustStore, keys: Keys) -> None:
    resigned(folder / "metadata" / "timestamp.json", [keys.online], expires="2026-11-25T11:59:59Z")
    with refused(Attack.FREEZE):
        look(folder, store)


def test_a_root_expires_by_the_time_that_was_signed_too(folder: Path, store: TrustStore, keys: Keys) -> None:
    Repository(folder, later(29)).sign_again(keys.all)
    look(folder, store, EPOCH)
    next_root(folder, keys, expires=f"{later(20):%Y-%m-%dT%H:%M:%SZ}")
    with refused(Attack.FREEZE):
        look(folder, store, EPOCH)


# --- the row of roots ---


def test_roots_are_followed_to_the_last(folder: Path, store: TrustStore, keys: Keys) -> None:
    for version in (2, 3, 4):
        next_root(folder, keys, version)
    assert look(folder, store).root.version == 4


def test_a_root_that_is_there_and_cannot_be_read_is_not_passed_over(folder: Path, store: TrustStore) -> None:
    (folder / "metadata" / "2.root.json").write_bytes(b" " * 600_000)
    with refused(Attack.ENDLESS):
        look(folder, store)


def test_a_new_root_is_no_way_back_to_an_older_timestamp(folder: Path, store: TrustStore, keys: Keys) -> None:
    before = state(folder)
    Repository(folder, NOW).sign_again(keys.all)
    look(folder, store)
    next_root(folder, keys)
    put_back(folder, before, "metadata/timestamp.json")
    with refused(Attack.ROLLBACK):
        look(folder, store)


def test_a_new_root_takes_the_old_keys_and_its_own(folder: Path, store: TrustStore, keys: Keys) -> None:
    thief = Keys()
    told = signed(folder, "1.root")
    ids = [one.public_key.keyid for one in thief.root]
    roles = told["roles"] | {"root": {"keyids": ids, "threshold": 2}}
    known = told["keys"] | {one.public_key.keyid: one.public_key.to_dict() for one in thief.root}
    next_root(folder, keys)
    file = folder / "metadata" / "2.root.json"
    resigned(file, [], roles=roles, keys=known)
    for signers in (thief.root, keys.root, [*keys.root, thief.root[0]], [keys.root[0], *thief.root]):
        resigned(file, signers)
        with refused(Attack.WRONG_KEY):
            look(folder, store)
    resigned(file, [*keys.root[1:], *thief.root[1:]])
    assert look(folder, store).root.version == 2


@pytest.mark.parametrize("version", [1, 3])
def test_roots_come_one_behind_the_other(folder: Path, store: TrustStore, keys: Keys, version: int) -> None:
    next_root(folder, keys)
    resigned(folder / "metadata" / "2.root.json", keys.root, version=version)
    with refused(Attack.ROLLBACK):
        look(folder, store)


def test_behind_a_new_root_everything_is_verified_anew(folder: Path, store: TrustStore, keys: Keys) -> None:
    before = look(folder, store)
    next_root(folder, keys)
    assert following_root(before, (folder / "metadata" / "2.root.json").read_bytes()) == Trusted(
        first_root((folder / "metadata" / "2.root.json").read_bytes()).root
    )


# --- timestamps ---


def test_an_older_timestamp_of_the_same_snapshot_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    look(folder, store)
    resigned(folder / "metadata" / "timestamp.json", [keys.online], version=1)
    with refused(Attack.ROLLBACK):
        look(folder, store)


def test_a_newer_timestamp_of_an_older_snapshot_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    old = signed(folder, "timestamp")["meta"]
    Repository(folder, NOW).sign_again([keys.online])  # of the same roles, so that nothing else is older
    trusted = look(folder, store)
    resigned(folder / "metadata" / "timestamp.json", [keys.online], version=9, meta=old)
    with refused(Attack.ROLLBACK):
        with_timestamp(trusted, (folder / "metadata" / "timestamp.json").read_bytes())


def test_another_timestamp_of_the_version_says_nothing_new(folder: Path, store: TrustStore, keys: Keys) -> None:
    trusted = look(folder, store)
    resigned(folder / "metadata" / "timestamp.json", [keys.online], expires="2030-01-01T00:00:00Z")
    assert with_timestamp(trusted, (folder / "metadata" / "timestamp.json").read_bytes()) is trusted


# --- what is kept ---


@pytest.mark.parametrize("name", ["2.root", "timestamp", "3.snapshot", "3.releases"])
def test_what_is_refused_is_not_kept(folder: Path, store: TrustStore, keys: Keys, name: str) -> None:
    look(folder, store)
    kept = state(store.folder)
    Repository(folder, NOW).change_releases({path_of("2.0.0"): target("2.0.0")}, [], keys.all)
    if name == "2.root":
        next_root(folder, keys)
    resigned(folder / "metadata" / f"{name}.json", [Keys().online], expires="2099-01-01T00:00:00Z")
    with pytest.raises(Refused):
        look(folder, store)
    role = name.rsplit(".", 1)[-1]
    assert store.read(role) == kept[f"{role}.json"]


def test_what_is_believed_is_kept_and_not_asked_for_again(folder: Path, store: TrustStore) -> None:
    look(folder, store)
    for role, file in (("timestamp", "timestamp"), ("snapshot", "2.snapshot"), ("targets", "1.targets")):
        assert store.read(role) == (folder / "metadata" / f"{file}.json").read_bytes()
    for name in ("2.snapshot", "1.targets", "2.releases"):
        (folder / "metadata" / f"{name}.json").unlink()
    assert look(folder, store).releases()


def test_a_box_that_lost_power_behind_its_timestamp_knows_its_snapshot(
    folder: Path, store: TrustStore, keys: Keys
) -> None:
    look(folder, store)
    Repository(folder, NOW).sign_again(keys.all)
    store.keep("timestamp", (folder / "metadata" / "timestamp.json").read_bytes())
    found = store.load()
    assert found.timestamp is not None
    assert found.snapshot is not None
    assert (found.timestamp.version, found.snapshot.version) == (3, 2)


def test_a_box_begins_once(folder: Path, store: TrustStore, keys: Keys, tmp_path: Path) -> None:
    next_root(folder, keys)
    look(folder, store)
    assert store.begin((folder / "metadata" / "1.root.json").read_bytes()).root.version == 2
    other = TrustStore(tmp_path / "other")
    for content, attack in ((b"{}", Attack.NOT_METADATA), (_unsigned(folder), Attack.WRONG_KEY)):
        with refused(attack):
            other.begin(content)
        assert other.read("root") is None


def _unsigned(folder: Path) -> bytes:
    told = json.loads((folder / "metadata" / "1.root.json").read_bytes())
    return json.dumps({**told, "signatures": []}).encode()


# --- plans ---


def plan(**more: Any) -> Plan:
    digest = target("1.0.0").hashes["sha256"]
    one = {"name": "tiny", "version": "1.0.0", "manifest": digest}
    return Plan.model_validate({"device": "line3", "version": 3, "expires": later(7), "releases": [one], **more})


def test_a_plan_does_not_hold_at_the_moment_of_its_expiry(folder: Path, store: TrustStore, keys: Keys) -> None:
    with refused(Attack.FREEZE):
        read_plan(look(folder, store), sign_plan(plan(expires=NOW), [keys.plans]), "line3", None, NOW)


def test_a_plan_takes_as_many_keys_as_root_says_and_each_counts_once(
    folder: Path, store: TrustStore, keys: Keys
) -> None:
    trusted, second = copy.deepcopy(look(folder, store)), Keys().plans
    root = trusted.root
    root.keys[second.public_key.keyid] = second.public_key
    root.unrecognized_fields[PLANS] = {"keyids": [keys.plans.public_key.keyid, second.public_key.keyid], "threshold": 2}
    for signers in ([keys.plans], [keys.plans, keys.plans], [keys.plans, keys.online]):
        with refused(Attack.WRONG_KEY):
            read_plan(trusted, sign_plan(plan(), signers), "line3", None, NOW)
    assert read_plan(trusted, sign_plan(plan(), [second, keys.plans]), "line3", None, NOW) == plan()


@pytest.mark.parametrize(
    "told", [None, {}, [], 7, {"keyids": [], "threshold": 0}, {"keyids": ["a", "a"], "threshold": 1}]
)
def test_a_root_that_names_nobody_for_plans_believes_none(
    folder: Path, store: TrustStore, keys: Keys, told: Any
) -> None:
    trusted = copy.deepcopy(look(folder, store))
    trusted.root.unrecognized_fields[PLANS] = told
    with refused(Attack.WRONG_KEY):
        read_plan(trusted, sign_plan(plan(), [keys.plans]), "line3", None, NOW)


@pytest.mark.parametrize("word", ["..", "../x", "a/b", "", ".x", "a\n", "x" * 65])
@pytest.mark.parametrize("field", ["name", "version"])
def test_a_plan_names_nothing_that_would_leave_a_folder(field: str, word: str) -> None:
    told = {"name": "tiny", "version": "1.0.0", "manifest": "0" * 64, field: word}
    with pytest.raises(ValidationError):
        PlannedRelease.model_validate(told)


def test_a_plan_names_one_version_of_a_bundle(folder: Path, store: TrustStore, keys: Keys) -> None:
    data = json.loads(sign_plan(plan(), [keys.plans]))
    data["signed"]["releases"] *= 2
    with refused(Attack.NOT_METADATA):
        read_plan(look(folder, store), json.dumps(data).encode(), "line3", None, NOW)


def test_versions_that_a_stolen_plan_key_counted_to_go_with_the_key(
    folder: Path, store: TrustStore, keys: Keys
) -> None:
    last = plan(version=(1 << 40) - 1, releases=[])
    trusted, data = look(folder, store), sign_plan(last, [keys.plans])
    before = believed_before(trusted, data)
    assert before == (last.version, plan_digest(last))
    with refused(Attack.ROLLBACK):
        read_plan(trusted, sign_plan(plan(), [keys.plans]), "line3", before, NOW)
    fresh = Keys().plans
    rotated = copy.deepcopy(trusted)
    rotated.root.keys[fresh.public_key.keyid] = fresh.public_key
    rotated.root.unrecognized_fields[PLANS] = {"keyids": [fresh.public_key.keyid], "threshold": 1}
    assert believed_before(rotated, data) is None
    assert read_plan(rotated, sign_plan(plan(), [fresh]), "line3", None, NOW) == plan()
    for nothing in (None, b"", b"{}", Signed(signed=last, signatures=()).as_bytes()):
        assert believed_before(trusted, nothing) is None
