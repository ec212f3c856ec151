"""Keys are replaced, one role or all, with what is at hand; and boxes go on."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from release_keys import NOW, Keys, later, state
from small_bundle import make_bundle

from edgemill_core.errors import InputError
from edgemill_fleet.releases.expiry import SOON, State, roles, stopped
from edgemill_fleet.releases.planning import make_plan, unsigned_plans
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.renewing import renew
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.rotating import NewKeys, rotate
from edgemill_link.trust.client import refresh
from edgemill_link.trust.plan import Plan, believed_before, read_plan, sign_plan
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore

ONE = "b/1.0.0/manifest.json"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def fresh() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    place = tmp_path_factory.mktemp("made")
    repository = Repository.create(place / "releases", keys.roles, keys.all, now=NOW)
    publish(repository, make_bundle(place / "shelf", {}), keys.all)
    make_plan(repository, "line3", ["b/1.0.0"], keys.all)
    return place


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Repository:
    shutil.copytree(made / "releases", tmp_path / "releases")
    return Repository(tmp_path / "releases", NOW)


@pytest.fixture
def store(made: Path, tmp_path: Path) -> TrustStore:
    """Of a box that has seen what there was."""
    found = TrustStore(tmp_path / "box")
    found.begin((made / "releases" / "metadata" / "1.root.json").read_bytes())
    refresh(FolderSource(made / "releases"), found, lambda: NOW)
    return found


def goes_on(repository: Repository, store: TrustStore, now: datetime = NOW) -> bool:
    """Whether a box believes the release, and its plan."""
    trusted = refresh(FolderSource(repository.folder), store, lambda: now)
    data = (repository.folder / "plans" / "line3.json").read_bytes()
    return list(trusted.releases()) == [ONE] and bool(read_plan(trusted, data, "line3", None, now))


def stands_still() -> AbstractContextManager[Any]:
    return pytest.raises(Refused, match="not believed")


@pytest.mark.parametrize("role", ["root", "releases", "online", "plans"])
def test_one_role_gets_other_keys(
    repository: Repository, store: TrustStore, keys: Keys, fresh: Keys, role: str
) -> None:
    able = [*keys.all, *(fresh.root if role == "root" else [getattr(fresh, role)])]
    made = rotate(repository, NewKeys(**{role: getattr(fresh.roles, role)}), able)
    assert (made.standing.root.version, made.standing.outdated, made.plans_left) == (2, (), ())
    assert goes_on(repository, store)
    new = {one.keyid for one in getattr(fresh.roles, role)}
    old = {one.keyid for one in getattr(keys.roles, role)}
    root, targets = made.standing.root, made.standing.targets
    assert targets.delegations is not None
    known = {*root.keys, *targets.delegations.keys}
    assert new <= known
    assert not old & known
    with pytest.raises(InputError, match="has nothing to say here"):
        renew(repository, [keys.online, keys.root[0] if role == "root" else getattr(keys, role)])


def test_every_key_at_once_and_back(repository: Repository, store: TrustStore, keys: Keys, fresh: Keys) -> None:
    for before, after in ((keys, fresh), (fresh, keys)):
        told = after.roles
        able = [*before.all, *after.all]
        rotate(repository, NewKeys(told.root, told.releases, told.online, told.plans), able)
        assert goes_on(repository, store)
        assert goes_on(repository, _begun(repository, store)), "a box that missed it"


def _begun(repository: Repository, store: TrustStore) -> TrustStore:
    found = TrustStore(store.folder.parent / f"new {repository.standing().root.version}")
    found.begin((repository.folder / "metadata" / "1.root.json").read_bytes())
    return found


@pytest.mark.parametrize("lacking", ["old", "new"])
def test_a_root_takes_enough_of_the_old_and_of_the_new_keys(
    repository: Repository, keys: Keys, fresh: Keys, lacking: str
) -> None:
    before = state(repository.folder)
    short, whole = (keys, fresh) if lacking == "old" else (fresh, keys)
    able = [short.root[0], *whole.root, keys.online]
    with pytest.raises(InputError, match="root cannot be signed"):
        rotate(repository, NewKeys(root=fresh.roles.root), able)
    for threshold in (0, 4):
        with pytest.raises(InputError, match="threshold of root cannot be met"):
            rotate(repository, NewKeys(threshold=threshold), keys.all)
    with pytest.raises(InputError, match="has nothing to say here"):
        rotate(repository, NewKeys(), [*keys.all, fresh.online])
    assert state(repository.folder) == before


def test_a_threshold_of_its_own(repository: Repository, store: TrustStore, keys: Keys) -> None:
    made = rotate(repository, NewKeys(threshold=3), keys.all)
    assert {made.standing.root.roles[role].threshold for role in ("root", "targets")} == {3}
    assert goes_on(repository, store)
    with pytest.raises(InputError, match="root cannot be signed"):
        rotate(repository, NewKeys(), [*keys.root[:2], keys.online])


def test_without_new_keys_all_that_is_at_hand_holds_for_longer(
    repository: Repository, store: TrustStore, keys: Keys
) -> None:
    late = Repository(repository.folder, later(360))
    made = rotate(late, NewKeys(), keys.all).standing
    assert [one.expires for one in (made.root, made.targets, made.releases, made.timestamp)] == [
        later(360 + days) for days in (730, 365, 365, 30)
    ]
    renewed = renew(late, [keys.plans, keys.online])
    assert renewed.plans == ("line3",)
    assert list(refresh(FolderSource(late.folder), store, lambda: later(361)).releases()) == [ONE]


# --- keys that are elsewhere sign later ---


def test_the_online_key_is_elsewhere(repository: Repository, store: TrustStore, keys: Keys, fresh: Keys) -> None:
    """Root was signed in a room without a network, for a key that stays on the server."""
    made = rotate(repository, NewKeys(online=fresh.roles.online), keys.root)
    assert set(made.standing.outdated) == {"snapshot", "timestamp"}
    with stands_still():
        goes_on(repository, store)
    assert renew(repository, [fresh.online]).standing.outdated == ()
    assert repository.standing().targets.version == 2, "what root signed is listed now"
    assert goes_on(repository, store)


def test_root_keys_change_and_the_online_key_is_elsewhere(
    repository: Repository, store: TrustStore, keys: Keys, fresh: Keys
) -> None:
    made = rotate(repository, NewKeys(root=fresh.roles.root), [*keys.root, *fresh.root])
    assert set(made.standing.outdated) == {"snapshot", "timestamp"}
    publish(repository, make_bundle(store.folder.parent / "next", {}, version="1.1.0"), [keys.releases, keys.online])
    assert repository.standing().outdated == ()
    assert len(refresh(FolderSource(repository.folder), store, lambda: NOW).releases()) == 2


def test_the_new_release_key_is_elsewhere(repository: Repository, store: TrustStore, keys: Keys, fresh: Keys) -> None:
    made = rotate(repository, NewKeys(releases=fresh.roles.releases), [*keys.root, keys.online])
    assert made.standing.outdated == ("releases",)
    with stands_still():
        goes_on(repository, store)
    assert renew(repository, [keys.online]).standing.outdated == ("releases",)
    assert renew(repository, [keys.online, fresh.releases]).standing.outdated == ()
    assert goes_on(repository, store)


def test_the_new_plan_key_is_elsewhere(repository: Repository, store: TrustStore, keys: Keys, fresh: Keys) -> None:
    made = rotate(repository, NewKeys(plans=fresh.roles.plans), [*keys.root, keys.online])
    assert (made.plans, made.plans_left) == ((), ("line3",))
    with stands_still():
        goes_on(repository, store)
    assert renew(repository, [keys.online, fresh.plans]).plans == ("line3",)
    assert goes_on(repository, store)
    assert make_plan(repository, "line3", ["b/1.0.0"], [fresh.plans]).version == 2


def test_a_plan_signed_by_both_is_believed_on_both_sides_of_the_rotation(
    repository: Repository, store: TrustStore, keys: Keys, fresh: Keys
) -> None:
    before = refresh(FolderSource(repository.folder), store, lambda: NOW)
    old = (repository.folder / "plans" / "line3.json").read_bytes()
    seen = believed_before(before, old)
    rotate(repository, NewKeys(plans=fresh.roles.plans), [*keys.all, fresh.plans])
    data = (repository.folder / "plans" / "line3.json").read_bytes()
    after = refresh(FolderSource(repository.folder), store, lambda: NOW)
    for trusted in (before, after):
        assert read_plan(trusted, data, "line3", seen, NOW).version == 1
    with pytest.raises(Refused) as caught:
        read_plan(after, old, "line3", seen, NOW)
    assert caught.value.attack is Attack.WRONG_KEY
    assert unsigned_plans(repository.folder, after.root) == ()


def test_a_plan_that_a_stranger_put_there_is_not_signed_again(
    repository: Repository, store: TrustStore, keys: Keys, fresh: Keys
) -> None:
    file = repository.folder / "plans" / "line4.json"
    file.write_bytes(sign_plan(Plan(device="line4", version=9, expires=later(9), releases=()), [Keys().plans]))
    before = file.read_bytes()
    assert renew(repository, [keys.online, keys.plans]).plans == ("line3",)
    made = rotate(repository, NewKeys(plans=fresh.roles.plans), [*keys.all, fresh.plans])
    assert (made.plans, made.plans_left) == (("line3",), ("line4",))
    assert file.read_bytes() == before


# --- what expires ---


def test_roles_say_what_they_need(repository: Repository, keys: Keys, fresh: Keys) -> None:
    def told(days: float) -> dict[str, State]:
        return {one.name: one.state for one in roles(repository.standing(), later(days))}

    assert set(told(0).values()) == set(told(30 - SOON.days - 0.001).values()) == {State.GOOD}
    assert {name for name, state in told(30 - SOON.days).items() if state is State.SOON} == {"snapshot", "timestamp"}
    assert {name for name, state in told(30).items() if state is State.EXPIRED} == {"snapshot", "timestamp"}
    assert [one.name for one in stopped(roles(repository.standing(), later(365)))] == [
        "targets",
        "releases",
        "snapshot",
        "timestamp",
    ]
    assert stopped(roles(repository.standing(), later(29))) == []
    rotate(repository, NewKeys(online=fresh.roles.online), keys.root)
    assert told(0)["timestamp"] is State.UNSIGNED
    assert {one.name for one in stopped(roles(repository.standing(), NOW))} == {"snapshot", "timestamp"}


def test_a_root_of_a_machine_without_a_clock(repository: Repository, keys: Keys) -> None:
    """In a room without a network the battery is empty: a root of 1970 would have expired when boxes see it."""
    before = state(repository.folder)
    with pytest.raises(InputError, match="clock"):
        rotate(Repository(repository.folder, datetime(1970, 1, 1, tzinfo=timezone.utc)), NewKeys(), keys.all)
    assert state(repository.folder) == before


def test_a_folder_goes_back_to_any_of_its_roots(repository: Repository, keys: Keys, fresh: Keys) -> None:
    pinned = [repository.root_bytes()]
    rotate(repository, NewKeys(root=fresh.roles.root), [*keys.all, *fresh.root])
    pinned.append(repository.root_bytes())
    for version, root in enumerate(pinned, 1):
        found = Repository(repository.folder, NOW, root).standing().roots
        assert [one.version for one in found] == [1, 2][version - 1 :]
