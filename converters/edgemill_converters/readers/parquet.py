"""Rows of a Parquet file, through pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgemill_core.errors import DataError, MissingPartError
from edgemill_core.row_table import Columns, Row, check_names, row_of

_AT_ONCE = 4096
_MOST_ROWS = 5_000_000
_LARGEST = 1 << 31
"""Bytes of all values, as the file itself says: a few kilobytes may claim to hold any number of rows."""


def read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    """Every row of ``path``; its number, from 1, stands for the line.

    Raises:
        DataError: no such file, cut off, no Parquet, or more than fits in memory.
        MissingPartError: pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingPartError(
            f"{path.name} cannot be read here",
            expected="pyarrow",
            got="no such package",
            fix="pip install 'edgemill[parquet]', or save the table as CSV",
        ) from error
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check(file.metadata, names, columns)
            wanted = [name for name in names if name not in columns.ignore]
            yield from _rows(file, wanted, columns)
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read",
            expected="a whole Parquet file, with a column for each name",
            got=str(error)[:300],
            fix="mend the path in the recipe, or write the table again",
        ) from error


def _rows(file: Any, names: list[str], columns: Columns) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(_AT_ONCE, columns=names, use_threads=False):
        for row in batch.to_pylist():
            number += 1
            yield row_of(names, [row[name] for name in names], number, columns)


def _check(metadata: Any, names: list[str], columns: Columns) -> None:
    from csv import Error

    try:
        check_names(names, columns)
    except Error as error:
        raise ValueError(str(error)) from error
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if metadata.num_rows > _MOST_ROWS or size > _LARGEST:
        raise ValueError(f"{metadata.num_rows:,} rows of {size:,} bytes; at most {_MOST_ROWS:,} and {_LARGEST:,}")
