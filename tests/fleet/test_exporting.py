"""What goes to a stick is read back, goes on where it broke off, and is believed there as from the server."""

from __future__ import annotations

import shutil
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from cuts import killed_before
from release_keys import NOW, Keys, state
from small_bundle import make_bundle

from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import BundleError, InputError, TrustError
from edgemill_fleet.releases import copying
from edgemill_fleet.releases.exporting import export
from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.planning import make_plan
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.renewing import renew
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import BlobStore
from edgemill_link.trust.client import refresh
from edgemill_link.trust.refusal import Refused
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    place = tmp_path_factory.mktemp("made")
    repository = Repository.create(place / "releases", keys.roles, keys.all, now=NOW)
    for version in ("1.0.0", "1.1.0"):
        files = {"golden/x.npy": version.encode() * 100}
        publish(repository, make_bundle(place / version, files, version=version), keys.all)
    make_plan(repository, "line3", ["b/1.0.0"], keys.all)
    make_plan(repository, "line4", ["b/1.1.0"], keys.all)
    (repository.folder / "plans" / "notes.json").write_text("none of ours")
    return repository.folder


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Repository:
    shutil.copytree(made, tmp_path / "releases")
    return Repository(tmp_path / "releases", NOW)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "media" / "stick"


def believed(stick: Path, repository: Repository, tmp_path: Path) -> list[str]:
    """Releases that a box believes of it, whose first root it knows."""
    store = TrustStore(tmp_path / "box")
    store.begin((repository.folder / "metadata" / "1.root.json").read_bytes())
    return sorted(refresh(FolderSource(stick), store, lambda: NOW).releases())


def test_all_of_it_goes_along_and_is_what_it_was(repository: Repository, stick: Path, tmp_path: Path) -> None:
    told: list[str] = []
    made = export(repository, stick, tell=told.append)
    here, there = state(repository.folder), state(stick)
    assert there.items() <= here.items()
    left = set(here) - set(there)
    assert {name.rsplit("/", 1)[0] for name in left} == {"metadata", "plans"}
    assert all(name.startswith(("metadata/1.", "metadata/2.", "plans/notes")) for name in left), (
        "older versions, and notes"
    )
    assert made.files == made.copied == len(there) == len(told)
    assert made.bytes == sum(map(len, there.values()))
    assert (made.releases, made.plans, made.lacking) == (("b/1.0.0", "b/1.1.0"), ("line3", "line4"), ())
    assert len(believed(stick, repository, tmp_path)) == 2


def test_one_release_with_its_blobs_alone(repository: Repository, stick: Path, tmp_path: Path) -> None:
    made = export(repository, stick, ["b/1.0.0"])
    assert (made.releases, made.lacking) == (("b/1.0.0",), ("line4",))
    blobs = BlobStore(tmp_path / "home", free=lambda _: 1 << 40)
    for version, whole in (("1.0.0", True), ("1.1.0", False)):
        content = version.encode() * 100
        if whole:
            assert blobs.fetch(FolderSource(stick), sha256_bytes(content), len(content)).read_bytes() == content
        else:
            with pytest.raises(Refused, match="has no"):
                blobs.fetch(FolderSource(stick), sha256_bytes(content), len(content))
    with pytest.raises(InputError, match="is not released"):
        export(repository, stick, ["b/9.9.9"])


def test_what_is_there_whole_stays_and_what_is_not_is_copied_again(repository: Repository, stick: Path) -> None:
    first = export(repository, stick)
    assert export(repository, stick).copied == 0
    hurt, *_ = (path for path in (stick / "blobs").rglob("*/*"))
    hurt.write_bytes(bytes(hurt.stat().st_size))
    gone, *_ = (stick / "targets").rglob("*.json")
    gone.unlink()
    (stick / "metadata" / "timestamp.json").write_bytes(b"{}")
    again = export(repository, stick)
    assert (again.copied, again.files) == (3, first.files)
    assert state(stick).items() <= state(repository.folder).items()


def test_a_stick_that_is_drawn_too_early(repository: Repository, stick: Path, tmp_path: Path, keys: Keys) -> None:
    """It has nothing that is believed, or the state of before, or all of the new one; and then it goes on."""
    export(repository, stick, ["b/1.0.0"])
    before = shutil.copytree(stick, tmp_path / "before")
    publish(repository, make_bundle(tmp_path / "next", {}, version="1.2.0"), keys.all)
    seen = set()
    for number in count(step=3):
        cut = shutil.copytree(before, tmp_path / f"cut {number}")
        killed = killed_before(number, partial(export, repository, cut))
        releases = len(believed(cut, repository, tmp_path / f"of {number}"))
        if releases == 3:
            assert all(
                (cut / name).read_bytes() == content
                for name, content in state(repository.folder).items()
                if "blobs" in name
            )
        seen.add(releases)
        if not killed:
            break
        export(repository, cut)
        assert len(believed(cut, repository, tmp_path / f"again {number}")) == 3
    assert seen == {2, 3}


@pytest.mark.parametrize("where", [".", "..", "stick", "metadata"])
def test_it_is_not_copied_into_itself(repository: Repository, where: str) -> None:
    before = state(repository.folder)
    with pytest.raises(InputError, match="not apart"):
        export(repository, repository.folder / where)
    assert state(repository.folder) == before


def test_a_stick_of_somebody_else_is_left_alone(repository: Repository, stick: Path, keys: Keys) -> None:
    other = Keys()
    Repository.create(stick, other.roles, other.all, now=NOW)
    before = state(stick)
    with pytest.raises(InputError, match="somebody else"):
        export(repository, stick)
    assert state(stick) == before


@pytest.mark.parametrize("kind", ["blob", "manifest", "metadata"])
def test_what_was_altered_here_does_not_go_along(repository: Repository, stick: Path, kind: str) -> None:
    place = {"blob": "blobs", "manifest": "targets", "metadata": "metadata"}[kind]
    pattern = "timestamp.json" if kind == "metadata" else "*"
    file = next(path for path in (repository.folder / place).rglob(pattern) if path.is_file())
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises((BundleError, TrustError)):
        export(repository, stick)
    assert not (stick / "metadata" / "timestamp.json").exists()


def test_the_manifest_of_another_release_does_not_go_along(repository: Repository, stick: Path) -> None:
    one, two = sorted((repository.folder / "targets").rglob("*.json"))
    two.write_bytes(one.read_bytes())
    with pytest.raises(TrustError, match="is not what was signed for"):
        export(repository, stick)


def test_a_stick_that_loses_bits_is_found_out(
    repository: Repository, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(handle: int, *_: int) -> None:
        with open(f"/proc/self/fd/{handle}", "r+b") as file:
            file.write(b"\0")

    monkeypatch.setattr(copying.os, "posix_fadvise", losing)
    with pytest.raises(InputError, match="does not keep what is written"):
        export(repository, stick)


def test_nobody_publishes_meanwhile(repository: Repository, stick: Path, keys: Keys) -> None:
    def publishing(_: str) -> None:
        with pytest.raises(InputError, match="somebody else is at work"):
            renew(repository, keys.all)

    export(repository, stick, tell=publishing)
    with held(repository.folder), pytest.raises(InputError, match="somebody else is at work"):
        export(repository, stick)
