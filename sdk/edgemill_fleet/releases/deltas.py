"""Deltas from the blobs of earlier releases to those of a new one: made where it is published, used where it helps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.bundle import Manifest
from edgemill_core.bundle.manifest import FileEntry, parse_manifest
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import canonical_json, make_folder, sha256_bytes, sync_folder, write_bytes
from edgemill_core.errors import BundleError
from edgemill_fleet.releases.repository import WITHDRAWN
from edgemill_fleet.releases.standing import Standing
from edgemill_link.trust.blobs import blob_path
from edgemill_link.trust.delta import blob_from, delta_of
from edgemill_link.trust.delta_index import LEAST_BLOB, MOST_DELTAS, DeltaIndex, delta_path, index_path, parse_index
from edgemill_link.trust.refusal import Refused

EARLIER = 3
"""Releases before the new one whose boxes are thought of."""
_PIECE = 1 << 16


@dataclass(frozen=True)
class Pair:
    """A blob, and one that it may follow from: the same file of an earlier release.

    Attributes:
        name: of the file in the bundle.
    """

    name: str
    new: FileEntry
    old: FileEntry


def pairs(new: Manifest, earlier: Sequence[Manifest]) -> list[Pair]:
    """What to make deltas of: each file that changed and is not small, against the file of that name before it."""
    found = {}
    for before in earlier:
        for name, entry in new.files.items():
            old = before.files.get(name)
            if old is not None and old.sha256 != entry.sha256 and entry.bytes >= LEAST_BLOB:
                found[entry.sha256, old.sha256] = Pair(name, entry, old)
    return list(found.values())


def earlier_releases(folder: Path, standing: Standing, name: str, version: str) -> list[Manifest]:
    """The newest few other releases of this name; withdrawn ones too, for boxes that run one wait for its successor."""
    gone: Mapping[str, str] = standing.releases.unrecognized_fields.get(WITHDRAWN, {})
    listed = {path: str(one.hashes["sha256"]) for path, one in standing.releases.targets.items()}
    found = []
    for path, digest in {**gone, **listed}.items():
        its_name, its_version, _ = path.split("/")
        file = folder / "targets" / its_name / its_version / f"{digest}.{MANIFEST}"
        if (its_name, its_version) == (name, version) or its_name != name or not file.is_file():
            continue
        content = file.read_bytes()
        with suppress(BundleError):
            if sha256_bytes(content) == digest:
                found.append((_number(its_version), parse_manifest(content)))
    return [manifest for _, manifest in sorted(found, key=lambda one: one[0], reverse=True)[:EARLIER]]


def make_deltas(
    folder: Path, new: Manifest, earlier: Sequence[Manifest], tell: Callable[[str], None] = lambda _: None
) -> int:
    """Write deltas that save at least half, and list each once it is on the disk; gives how many this release has.

    Those that are listed already are not made again. Each is tried before it is listed.

    Args:
        folder: of the releases; blobs of ``new`` and of those before are in it.
        tell: hears of each.
    """
    count = 0
    for pair in pairs(new, earlier):
        base = folder / "blobs" / blob_path(pair.old.sha256)
        if not base.is_file() or base.stat().st_size != pair.old.bytes:
            continue
        index = _read_index(folder, pair.new.sha256)
        if not _there(folder, pair, index):
            tell(f"delta of {pair.name}")
            size = _make(folder, pair, base)
            if size is None:
                continue
            before = index.deltas if len(index.deltas) < MOST_DELTAS else {}  # a blob that comes again and again
            index = DeltaIndex(deltas={**before, pair.old.sha256: size})
            write_bytes(folder / index_path(pair.new.sha256), canonical_json(index.model_dump()))
        count += 1
    return count


def _number(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in version.split("."))


def _there(folder: Path, pair: Pair, index: DeltaIndex) -> bool:
    file, size = folder / delta_path(pair.new.sha256, pair.old.sha256), index.deltas.get(pair.old.sha256)
    return size is not None and file.is_file() and file.stat().st_size == size


def _read_index(folder: Path, digest: str) -> DeltaIndex:
    try:
        return parse_index((folder / index_path(digest)).read_bytes())
    except (FileNotFoundError, Refused):  # one that was damaged is made anew
        return DeltaIndex()


def _make(folder: Path, pair: Pair, base: Path) -> int | None:
    """Its size; ``None`` where it would not save half, or does not lead to the blob."""
    new, target = folder / "blobs" / blob_path(pair.new.sha256), folder / delta_path(pair.new.sha256, pair.old.sha256)
    make_folder(target.parent)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new.", delete=False) as out:
        try:
            for piece in delta_of(new, base):
                out.write(piece)
                if 2 * out.tell() > pair.new.bytes:
                    break
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
            if 2 * size <= pair.new.bytes and _leads_to(Path(out.name), base, new):
                os.chmod(out.name, 0o644)
                os.replace(out.name, target)
                sync_folder(target.parent)
                return size
        finally:
            Path(out.name).unlink(missing_ok=True)
    return None


def _leads_to(delta: Path, base: Path, new: Path) -> bool:
    with delta.open("rb") as file, new.open("rb") as wanted:
        pieces = iter(lambda: file.read(_PIECE), b"")
        try:
            return all(wanted.read(len(piece)) == piece for piece in blob_from(pieces, base, new.stat().st_size))
        except Refused:
            return False
