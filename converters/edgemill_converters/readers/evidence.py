"""Parts that a box judged, exported by ``edgemill ledger evidence --export``, with labels that somebody wrote in."""

from __future__ import annotations

import csv
from pathlib import Path

from edgemill_converters.readers.complaints import TABLE_FAULTS, check_unique, no_table
from edgemill_converters.readers.folders import check_inside
from edgemill_converters.readers.truths import Cells, truth_in
from edgemill_core.errors import DataError
from edgemill_core.evidence_table import COLUMNS, TABLE
from edgemill_core.row_table import bounded_lines
from edgemill_core.samples import Sample


def read_evidence(path: Path, unlabelled: str = "keep") -> list[Sample]:
    """Every part that was exported.

    Args:
        path: the folder of the export.
        unlabelled: ``keep`` parts that nobody labelled, e.g. for calibration, or ``leave out``.

    Raises:
        DataError: no such export, not UTF-8, a column missing, a value that is no label, or a part named twice; the
            message names file and line.
    """
    table = path / TABLE
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(bounded_lines(file))
            _check_columns(table, reader.fieldnames or ())
            samples = [_sample(path, reader.line_num, row) for row in reader]
    except TABLE_FAULTS as error:
        raise no_table(table, error) from error
    check_unique(table, samples, "part")
    return [sample for sample in samples if sample.truth is not None or unlabelled == "keep"]


def _check_columns(table: Path, columns: object) -> None:
    lacking = [name for name in COLUMNS if not isinstance(columns, (list, tuple)) or name not in columns]
    if lacking:
        raise DataError(
            f"{table}, line 1: columns are missing",
            expected=", ".join(COLUMNS),
            got=f"none called {', '.join(lacking)}",
            fix="export the evidence again; labels that are there stay",
        )


def _sample(root: Path, line: int, row: dict[str, str | None]) -> Sample:
    name = (row["file"] or "").strip()
    try:
        if not name:
            raise ValueError("no file")
        check_inside(root, root / name)
        truth = truth_in(Cells(row["good"] or "", row["class"] or "", text=row["printed"] or None))
    except ValueError as error:
        raise DataError(
            f"{root / TABLE}, line {line}: not a label",
            expected="a file, and good as 1 or 0, a class, or nothing where nobody looked",
            got=str(error),
            fix="mend this line",
        ) from error
    return Sample(name, root / name, {"expected": row["expected"]} if row["expected"] else {}, truth)
