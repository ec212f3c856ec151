"""Which code each picture should carry, as a table says."""

from __future__ import annotations

import csv
from pathlib import Path

from edgemill_core.errors import InputError


def read_codes(path: Path) -> dict[str, str]:
    """The code of each picture that the table gives one, by file name.

    Raises:
        InputError: the table cannot be read, or lacks the columns ``file`` and ``expected``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"file", "expected"} <= set(reader.fieldnames or ()):
                raise KeyError(f"columns {', '.join(reader.fieldnames or ()) or 'none'}")
            return {Path(row["file"]).name: row["expected"] for row in reader if row["file"] and row["expected"]}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the labels at {path} cannot be read",
            expected="a UTF-8 CSV with the columns file, expected",
            got=f"{type(error).__name__}: {error}",
            fix="mend the file, or give one code for all",
        ) from error
