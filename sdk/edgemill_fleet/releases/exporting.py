"""Releases for boxes without a network: the folder, or a part of it, copied to a stick."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile

from edgemill_core.bundle.manifest import FileEntry, parse_manifest
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import sha256_bytes, sha256_file
from edgemill_core.errors import InputError, TrustError
from edgemill_fleet.releases.copying import copy_verified
from edgemill_fleet.releases.holding import held, writing
from edgemill_fleet.releases.planning import read_plans
from edgemill_fleet.releases.publishing import listed_path, name_of
from edgemill_fleet.releases.repository import Repository
from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.plan import Plan
from edgemill_link.trust.trusted import RELEASES


@dataclass(frozen=True)
class Exported:
    """What went along.

    Attributes:
        releases: ``NAME/VERSION`` of each.
        files, bytes: that lie there now.
        copied: of them, now; others were there.
        plans: of which devices.
        lacking: devices whose plan names a release that did not go along.
    """

    releases: tuple[str, ...]
    files: int
    bytes: int
    copied: int
    plans: tuple[str, ...]
    lacking: tuple[str, ...]


def export(
    repository: Repository,
    folder: Path,
    releases: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Copy metadata, plans, and the manifests and blobs of ``releases``, or of all that are listed.

    One that was broken off goes on: what is there whole stays. Metadata comes behind it, the timestamp last, so a
    stick that is drawn too early has the state of before, or none. Plans follow it.

    Args:
        tell: hears of every file.

    Raises:
        InputError: a release is not listed, or the stick takes no more, or holds somebody else's releases.
        BundleError, TrustError: something in the folder of releases was altered.
    """
    source = repository.folder
    _check_apart(source, folder)
    with held(source, shared=True):
        standing = repository.standing()
        _check_same(source, folder)
        listed = standing.releases.targets
        chosen = [listed_path(listed, one) for one in releases] or sorted(listed)
        plans = {device: told.signed for device, told in read_plans(source).items()}
        wanted = dict(one for path in chosen for one in _files(source, listed[path]))
        last = [*_metadata(standing), *(f"plans/{device}.json" for device in plans)]
        wanted |= {name: _as_is(source / name) for name in last}
        with writing(folder):
            copied = sum(_copy(source, folder, name, entry, tell) for name, entry in wanted.items())
    went = tuple(name_of(path) for path in chosen)
    lacking = tuple(device for device, plan in plans.items() if not _complete(plan, went))
    size = sum(entry.bytes for entry in wanted.values())
    return Exported(went, len(wanted), size, copied, tuple(plans), lacking)


def _metadata(standing: Standing) -> list[str]:
    """Of the state that boxes see, the timestamp last."""
    snapshot = standing.snapshot
    names = [f"{version}.root.json" for version in range(1, standing.root.version + 1)]
    names += [f"{snapshot.meta[f'{name}.json'].version}.{name}.json" for name in ("targets", RELEASES)]
    return [f"metadata/{name}" for name in (*names, f"{snapshot.version}.snapshot.json", "timestamp.json")]


def _complete(plan: Plan, went: Collection[str]) -> bool:
    return all(f"{one.name}/{one.version}" in went for one in plan.releases)


def _as_is(file: Path) -> FileEntry:
    return FileEntry(sha256=sha256_file(file), bytes=file.stat().st_size)


def _copy(source: Path, folder: Path, name: str, entry: FileEntry, tell: Callable[[str], None]) -> bool:
    tell(name)
    return copy_verified(source / name, folder / name, entry.sha256, entry.bytes)


def _check_apart(source: Path, folder: Path) -> None:
    here, there = source.resolve(), folder.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(
            f"{folder} is not apart from {source}",
            expected="a folder elsewhere",
            got="one inside the other, or the same",
            fix="name a folder on the stick",
        )


def _check_same(source: Path, folder: Path) -> None:
    first = "metadata/1.root.json"
    if (folder / first).exists() and (folder / first).read_bytes() != (source / first).read_bytes():
        raise InputError(
            f"{folder} holds the releases of somebody else",
            expected=f"nothing, or releases that go back to {source / first}",
            got="another root",
            fix="name another folder, or empty this one",
        )


def _files(source: Path, target: TargetFile) -> list[tuple[str, FileEntry]]:
    digest = target.hashes["sha256"]
    name = f"targets/{name_of(target.path)}/{digest}.{MANIFEST}"
    content = (source / name).read_bytes() if (source / name).is_file() else b""
    if sha256_bytes(content) != digest:
        raise TrustError(
            f"{name} is not what was signed for",
            expected=f"SHA-256 {digest}",
            got="no such file" if not content else sha256_bytes(content),
            fix="publish the bundle again: that mends its files",
        )
    manifest = parse_manifest(content)
    entries = [*manifest.records.values(), *manifest.files.values()]
    blobs = [(f"blobs/{blob_path(entry.sha256)}", entry) for entry in entries]
    return [*blobs, (name, FileEntry(sha256=digest, bytes=len(content)))]
