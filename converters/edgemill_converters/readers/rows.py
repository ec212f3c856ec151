"""Rows of a table: one column names the row, some hold labels, and each other one is a feature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgemill_converters.readers.complaints import TABLE_FAULTS, check_unique, no_table
from edgemill_converters.readers.parquet import read_parquet
from edgemill_converters.readers.truths import Cells, truth_in
from edgemill_core.errors import DataError
from edgemill_core.row_table import CLASS, GOOD, OUTCOME, Columns, Row, read_table
from edgemill_core.samples import Sample

_PARQUET = (".parquet", ".pq")


def read_rows(
    path: Path,
    item: str | None = None,
    outcome: str | None = OUTCOME,
    class_name: str | None = CLASS,
    good: str | None = GOOD,
    ignore: tuple[str, ...] = (),
) -> list[Sample]:
    """Every row of ``path``, in the order of the file.

    Args:
        path: CSV, or Parquet by its suffix.
        item: the column that names the row; the first one if ``None``.
        outcome, class_name, good: columns of labels; ``None`` where that is a feature's name.
        ignore: columns that are not read.

    Raises:
        DataError: no such file, not UTF-8, cut off, a value that is no number or no label, or a row named twice.
        MissingPartError: it is Parquet, and pyarrow is not installed.
    """
    told = {"outcome": outcome, "class_name": class_name, "good": good}
    labels = {key: name for key, name in told.items() if name is not None}
    columns = Columns(tuple(labels.values()), item, ignore)
    samples = [_sample(path, row, labels) for row in _rows(path, columns)]
    check_unique(path, samples, "row")
    return samples


def _rows(path: Path, columns: Columns) -> Iterator[Row]:
    if path.suffix.lower() in _PARQUET:
        yield from read_parquet(path, columns)
        return
    try:
        yield from read_table(path, columns=columns)
    except TABLE_FAULTS as error:
        raise no_table(path, error) from error


def _sample(path: Path, row: Row, labels: dict[str, str]) -> Sample:
    try:
        if row.fault:
            raise ValueError(row.fault)
        cells = {key: row.labels[name] for key, name in labels.items() if name in row.labels}
        truth = truth_in(Cells(**cells))
        if cells and truth is None:
            raise ValueError(f"nothing in {', '.join(labels[key] for key in cells)}")
    except ValueError as error:
        place = "row" if path.suffix.lower() in _PARQUET else "line"
        raise DataError(
            f"{path}, {place} {row.line}: not a row of the judge",
            expected="a finite number in every column but that of the row's name and those of labels, and a label",
            got=str(error),
            fix=f"mend this {place}, or say under `rows:` what the columns are",
        ) from error
    return Sample(row.item, path, {}, truth, row.fields)
