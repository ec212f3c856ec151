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
        make_folder(target.parent)
        part = self._part(digest)
        known = _known(part, length)
        self._check_room(length - known)
        try:
            _fill(part, source, digest, known, length, tell)
        except Refused as refusal:
            if not known or refusal.attack is not Attack.ALTERED:
                raise
            # Not all of it came from this source just now: a power cut may have left zeros of what came before.
            _fill(part, source, digest, 0, length, tell)
        os.replace(part, target)
        sync_folder(target.parent)
        return target

    def check_room(self, missing: Mapping[str, int]) -> None:
        """See that so many blobs, sizes by digest, have room; of those that came in part only the rest counts.

        Raises:
            LinkError: they have not.
        """
        make_folder(self.folder)
        known = (_known(self._part(digest), size) for digest, size in missing.items())
        self._check_room(sum(missing.values()) - sum(known))

    def forget(self, digests: Iterable[str]) -> None:
        """Throw away those of these blobs that are not what they are called: a disk lost bits."""
        for digest in digests:
            path = self.path(digest)
            if path.is_file() and sha256_file(path) != digest:
                path.unlink()

    def _part(self, digest: str) -> Path:
        return self.path(digest).with_name(f"{digest}.part")

    def _check_room(self, missing: int) -> None:
        free = self._free(self.folder)
        if free < missing + SPARE_BYTES:
            raise LinkError(
                f"there is no room for a release in {self.folder}",
                expected=f"{missing + SPARE_BYTES:,} bytes, {SPARE_BYTES >> 20} MiB of them left to the ledger",
                got=f"{free:,} free",
                fix="make room; what came is kept, and it goes on from there",
            )


def _known(part: Path, length: int) -> int:
    """How much of a part is here; one that is too long is of something else."""
    size = part.stat().st_size if part.is_file() else 0
    return size if size <= length else 0


def _fill(part: Path, source: Source, digest: str, known: int, length: int, tell: Callable[[int], None]) -> None:
    """Have the source say the rest behind ``known`` bytes, sync it, and see that it is what was signed for."""
    with part.open("ab") as file:
        file.truncate(known)
        if known < length:
            _append(file.fileno(), source, digest, known, length, tell)
        os.fsync(file.fileno())
    _check(part, digest, length)


def _append(file: int, source: Source, digest: str, known: int, length: int, tell: Callable[[int], None]) -> None:
    since = 0
    for piece in source.stream(f"blobs/{blob_path(digest)}", length - known, known):
        _write_all(file, piece)
        tell(len(piece))
        since += len(piece)
        if since >= _SYNC_BYTES:
            os.fsync(file)
            since = 0


def _write_all(file: int, piece: bytes) -> None:
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
