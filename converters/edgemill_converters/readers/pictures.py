"""A folder of pictures without labels, for calibration."""

from __future__ import annotations

from pathlib import Path

from edgemill_core.errors import DataError
from edgemill_core.samples import Sample
from edgemill_runtimes.frames.decode import SUFFIXES


def read_pictures(path: Path) -> list[Sample]:
    """Every picture directly in ``path``, in the order of their names.

    Raises:
        DataError: there is no such folder.
    """
    if not path.is_dir():
        raise DataError(
            f"there is no folder of pictures at {path}",
            expected="a folder",
            got="a file" if path.exists() else "nothing",
            fix="mend the path in the recipe",
        )
    return [Sample(p.name, p) for p in sorted(path.iterdir()) if p.suffix.lower() in SUFFIXES]
