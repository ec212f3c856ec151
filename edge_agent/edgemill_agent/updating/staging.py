"""From blobs to a bundle in its place: laid out aside, verified, and moved there in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edgemill_agent.updating.slots import Installed, bundle_folder
from edgemill_core.bundle import Bundle, Manifest, open_bundle
from edgemill_core.bundle.manifest import parse_manifest
from edgemill_core.bundle.requirements import check_agent
from edgemill_core.bundle.store import MANIFEST, SEAL, this_edgemill
from edgemill_core.durable import make_folder, sha256_bytes, sync_folder, sync_tree
from edgemill_core.errors import BundleError
from edgemill_link.trust.blobs import BlobStore
from edgemill_link.trust.by_delta import ByDelta
from edgemill_link.trust.plan import PlannedRelease
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import Source

MOST_MANIFEST = 16 << 20


def fetch_manifest(source: Source, release: PlannedRelease, listed: TargetFile) -> bytes:
    """The manifest of a release, as it was signed for.

    Raises:
        Refused: other bytes.
        LinkError: it cannot be read.
    """
    path = f"targets/{release.name}/{release.version}/{release.manifest}.{MANIFEST}"
    content = source.read(path, min(listed.length, MOST_MANIFEST))
    try:
        listed.verify_length_and_hashes(content)
    except LengthOrHashMismatchError as error:
        raise Refused(
            Attack.ALTERED,
            f"the manifest of {release.name} {release.version} is not what was signed for",
            expected=f"SHA-256 {release.manifest}",
            got=str(error),
            fix="do not use this server; what runs here goes on",
        ) from error
    return content


def understood(content: bytes, release: PlannedRelease) -> Manifest:
    """The manifest, if this agent can use what it tells of.

    Raises:
        BundleError: of another name or version than it was released under, or for a newer agent.
    """
    manifest = parse_manifest(content)
    if (manifest.name, manifest.version) != (release.name, release.version):
        raise BundleError(
            "a manifest was released under another name",
            expected=f"{release.name} {release.version}",
            got=f"{manifest.name} {manifest.version}",
            fix="release it again",
        )
    check_agent(manifest.min_agent, this_edgemill())
    return manifest


def files_of(manifest: Manifest) -> dict[str, int]:
    """Sizes of a bundle's files in bytes, by their SHA-256."""
    return {entry.sha256: entry.bytes for entry in {**manifest.records, **manifest.files}.values()}


def fetch_blobs(
    source: Source, blobs: BlobStore, manifest: Manifest, deltas: ByDelta, tell: Callable[[int], None]
) -> None:
    """Every file of the bundle, by deltas where they are shorter.

    Raises:
        Refused, LinkError: see ``BlobStore.fetch``.
    """
    entries = files_of(manifest)
    blobs.check_room({digest: size for digest, size in entries.items() if not blobs.has(digest, size)})
    for digest, size in entries.items():
        if not deltas.fetch(digest, size, tell):
            blobs.fetch(source, digest, size, tell)


def stage(state: Path, blobs: BlobStore, content: bytes, manifest: Manifest, installed: Installed) -> Bundle:
    """Lay the bundle out beside its place, verify it, and move it there; what lies there already is verified.

    Raises:
        BundleError: a blob is damaged or gone; it is thrown away, and fetched again the next time.
    """
    target = bundle_folder(state, installed)
    if target.is_dir():
        try:
            return open_bundle(target)
        except BundleError:
            shutil.rmtree(target)
    make_folder(target.parent)
    for left in target.parent.glob(".new.*"):  # of an update that was cut
        shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new."))
    try:
        (place / MANIFEST).write_bytes(content)
        (place / SEAL).write_text(f"{sha256_bytes(content)}\n")
        try:
            _link_blobs(blobs, manifest, place)
            open_bundle(place)
        except BundleError:
            blobs.forget(entry.sha256 for entry in {**manifest.records, **manifest.files}.values())
            raise
        sync_tree(place)
        os.replace(place, target)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sync_folder(target.parent)
    return open_bundle(target)


def _link_blobs(blobs: BlobStore, manifest: Manifest, place: Path) -> None:
    for name, entry in {**manifest.records, **manifest.files}.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blobs.path(entry.sha256), file)
        except FileNotFoundError as error:
            raise BundleError(
                f"{name} is gone from this box",
                expected=str(blobs.path(entry.sha256)),
                got="no such file",
                fix="update once more: what is gone is fetched again",
            ) from error
