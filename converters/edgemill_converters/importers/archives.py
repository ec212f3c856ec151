"""Look at an archive before anything unpacks it: whole, and no larger inside than such files are."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgemill_core.errors import ModelError

_RATIO, _SPARE = 8, 1 << 24
"""PyTorch and Keras store without compressing; an archive may unpack to 16 MiB and to 8 times its size."""


def check_archive(path: Path, kind: str) -> list[str]:
    """The names of an archive's entries.

    Raises:
        ModelError: no archive, cut off, or one that would unpack to far more than it should.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise refused(path, kind, f"{path.stat().st_size} bytes: {error}") from error
    unpacked = sum(entry.file_size for entry in entries)
    most = _SPARE + _RATIO * path.stat().st_size
    if unpacked > most:
        got = f"{path.stat().st_size:,} bytes that would unpack to {unpacked:,}"
        raise refused(path, f"{kind} that unpacks to at most {most:,} bytes", got)
    return [entry.filename for entry in entries]


def refused(
    path: Path, expected: str, got: str, fix: str = "save the model again, and see that the file is whole"
) -> ModelError:
    """The error for a file that is not what its name says."""
    return ModelError(f"{path} cannot be imported", expected=expected, got=got.strip()[:400], fix=fix)
