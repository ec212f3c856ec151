"""A CSV of labelled samples: the column ``file``, and ``good``, ``class`` or ``outcome``.

Where text is read also ``expected`` and ``printed``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from edgemill_converters.readers.complaints import TABLE_FAULTS, check_unique, no_table
from edgemill_converters.readers.truths import Cells, truth_in
from edgemill_core.errors import DataError
from edgemill_core.row_table import bounded_lines
from edgemill_core.samples import Sample


def read_labels(path: Path) -> list[Sample]:
    """Read ``path`` (a CSV, or a folder with ``labels.csv``); pictures, or tensors' files, lie relative to the CSV.

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
            reader = csv.DictReader(bounded_lines(file))
            _check_columns(table, reader.fieldnames)
            samples = [_sample(table, reader.line_num, row) for row in reader]
    except TABLE_FAULTS as error:
        raise no_table(table, error) from error
    check_unique(table, samples)
    return samples


def _check_columns(table: Path, columns: object) -> None:
    found = list(columns) if isinstance(columns, (list, tuple)) else []
    if "file" not in found or not {"good", "class", "outcome"} & set(found):
        raise DataError(
            f"{table}, line 1: columns are missing",
            expected="file, and good, class or outcome (and expected, printed for text)",
            got=", ".join(found) or "an empty file",
            fix="name the columns in the first line",
        )


def _sample(table: Path, line: int, row: dict[str, str | None]) -> Sample:
    name = (row.get("file") or "").strip()
    try:
        truth = truth_in(
            Cells(row.get("good") or "", row.get("class") or "", row.get("outcome") or "", row.get("printed"))
        )
        if truth is None or not name:
            raise ValueError(f"file={row.get('file')!r}, good={row.get('good')!r}")
    except ValueError as error:
        raise DataError(
            f"{table}, line {line}: not a label",
            expected="a file name, and good as 1 or 0, a class, or a number in outcome",
            got=str(error),
            fix="mend this line",
        ) from error
    context = {"expected": str(row["expected"])} if row.get("expected") else {}
    return Sample(name, table.parent / name, context, truth)
