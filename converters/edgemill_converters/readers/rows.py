"""A CSV of rows: one column a feature, ``outcome`` for what came about, and the first column names the row."""

from __future__ import annotations

import csv
from pathlib import Path

from edgemill_core.errors import DataError
from edgemill_core.row_table import OUTCOME, read_table
from edgemill_core.samples import Sample, Truth


def read_rows(path: Path) -> list[Sample]:
    """Every row of ``path``, in the order of the file.

    Raises:
        DataError: no such file, not UTF-8, no column ``outcome``, a value that is no number, or a row named twice.
    """
    samples = []
    try:
        for row in read_table(path):
            if row.fault or OUTCOME not in row.fields:
                raise DataError(
                    f"{path}, line {row.line}: not a row of the judge",
                    expected="a finite number in every column but the first, one of them called outcome",
                    got=row.fault or f"columns: {', '.join(row.fields)}",
                    fix="mend this line",
                )
            fields = {name: value for name, value in row.fields.items() if name != OUTCOME}
            truth = Truth(good=True, outcome=row.fields[OUTCOME])
            samples.append(Sample(row.item, path, {}, truth, fields))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read",
            expected="a CSV file in UTF-8 with the columns in its first line",
            got=str(error),
            fix="mend the path in the recipe, or save the table as UTF-8 CSV",
        ) from error
    _check_unique(path, samples)
    return samples


def _check_unique(path: Path, samples: list[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                f"{path} names a row twice", expected="one line a row", got=sample.id, fix="remove one of the lines"
            )
        seen.add(sample.id)
