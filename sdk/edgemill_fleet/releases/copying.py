"""Copy a file to where boxes will fetch it, and see with the disk's own eyes that it came there whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from edgemill_core.durable import make_folder, sha256_file, sync_folder
from edgemill_core.errors import BundleError, InputError

_PIECE = 1 << 20


def copy_verified(source: Path, target: Path, digest: str, length: int) -> bool:
    """Copy ``source``, unless ``target`` is there and whole already; gives whether it had to be.

    What was written is read again from the disk, not from memory: a stick that loses bits is found out here.

    Args:
        digest: SHA-256 that it must have.
        length: in bytes.

    Raises:
        BundleError: the source has another digest.
        InputError: the disk did not keep what was written.
        OSError: it cannot be written.
    """
    if _whole(target, digest, length):
        return False
    make_folder(target.parent)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new.", delete=False) as out:
        try:
            with source.open("rb") as file:
                while piece := file.read(_PIECE):
                    out.write(piece)
            out.flush()
            os.fsync(out.fileno())
            os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            _check(source, Path(out.name), digest)
            with suppress(PermissionError):  # sticks know no such rights
                os.chmod(out.name, 0o644)
            os.replace(out.name, target)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise
    sync_folder(target.parent)
    return True


def _whole(file: Path, digest: str, length: int) -> bool:
    plain = file.is_file() and not file.is_symlink()
    return plain and file.stat().st_size == length and sha256_file(file) == digest


def _check(source: Path, copy: Path, digest: str) -> None:
    got = sha256_file(copy)
    if got == digest:
        return
    if (found := sha256_file(source)) != digest:
        raise BundleError(
            f"{source} was altered",
            expected=f"SHA-256 {digest}",
            got=found,
            fix="build the bundle again, or publish it again from a copy that is whole",
        )
    raise InputError(
        f"{copy.parent} does not keep what is written to it",
        expected=f"SHA-256 {digest}, as it was read from {source}",
        got=got,
        fix="take another stick or disk",
    )
