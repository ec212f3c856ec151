"""A CSV of labelled pictures: columns ``file`` and ``good``.

Where text is read also ``expected`` and ``printed``, where classes are named ``class``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from edgemill_core.errors import DataError
from edgemill_core.samples import Sample, Truth

_GOOD = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_labels(path: Path) -> list[Sample]:
    """Read ``path`` (a CSV, or a folder with ``labels.csv``); pictures lie relative to the CSV.

    Raises:
        DataError: no such file, not UTF-8, a column missing, a value that is no label, or a picture named twice;
            the message names file and line.
    """
    table = path / "labels.csv" if path.is_dir() else path
    if not table.is_file():
        raise DataError(
            f"there are no labels at {table}",
            expected="a CSV file with the columns file, good",
            got="no such file",
            fix="mend the path in the recipe",
        )
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(table, reader.fieldnames)
            samples = [_sample(table, reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{table} cannot be read", expected="CSV in UTF-8", got=str(error), fix="save the table as UTF-8 CSV"
        ) from error
    _check_unique(table, samples)
    return samples


def _check_columns(table: Path, columns: object) -> None:
    found = list(columns) if isinstance(columns, (list, tuple)) else []
    if not {"file", "good"} <= set(found):
        raise DataError(
            f"{table}, line 1: columns are missing",
            expected="file, good (and expected, printed for text, class for classes)",
            got=", ".join(found) or "an empty file",
            fix="name the columns in the first line",
        )


def _sample(table: Path, line: int, row: dict[str, str | None]) -> Sample:
    good = _GOOD.get((row.get("good") or "").strip().lower())
    name = (row.get("file") or "").strip()
    if good is None or not name:
        raise DataError(
            f"{table}, line {line}: not a label",
            expected="a file name, and good as 1 or 0",
            got=f"file={row.get('file')!r}, good={row.get('good')!r}",
            fix="mend this line",
        )
    context = {"expected": row["expected"]} if row.get("expected") else {}
    truth = Truth(good, row.get("printed"), class_name=row.get("class") or None)
    return Sample(name, table.parent / name, {k: str(v) for k, v in context.items()}, truth)


def _check_unique(table: Path, samples: list[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                f"{table} names a picture twice",
                expected="one line a picture",
                got=sample.id,
                fix="remove one of the lines",
            )
        seen.add(sample.id)
