"""Whoever publishes may be killed at any moment: boxes see the state before or after, and it can be done again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from cuts import calls_of, killed_before
from release_keys import NOW, Keys, state
from small_bundle import make_bundle

from edgemill_core.bundle import Bundle
from edgemill_fleet.releases.planning import make_plan
from edgemill_fleet.releases.publishing import publish, withdraw
from edgemill_fleet.releases.renewing import renew
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.rotating import NewKeys, rotate
from edgemill_link.trust.client import refresh
from edgemill_link.trust.plan import read_plan
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource
from edgemill_link.trust.store import TrustStore

ONE, TWO = "b/1.0.0/manifest.json", "b/1.1.0/manifest.json"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("second"), {"golden/x.npy": b"x" * 70}, version="1.1.0")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    """With one release, and a plan for it."""
    folder = tmp_path_factory.mktemp("start") / "releases"
    repository = Repository.create(folder, keys.roles, keys.all, now=NOW)
    publish(repository, make_bundle(folder.parent / "first", {}), keys.all)
    make_plan(repository, "line3", ["b/1.0.0"], keys.all)
    return folder


class _Box:
    """A box that looked when nothing had been done yet, and one that looks for the first time."""

    def __init__(self, start: Path, place: Path) -> None:
        self._start, self._place = start, place
        self._numbers = count()
        self.knowing = TrustStore(place / "knowing")
        self.knowing.begin((start / "metadata" / "1.root.json").read_bytes())
        refresh(FolderSource(start), self.knowing, lambda: NOW)

    def sees(self, folder: Path, now: datetime = NOW) -> tuple[str, ...]:
        """The releases; both must see the same."""
        number = next(self._numbers)
        shutil.copytree(self.knowing.folder, self._place / f"knowing {number}")
        fresh = TrustStore(self._place / f"fresh {number}")
        fresh.begin((self._start / "metadata" / "1.root.json").read_bytes())
        knowing = TrustStore(self._place / f"knowing {number}")
        seen, trusted = (refresh(FolderSource(folder), store, lambda: now) for store in (knowing, fresh))
        assert seen.releases() == trusted.releases()
        if ONE in trusted.releases():
            data = FolderSource(folder).read("plans/line3.json", 100_000)
            assert read_plan(trusted, data, "line3", None, now)
        return tuple(trusted.releases())


@pytest.fixture
def box(start: Path, tmp_path: Path) -> _Box:
    return _Box(start, tmp_path / "boxes")


def cut_everywhere(
    start: Path, tmp_path: Path, work: Callable[[Path], object], after: Callable[[Path], object]
) -> tuple[int, int]:
    """Number of calls, and how many different folders they left of which ``after`` said so."""
    left: dict[tuple[object, ...], bool] = {}
    for number in count():
        folder = tmp_path / f"cut {number}"
        shutil.copytree(start, folder)
        killed = killed_before(number, partial(work, folder))
        mark = tuple(sorted((_plain(name), content) for name, content in state(folder).items()))
        if mark not in left:
            left[mark] = bool(after(folder))
        if not killed:
            return number, sum(left.values())
    raise AssertionError


def _plain(name: str) -> str:
    """Of a file that was being written, without what chance added to it."""
    return re.sub(r"(/\..*)\.\w{8}$", r"\1", name)


def test_publishing(start: Path, tmp_path: Path, keys: Keys, second: Bundle, box: _Box) -> None:
    def see(folder: Path) -> bool:
        seen = box.sees(folder)
        assert seen in ((ONE,), (ONE, TWO))
        assert publish(Repository(folder, NOW), second, keys.all).new is (seen == (ONE,))
        assert box.sees(folder) == (ONE, TWO)
        assert not list(folder.rglob(".*")), "what was left is swept up"
        return len(seen) == 2

    calls, changed = cut_everywhere(start, tmp_path, lambda one: publish(Repository(one, NOW), second, keys.all), see)
    assert calls > 25
    assert changed == 1


def test_withdrawing(start: Path, tmp_path: Path, keys: Keys, second: Bundle, box: _Box) -> None:
    def see(folder: Path) -> bool:
        seen = box.sees(folder)
        assert seen in ((ONE,), ())
        publish(Repository(folder, NOW), second, keys.all)
        assert box.sees(folder) == (*seen, TWO), "nothing that was cut off comes with the next one"
        return seen == ()

    calls, changed = cut_everywhere(
        start, tmp_path, lambda one: withdraw(Repository(one, NOW), "b/1.0.0", keys.all), see
    )
    assert calls > 10
    assert changed == 1


def test_rotating_with_the_old_and_the_new_keys(
    start: Path, tmp_path: Path, keys: Keys, second: Bundle, box: _Box
) -> None:
    fresh = Keys()
    new = NewKeys(**{role: getattr(fresh.roles, role) for role in ("root", "releases", "online", "plans")})

    def see(folder: Path) -> bool:
        assert box.sees(folder) == (ONE,)
        done = (folder / "metadata" / "2.root.json").exists()
        if not done:
            able = [*keys.all, *fresh.all]
            if Repository(folder, NOW).standing().targets.version != 1:
                able.remove(keys.releases)  # had its successor before the cut
            rotate(Repository(folder, NOW), new, able)
        assert Repository(folder, NOW).standing().outdated == ()
        publish(Repository(folder, NOW), second, [fresh.releases, fresh.online])
        assert box.sees(folder) == (ONE, TWO)
        return done

    calls, changed = cut_everywhere(
        start, tmp_path, lambda one: rotate(Repository(one, NOW), new, [*keys.all, *fresh.all]), see
    )
    assert calls > 25
    assert changed == 1


def test_rotating_without_the_old_online_key(start: Path, tmp_path: Path, keys: Keys, box: _Box) -> None:
    """It was stolen, and is destroyed: boxes may stand still between two moves, and never believe the thief again."""
    online = Keys().online
    able = [*keys.root, keys.releases, keys.plans, online]

    def see(folder: Path) -> bool:
        stood = Repository(folder, NOW).standing().outdated != ()
        if stood:
            with pytest.raises(Refused) as caught:
                box.sees(folder)
            assert caught.value.attack is Attack.WRONG_KEY
        else:
            assert box.sees(folder) == (ONE,)
        if (folder / "metadata" / "2.root.json").exists():
            renew(Repository(folder, NOW), [online])
        else:
            rotate(Repository(folder, NOW), NewKeys(online=[online.public_key]), able)
        assert Repository(folder, NOW).standing().outdated == ()
        assert Repository(folder, NOW).standing().pending is None
        assert box.sees(folder) == (ONE,)
        return stood

    calls, stood = cut_everywhere(
        start, tmp_path, lambda one: rotate(Repository(one, NOW), NewKeys(online=[online.public_key]), able), see
    )
    assert calls > 20
    assert 1 <= stood <= 3


def test_making_the_folder(tmp_path: Path, keys: Keys) -> None:
    for number in count():
        folder = tmp_path / f"cut {number}"
        folder.mkdir()
        killed = killed_before(number, partial(Repository.create, folder, keys.roles, keys.all, now=NOW))
        if not (folder / "metadata").exists():
            Repository.create(folder, keys.roles, keys.all, now=NOW)
        assert Repository(folder, NOW).releases() == {}
        if not killed:
            break
    assert number > 20


def test_each_move_is_durable_before_the_next(start: Path, tmp_path: Path, keys: Keys, second: Bundle) -> None:
    """What is moved was synced, and so is the folder that it was moved to, and every folder that was made."""
    folder = tmp_path / "releases"
    shutil.copytree(start, folder)
    synced: set[str] = set()
    owed: set[str] = set()
    moves = 0
    for name, path, to in calls_of(lambda: publish(Repository(folder, NOW), second, keys.all)):
        if name == "fsync":
            synced.add(path)
            owed.discard(path)
        elif name == "mkdir":
            owed.add(os.path.dirname(path))
        elif name == "replace":
            assert path in synced, f"{to} is moved before its bytes are on the disk"
            assert not owed, f"{to} is moved before the names in {owed} are on the disk"
            owed.add(os.path.dirname(to))
            moves += 1
    assert not owed
    assert moves == 5  # a blob, the manifest, releases, snapshot, timestamp
