"""What a box believes of a server that lies: one test for each attack, each with its own refusal."""

from __future__ import annotations

import http.server
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from release_keys import NOW, Keys, later, look, make_repository, path_of, put_back, refused, resigned, state, target
from static_server import answering, serving

from edgemill_core.errors import LinkError, TrustError
from edgemill_fleet.releases.repository import HOLDS, Repository
from edgemill_link.trust.client import refresh
from edgemill_link.trust.plan import Plan, PlannedRelease, plan_digest, read_plan, sign_plan
from edgemill_link.trust.refusal import Attack
from edgemill_link.trust.source import HttpSource
from edgemill_link.trust.store import TrustStore


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture
def folder(tmp_path: Path, keys: Keys) -> Path:
    make_repository(tmp_path / "releases", keys)
    return tmp_path / "releases"


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> TrustStore:
    made = TrustStore(tmp_path / "trust")
    made.begin((folder / "metadata" / "1.root.json").read_bytes())
    return made


def test_a_release_that_was_signed_for_is_believed(folder: Path, store: TrustStore) -> None:
    trusted = look(folder, store)
    assert list(trusted.releases()) == [path_of("1.0.0")]
    assert look(folder, store).releases() == trusted.releases()


def test_a_new_release_and_one_that_is_withdrawn(folder: Path, store: TrustStore, keys: Keys) -> None:
    look(folder, store)
    Repository(folder, NOW).change_releases({path_of("1.1.0"): target("1.1.0")}, [path_of("1.0.0")], keys.all)
    assert list(look(folder, store).releases()) == [path_of("1.1.0")]


# --- arbitrary software, wrong keys, thresholds ---


@pytest.mark.parametrize("role", ["timestamp", "2.snapshot", "2.releases"])
@pytest.mark.parametrize("by", ["nobody", "a stranger", "another role"])
def test_what_the_right_key_did_not_sign_is_refused(
    folder: Path, store: TrustStore, keys: Keys, role: str, by: str
) -> None:
    signers = {"nobody": [], "a stranger": [Keys().online], "another role": [keys.plans]}[by]
    file = folder / "metadata" / f"{role}.json"
    resigned(file, signers)
    if role != "timestamp":  # as a server could that has stolen the online key
        _list_again(folder, keys, role)
    with refused(Attack.WRONG_KEY):
        look(folder, store)
    assert not store.load().releases()


def _list_again(folder: Path, keys: Keys, role: str) -> None:
    """Let snapshot and timestamp list what lies there, whoever made it."""
    from tuf.api.metadata import MetaFile

    place = folder / "metadata"
    if role.endswith("releases"):
        meta = MetaFile.from_data(2, (place / f"{role}.json").read_bytes(), ["sha256"]).to_dict()
        told = json.loads((place / "2.snapshot.json").read_bytes())["signed"]["meta"]
        resigned(place / "2.snapshot.json", [keys.online], meta={**told, "releases.json": meta})
    meta = MetaFile.from_data(2, (place / "2.snapshot.json").read_bytes(), ["sha256"]).to_dict()
    resigned(place / "timestamp.json", [keys.online], meta={"snapshot.json": meta})


def test_whoever_stole_the_online_key_alone_cannot_release_anything(
    folder: Path, store: TrustStore, keys: Keys
) -> None:
    file = folder / "metadata" / "2.releases.json"
    targets = {path_of("6.6.6"): target("6.6.6").to_dict()}
    resigned(file, [keys.online], targets=targets)
    _list_again(folder, keys, "2.releases")
    with refused(Attack.WRONG_KEY):
        look(folder, store)


def test_a_new_root_needs_enough_keys_of_the_old_one(folder: Path, store: TrustStore, keys: Keys) -> None:
    first = folder / "metadata" / "1.root.json"
    for signers in ([keys.root[0]], [keys.root[0], keys.root[0]], [keys.root[0], Keys().root[0]]):
        second = folder / "metadata" / "2.root.json"
        second.write_bytes(first.read_bytes())
        resigned(second, signers, version=2)
        with refused(Attack.WRONG_KEY):
            look(folder, store)
    resigned(second, keys.root[:2], version=2)
    look(folder, store)
    assert store.load().root.version == 2


def test_a_stolen_key_that_was_replaced_signs_for_nothing_more(folder: Path, store: TrustStore, keys: Keys) -> None:
    look(folder, store)
    fresh = Keys(root=keys.root, releases=keys.releases, plans=keys.plans)
    _rotate_online(folder, keys, fresh)
    with refused(Attack.WRONG_KEY):  # the thief goes on signing
        look(folder, store)
    assert store.load().timestamp is None  # what the old key said counts no more, not even to forbid
    Repository(folder, NOW).sign_again([fresh.online])
    assert list(look(folder, store).releases()) == [path_of("1.0.0")]


def _rotate_online(folder: Path, old: Keys, new: Keys) -> None:
    place = folder / "metadata"
    told = json.loads((place / "1.root.json").read_bytes())["signed"]
    key = new.online.public_key
    roles = {**told["roles"]}
    for role in ("timestamp", "snapshot"):
        roles[role] = {"keyids": [key.keyid], "threshold": 1}
    (place / "2.root.json").write_bytes((place / "1.root.json").read_bytes())
    resigned(
        place / "2.root.json", old.root[:2], version=2, roles=roles, keys={**told["keys"], key.keyid: key.to_dict()}
    )


def test_a_stored_role_is_verified_against_the_keys_of_today(folder: Path, store: TrustStore, keys: Keys) -> None:
    """Releases lie on this box, as the snapshot lists them; but targets hand on to another key by now."""
    look(folder, store)
    place = folder / "metadata"
    stranger = Keys().releases
    told = json.loads((place / "1.targets.json").read_bytes())["signed"]["delegations"]
    key = stranger.public_key
    delegations = {
        "keys": {key.keyid: key.to_dict()},
        "roles": [{**told["roles"][0], "keyids": [key.keyid]}],
    }
    (place / "2.targets.json").write_bytes((place / "1.targets.json").read_bytes())
    resigned(place / "2.targets.json", keys.root[:2], version=2, delegations=delegations)
    repository = Repository(folder, NOW)
    standing, content = repository.standing(), (place / "2.targets.json").read_bytes()
    repository.put(repository.listed(standing, {"targets": (2, content)}, [standing.root], keys.all, HOLDS))
    with refused(Attack.WRONG_KEY):
        look(folder, store)


# --- rollback, freeze, fast-forward, mix-and-match ---


def test_an_older_timestamp_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    before = state(folder)
    Repository(folder, NOW).sign_again(keys.all)
    look(folder, store)
    put_back(folder, before, "metadata/timestamp.json")
    with refused(Attack.ROLLBACK):
        look(folder, store)


def test_a_newer_timestamp_that_names_an_older_snapshot_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    old = json.loads((folder / "metadata" / "timestamp.json").read_bytes())["signed"]["meta"]
    Repository(folder, NOW).sign_again(keys.all)
    look(folder, store)
    resigned(folder / "metadata" / "timestamp.json", [keys.online], version=9, meta=old)
    with refused(Attack.ROLLBACK):
        look(folder, store)


@pytest.mark.parametrize("how", ["older", "dropped"])
def test_a_newer_snapshot_that_turns_a_role_back_is_refused(
    folder: Path, store: TrustStore, keys: Keys, how: str
) -> None:
    look(folder, store)
    Repository(folder, NOW).sign_again(keys.all)
    file = folder / "metadata" / "3.snapshot.json"
    meta = json.loads(file.read_bytes())["signed"]["meta"]
    if how == "older":
        meta["releases.json"]["version"] = 1
    else:
        del meta["releases.json"]
    resigned(file, [keys.online], meta=meta)
    _list_newest(folder, keys, 3)
    with refused(Attack.ROLLBACK):
        look(folder, store)


def _list_newest(folder: Path, keys: Keys, version: int) -> None:
    from tuf.api.metadata import MetaFile

    content = (folder / "metadata" / f"{version}.snapshot.json").read_bytes()
    meta = MetaFile.from_data(version, content, ["sha256"]).to_dict()
    resigned(folder / "metadata" / "timestamp.json", [keys.online], meta={"snapshot.json": meta})


@pytest.mark.parametrize(("days", "holds"), [(29, True), (31, False)])
def test_what_nobody_signed_again_is_refused_when_it_expires(
    folder: Path, store: TrustStore, days: float, holds: bool
) -> None:
    if holds:
        look(folder, store, later(days))
        return
    with refused(Attack.FREEZE):
        look(folder, store, later(days))


@pytest.mark.parametrize("role", ["root", "snapshot", "targets", "releases"])
def test_each_role_expires_by_itself(folder: Path, store: TrustStore, keys: Keys, role: str) -> None:
    place, past = folder / "metadata", "2026-11-01T00:00:00Z"
    if role == "root":
        (place / "2.root.json").write_bytes((place / "1.root.json").read_bytes())
        resigned(place / "2.root.json", keys.root[:2], version=2, expires=past)
    elif role == "snapshot":
        resigned(place / "2.snapshot.json", [keys.online], expires=past)
        _list_newest(folder, keys, 2)
    else:
        version = 1 if role == "targets" else 2
        file = place / f"{version}.{role}.json"
        resigned(file, keys.all, expires=past)
        from tuf.api.metadata import MetaFile

        told = json.loads((place / "2.snapshot.json").read_bytes())["signed"]["meta"]
        listed = MetaFile.from_data(version, file.read_bytes(), ["sha256"]).to_dict()
        resigned(place / "2.snapshot.json", [keys.online], meta={**told, f"{role}.json": listed})
        _list_newest(folder, keys, 2)
    with refused(Attack.FREEZE):
        look(folder, store)


def test_a_clock_at_1970_believes_nothing_that_has_expired_since(folder: Path, store: TrustStore, keys: Keys) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    before = state(folder)
    assert look(folder, store, epoch).releases()
    Repository(folder, later(40)).sign_again(keys.all)
    look(folder, store, epoch)
    put_back(folder, before, "metadata/timestamp.json")
    fresh = TrustStore(store.folder.parent / "other")
    fresh.begin((folder / "metadata" / "1.root.json").read_bytes())
    with refused(Attack.ROLLBACK):
        look(folder, store, epoch)
    # A release that expired by what this box has seen signed, replayed under a newer timestamp:
    resigned(folder / "metadata" / "timestamp.json", [keys.online], version=9, expires="2026-12-20T00:00:00Z")
    with refused(Attack.ROLLBACK):
        look(folder, store, epoch)


def test_the_time_of_a_thief_goes_with_the_key(folder: Path, store: TrustStore, keys: Keys) -> None:
    file = folder / "metadata" / "timestamp.json"
    far = {"x-edgemill-time": "2090-01-01T00:00:00+00:00", "expires": "2090-01-02T00:00:00Z", "version": 7}
    resigned(file, [keys.online], **far)
    with refused(Attack.FREEZE):
        look(folder, store)
    fresh = Keys(root=keys.root, releases=keys.releases, plans=keys.plans)
    _rotate_online(folder, keys, fresh)
    Repository(folder, NOW).sign_again([fresh.online])
    assert look(folder, store).releases()


def test_a_version_from_which_one_cannot_count_on_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    resigned(folder / "metadata" / "timestamp.json", [keys.online], version=1 << 62)
    with refused(Attack.FAST_FORWARD):
        look(folder, store)


def test_parts_of_two_states_do_not_go_together(folder: Path, store: TrustStore, keys: Keys) -> None:
    before = state(folder)
    Repository(folder, NOW).change_releases({path_of("2.0.0"): target("2.0.0")}, [], keys.all)
    (folder / "metadata" / "3.releases.json").write_bytes(before["metadata/2.releases.json"])
    with refused(Attack.MIX_AND_MATCH):
        look(folder, store)


# --- endless, slow, no metadata ---


def test_metadata_without_an_end_is_not_read_to_the_end(folder: Path, store: TrustStore) -> None:
    for name in ("timestamp.json", "2.snapshot.json"):
        before = (folder / "metadata" / name).read_bytes()
        with (folder / "metadata" / name).open("wb") as file:
            file.truncate(1 << 40)
        with refused(Attack.ENDLESS):
            look(folder, store)
        (folder / "metadata" / name).write_bytes(before)
        store = TrustStore(store.folder.parent / name)
        store.begin((folder / "metadata" / "1.root.json").read_bytes())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"signed": {}, "signatures": []}', b"[" * 15_000, b'{"signed": 1e999}', b"\xff\xfe"],
)
def test_what_is_no_metadata_is_refused(folder: Path, store: TrustStore, content: bytes) -> None:
    (folder / "metadata" / "timestamp.json").write_bytes(content)
    with refused(Attack.NOT_METADATA):
        look(folder, store)


def test_metadata_of_another_role_is_refused(folder: Path, store: TrustStore) -> None:
    content = (folder / "metadata" / "2.snapshot.json").read_bytes()
    (folder / "metadata" / "timestamp.json").write_bytes(content)
    with refused(Attack.NOT_METADATA):
        look(folder, store)


def test_the_same_by_http(folder: Path, store: TrustStore) -> None:
    with serving(folder) as url:
        assert refresh(HttpSource(url), store, lambda: NOW).releases()


def test_a_server_that_drips_is_left(store: TrustStore) -> None:
    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b" ")
                time.sleep(0.02)
        except OSError:
            return

    with answering(drip) as url, refused(Attack.SLOW):
        refresh(HttpSource(url, grace_s=0.3), store, lambda: NOW)


def test_a_server_that_says_nothing_is_left(store: TrustStore) -> None:
    with answering(lambda _: time.sleep(1.0)) as url, pytest.raises(LinkError, match="cannot be read"):
        refresh(HttpSource(url, timeout_s=0.2), store, lambda: NOW)


def test_a_server_that_sends_on_is_cut_off(store: TrustStore) -> None:
    sent = []

    def flood(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(bytes(1 << 16))
                sent.append(1 << 16)
        except OSError:
            return

    with answering(flood) as url, refused(Attack.ENDLESS):
        refresh(HttpSource(url), store, lambda: NOW)
    assert sum(sent) < 64 << 20


@pytest.mark.parametrize("status", [302, 500, 503])
def test_another_answer_is_an_error_of_the_link(store: TrustStore, status: int) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", "file:///etc/passwd")
        request.end_headers()

    with answering(answer) as url, pytest.raises(LinkError, match=str(status)):
        refresh(HttpSource(url), store, lambda: NOW)


# --- a stick ---


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe", "folder"])
def test_a_stick_gives_files_and_nothing_else(folder: Path, store: TrustStore, tmp_path: Path, kind: str) -> None:
    file, place = folder / "metadata" / "timestamp.json", folder / "metadata"
    if kind == "link to a folder":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    else:
        file.rename(tmp_path / "secret")
        if kind == "link to a file":
            file.symlink_to(tmp_path / "secret")
        elif kind == "pipe":
            os.mkfifo(file)
        else:
            file.mkdir()
    with refused(Attack.ALTERED):
        look(folder, store)


def test_a_stick_that_is_not_there(store: TrustStore, tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="nothing at"):
        look(tmp_path / "no stick", store)


# --- plans ---


def plan(version: int = 3, device: str = "line3", release: str = "1.0.0", **more: object) -> Plan:
    digest = target(release).hashes["sha256"]
    one = PlannedRelease(name="tiny", version=release, manifest=digest)
    return Plan.model_validate({"device": device, "version": version, "expires": later(7), "releases": [one], **more})


def test_a_plan_is_believed(folder: Path, store: TrustStore, keys: Keys) -> None:
    data = sign_plan(plan(), [keys.plans])
    assert read_plan(look(folder, store), data, "line3", None, NOW) == plan()
    seen = (3, plan_digest(plan()))
    assert read_plan(look(folder, store), data, "line3", seen, NOW) == plan()


@pytest.mark.parametrize(
    ("told", "attack"),
    [
        (plan(device="line4"), Attack.ANOTHER_DEVICE),
        (plan(version=2), Attack.ROLLBACK),
        (plan(expires=later(8)), Attack.ROLLBACK),
        (plan(version=4, expires=later(-1)), Attack.FREEZE),
        (plan(version=4, release="0.9.0"), Attack.WITHDRAWN),
        (
            plan(version=4, releases=[PlannedRelease(name="tiny", version="1.0.0", manifest="0" * 64)]),
            Attack.ALTERED,
        ),
    ],
)
def test_a_plan_that_is_not_for_here_and_now_is_refused(
    folder: Path, store: TrustStore, keys: Keys, told: Plan, attack: Attack
) -> None:
    with refused(attack):
        read_plan(look(folder, store), sign_plan(told, [keys.plans]), "line3", (3, plan_digest(plan())), NOW)


def test_a_plan_that_the_key_for_plans_did_not_sign_is_refused(folder: Path, store: TrustStore, keys: Keys) -> None:
    trusted = look(folder, store)
    for signers in ([], [keys.releases], [keys.online], [Keys().plans]):
        with refused(Attack.WRONG_KEY):
            read_plan(trusted, sign_plan(plan(), signers), "line3", None, NOW)
    told = json.loads(sign_plan(plan(), [keys.plans]))
    told["signed"]["device"] = "line4"
    with refused(Attack.WRONG_KEY):
        read_plan(trusted, json.dumps(told).encode(), "line4", None, NOW)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b'{"signed": {}, "signatures": [{}]}'])
def test_what_is_no_plan_is_refused(folder: Path, store: TrustStore, content: bytes) -> None:
    with refused(Attack.NOT_METADATA):
        read_plan(look(folder, store), content, "line3", None, NOW)


def test_a_box_without_a_root_trusts_nobody(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="trusts nobody"):
        look(folder, TrustStore(tmp_path / "empty"))
