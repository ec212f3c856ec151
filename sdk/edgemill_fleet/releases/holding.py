"""One at a time in a folder of releases, and words for a disk that does not take what is written."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemill_core.durable import sync_names
from edgemill_core.errors import InputError

_LEFT_OVER = re.compile(r"\.(new|.+\.json)\.[a-z0-9_]{8}")


@contextmanager
def held(folder: Path, shared: bool = False) -> Iterator[None]:
    """Hold a folder against everybody else who publishes; gone with the process, however it ends.

    What a writer before left half written is removed.

    Args:
        shared: only against writers.

    Raises:
        InputError: somebody else holds it, or it cannot be written.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        _lock(folder, place, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        with writing(folder):
            if not shared:
                _sweep(folder)
                sync_names(folder)  # whoever was killed may have left some that are taken for safe now
            yield
    finally:
        os.close(place)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the kernel says against a write becomes our error.

    Raises:
        InputError: it said something.
    """
    try:
        yield
    except OSError as error:
        raise _unusable(folder, error) from error


def _lock(folder: Path, place: int, kind: int) -> None:
    try:
        fcntl.flock(place, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"somebody else is at work in {folder}",
            expected="one at a time",
            got="another edgemill release that has not ended",
            fix="wait for it, and do it again",
        ) from error
    except OSError as error:
        raise _unusable(folder, error) from error


def _sweep(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            if _LEFT_OVER.fullmatch(name):
                Path(root, name).unlink(missing_ok=True)


def _unusable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"{folder} cannot be used",
        expected="a folder that this user may write to, on a disk with room that knows locks",
        got=str(error),
        fix="make room, or give this user the right to write there; what boxes see is as it was before",
    )
