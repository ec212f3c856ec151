"""Tables of numbers: CSV with names in the first line; the first column names the row, the others are numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from math import isfinite
from pathlib import Path

OUTCOME = "outcome"
"""Column of what came about; it is for the judge, never for the model."""


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        item: what the first column says.
        line: in the file.
        fields: the numbers by name; empty if there is a fault.
        fault: which field is no finite number, in words.
    """

    item: str
    line: int
    fields: Mapping[str, float]
    fault: str = ""


def read_table(path: Path, growing: bool = False) -> Iterator[Row]:
    """Every line of ``path``.

    Args:
        path: a CSV file.
        growing: somebody may be writing: a last line without its end is left for the next time.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError, csv.Error: it is no CSV in UTF-8.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = takewhile(lambda line: line.endswith("\n"), file) if growing else file
        reader = csv.reader(lines, strict=True)
        names = next(reader, [])
        for cells in reader:
            if cells:
                yield _row(names, cells, reader.line_num)


def _row(names: list[str], cells: list[str], line: int) -> Row:
    if len(cells) != len(names):
        return Row(cells[0], line, {}, f"{len(cells)} cells, the first line names {len(names)}")
    fields = {}
    for name, cell in zip(names[1:], cells[1:], strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            return Row(cells[0], line, {}, f"{name} is {cell[:40]!r}, not a finite number")
        fields[name] = value
    return Row(cells[0], line, fields)
