"""Files by their SHA-256, brought home however often the line breaks: what came is kept, only the rest asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edgemill_core.durable import make_folder, sha256_file, sync_folder
from edgemill_core.errors import LinkError
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import PIECE, Source

_SYNC_BYTES = 8 << 20
"""So much may have to be fetched again after a power cut."""
SPARE_BYTES = 64 << 20
"""Of the disk, always left to the ledger."""


def blob_path(digest: str) -> str:
    """Where a blob lies, in a folder of releases and on a box."""
    return f"{digest[:2]}/{digest}"


class BlobStore:
    """A folder of verified blobs. One that is there under its name is whole: it was verified and synced before.

    Args:
        folder: made if it is not there.
        free: bytes that are free on its disk.
    """

    def __init__(self, folder: Path, free: Callable[[Path], int] = lambda place: shutil.disk_usage(place).free) -> None:
        self.folder = folder
        self._free = free

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self.folder / blob_path(digest)

    def has(self, digest: str, length: int) -> bool:
        """Whether it is here, whole."""
        path = self.path(digest)
        return path.is_file() and path.stat().st_size == length

    def fetch(self, source: Source, digest: str, length: int, tell: Callable[[int], None] = lambda _: None) -> Path:
        """Bring a blob here; goes on where an earlier attempt broke off.

        Args:
            source: whom it is asked for; need not be trusted.
            digest: SHA-256 in hex.
            length: in bytes; no more is read.
            tell: hears of every piece, in bytes.

        Raises:
            Refused: other bytes came; they are thrown away.
            LinkError: the line broke, or there is no room; what came is kept.
        """
        target = self.path(digest)
        if self.has(digest, length):
            return target
        part, path = self.part(digest), f"blobs/{blob_path(digest)}"
        known = known_of(part, length)
        self._check_room(length - known)
        bring(source, path, part, length, tell)
        try:
            return self.keep(part, digest, length)
        except Refused as refusal:
            if not known or refusal.attack is not Attack.ALTERED:
                raise
        # Not all of it came from this source just now: a power cut may have left zeros of what came before.
        bring(source, path, part, length, tell)
        return self.keep(part, digest, length)

    def keep(self, made: Path, digest: str, length: int) -> Path:
        """Let a file beside its place be the blob from now on, if it is whole.

        Raises:
            Refused: it is not; it is thrown away.
            LinkError: it is shorter.
        """
        _check(made, digest, length)
        target = self.path(digest)
        os.replace(made, target)
        sync_folder(target.parent)
        return target

    def has_room(self, missing: int) -> bool:
        """Whether so many bytes more leave enough to the ledger."""
        return self.short_of(missing) <= 0

    def short_of(self, missing: int) -> int:
        """Bytes to free before so many more leave enough to the ledger; 0 or less if there is room."""
        make_folder(self.folder)
        return missing + SPARE_BYTES - self._free(self.folder)

    def missing_bytes(self, blobs: Mapping[str, int]) -> int:
        """What is yet to come of these blobs, sizes by digest."""
        left = {digest: size for digest, size in blobs.items() if not self.has(digest, size)}
        return sum(size - known_of(self.part(digest), size) for digest, size in left.items())

    def check_room(self, missing: Mapping[str, int]) -> None:
        """See that so many blobs, sizes by digest, have room; of those that came in part only the rest counts.

        Raises:
            LinkError: they have not.
        """
        make_folder(self.folder)
        known = (known_of(self.part(digest), size) for digest, size in missing.items())
        self._check_room(sum(missing.values()) - sum(known))

    def forget(self, digests: Iterable[str]) -> None:
        """Throw away those of these blobs that are not what they are called: a disk lost bits."""
        for digest in digests:
            path = self.path(digest)
            if path.is_file() and sha256_file(path) != digest:
                path.unlink()

    def part(self, digest: str) -> Path:
        """Where what came of a blob lies until it is whole."""
        return self.path(digest).with_name(f"{digest}.part")

    def _check_room(self, missing: int) -> None:
        if not self.has_room(missing):
            raise LinkError(
                f"there is no room for a release in {self.folder}",
                expected=f"{missing + SPARE_BYTES:,} bytes, {SPARE_BYTES >> 20} MiB of them left to the ledger",
                got=f"{self._free(self.folder):,} free",
                fix="make room; what came is kept, and it goes on from there",
            )


def known_of(part: Path, length: int) -> int:
    """How much of a part is here; one that is too long is of something else."""
    size = part.stat().st_size if part.is_file() else 0
    return size if size <= length else 0


def bring(source: Source, path: str, part: Path, length: int, tell: Callable[[int], None]) -> None:
    """Append to ``part`` what it lacks of a file of this length, and sync it; less may come.

    Raises:
        Refused: more would come, or too slowly.
        LinkError: the line broke; what came is kept.
    """
    make_folder(part.parent)
    known = known_of(part, length)
    with part.open("ab") as file:
        file.truncate(known)
        if known < length:
            _append(file.fileno(), source.stream(path, length - known, known), tell)
        os.fsync(file.fileno())


def _append(file: int, pieces: Iterable[bytes], tell: Callable[[int], None]) -> None:
    since = 0
    for piece in pieces:
        write_all(file, piece)
        tell(len(piece))
        since += len(piece)
        if since >= _SYNC_BYTES:
            os.fsync(file)
            since = 0


def write_all(file: int, piece: bytes) -> None:
    """Write all of it, however little the kernel takes at a time."""
    view = memoryview(piece)
    while view:
        view = view[os.write(file, view) :]


def _check(part: Path, digest: str, length: int) -> None:
    found, size = hashlib.sha256(), 0
    with part.open("rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
            size += len(piece)
    if size < length:
        raise LinkError(
            f"blob {digest[:12]} broke off",
            expected=f"{length:,} bytes",
            got=f"{size:,}",
            fix="ask again; what came is kept, and it goes on from there",
        )
    if found.hexdigest() != digest:
        part.unlink()
        raise Refused(
            Attack.ALTERED,
            f"blob {digest[:12]} is not what was signed for",
            expected=f"SHA-256 {digest}",
            got=found.hexdigest(),
            fix="do not use this server; what runs here goes on",
        )
