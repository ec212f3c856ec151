"""Folders for what is not finished: gone at the end, and swept by the next build if this one is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BESIDE_BUNDLES = ".edgemill-build."
"""Prefix in folders that are not ours alone."""
_MARK = ".edgemill-scratch"


@contextmanager
def scratch_in(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder ``<parent>/<prefix>…``; earlier ones of that prefix whose makers are gone are removed.

    A mark inside says that it is one of these, whatever else is named like them. Its maker holds a lock on it (flock(2)
    on the folder itself), which goes with the process, however it ends.
    """
    with _locked(parent):
        _sweep(parent, prefix)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        (folder / _MARK).touch()
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in [mark.parent for mark in parent.glob(f"{prefix}*/{_MARK}")]:
        with suppress(OSError):  # gone meanwhile, or in use: then its maker sees to it
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(held)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _MARK:  # that last, so that whoever is killed here leaves no folder that nobody sweeps
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
