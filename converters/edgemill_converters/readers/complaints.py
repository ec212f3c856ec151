"""What all readers complain about in the same words."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from edgemill_core.errors import DataError
from edgemill_core.samples import Sample


def no_folder(path: Path, of: str) -> DataError:
    """There is no such folder."""
    return DataError(
        f"there is no folder of {of} at {path}",
        expected="a folder",
        got="a file" if path.exists() else "nothing",
        fix="mend the path in the recipe",
    )


def no_table(path: Path, error: Exception) -> DataError:
    """A CSV file cannot be read; where it is not UTF-8, the line is named."""
    line = f", line {_line_of(path, error)}" if isinstance(error, UnicodeDecodeError) else ""
    return DataError(
        f"{path}{line} cannot be read",
        expected="a CSV file in UTF-8 with the columns in its first line",
        got=str(error),
        fix="mend the path in the recipe, or save the table as UTF-8 CSV",
    )


TABLE_FAULTS = (OSError, UnicodeDecodeError, csv.Error)
"""What reading a CSV file raises; ``no_table`` says it."""


def _line_of(path: Path, error: UnicodeDecodeError) -> int:
    """The first line with bytes that are no UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(1 << 20), b""), 1):
            if error.object[error.start : error.start + 1] in line and not _decodes(line):
                return number
    return 1


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_unique(table: Path, samples: Iterable[Sample], noun: str = "picture") -> None:
    """Refuse a table that names something twice."""
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                f"{table} names a {noun} twice",
                expected=f"one line a {noun}",
                got=sample.id,
                fix="remove one of the lines",
            )
        seen.add(sample.id)
