"""What keeps a cache from being written, in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgemill_core.errors import CacheError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LEAST_FREE = 4 << 20


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say plainly what keeps the cache from being written.

    Raises:
        CacheError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> CacheError:
    """The error for ``error``, met while writing below ``folder``."""
    if error.errno in FULL or is_full(folder):
        return CacheError(
            f"the disk is full, so the build's cache cannot be written: {folder}",
            expected="room for the graphs, the prepared pictures and the outputs",
            got=str(error),
            fix="make room and run again: what is done already is kept; or name another folder with --cache",
        )
    return CacheError(
        f"the build's cache cannot be written: {folder}",
        expected="a folder that may be written",
        got=str(error),
        fix="name another folder with --cache",
    )


def is_full(folder: Path) -> bool:
    """Whether next to nothing can be written below ``folder``."""
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize < _LEAST_FREE
    return False
