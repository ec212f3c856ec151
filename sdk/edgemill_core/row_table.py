"""Tables of numbers: CSV with names in the first line; the first column names the row, the others are numbers.

Columns of labels (what came about, of which class it is, whether it is good) are for the judge, never for the model;
what stands in them is kept as text.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import IO

OUTCOME, CLASS, GOOD = "outcome", "class", "good"
LABELS = (OUTCOME, CLASS, GOOD)
"""What columns of labels are called, if a table does not call them otherwise."""
_LONGEST = 1 << 20
"""Characters of a line; a file without line ends must not fill the memory."""


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        item: what names the row.
        line: in the file.
        fields: the numbers by name; empty if there is a fault.
        fault: which field is no finite number, in words.
        labels: what the columns of labels say, by the columns' names.
    """

    item: str
    line: int
    fields: Mapping[str, float]
    fault: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Columns:
    """What columns of a table are, if they are no numbers for the model.

    Attributes:
        labels: names of those with labels.
        item: the one that names the row; the first one if ``None``.
        ignore: names of those that are not read.
    """

    labels: Collection[str] = (OUTCOME,)
    item: str | None = None
    ignore: Collection[str] = ()


_PLAIN = Columns()


def read_table(path: Path, growing: bool = False, columns: Columns = _PLAIN) -> Iterator[Row]:
    """Every line of ``path``.

    Args:
        path: a CSV file.
        growing: somebody may be writing: a last line without its end is left for the next time.
        columns: which are labels.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError, csv.Error: it is no CSV in UTF-8, or the first line names a column twice or lacks one.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(bounded_lines(file, growing), strict=True)
        names = next(reader, [])
        check_names(names, columns)
        for cells in reader:
            if cells:
                yield row_of(names, cells, reader.line_num, columns)


def bounded_lines(file: IO[str], growing: bool = False) -> Iterator[str]:
    """The lines of ``file``; those of a growing one up to the last that has its end.

    Raises:
        csv.Error: a line of more than a million characters.
    """
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if not line.endswith("\n") and len(line) == _LONGEST:
            raise csv.Error(f"line {number} has more than {_LONGEST:,} characters")
        if growing and not line.endswith("\n"):
            return
        yield line


def check_names(names: Sequence[str], columns: Columns) -> None:
    """See that each column has a name of its own, and that the one that names the row is there.

    Raises:
        csv.Error: which is not so.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise csv.Error(f"two columns are called {doubled[0]!r}")
    if columns.item is not None and columns.item not in names:
        raise csv.Error(f"no column is called {columns.item!r}; there are: {', '.join(names)}")


def row_of(names: Sequence[str], cells: Sequence[object], line: int, columns: Columns) -> Row:
    """One row of a table whose columns are ``names``; numbers may be numbers or text."""
    place = 0 if columns.item is None else names.index(columns.item)
    if len(cells) != len(names):
        return Row(str(cells[0]), line, {}, f"{len(cells)} cells, the first line names {len(names)}")
    item, fields, labels = str(cells[place]), {}, {}
    for index, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if index == place or name in columns.ignore:
            continue
        if name in columns.labels:
            labels[name] = "" if cell is None else str(cell).strip()
            continue
        value = _number(cell)
        if not isfinite(value):
            return Row(item, line, {}, f"{name} is {str(cell)[:40]!r}, not a finite number")
        fields[name] = value
    return Row(item, line, fields, labels=labels)


def _number(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]  # whatever it is, float says so
    except (TypeError, ValueError):
        return float("nan")
