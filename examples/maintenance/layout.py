"""The table: AI4I 2020's columns, a row a machine at work, and what goes to the model, to the judge and to nobody."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLUMNS = {
    "Type": "quality",
    "Air temperature [K]": "air",
    "Process temperature [K]": "process",
    "Rotational speed [rpm]": "speed",
    "Torque [Nm]": "torque",
    "Tool wear [min]": "wear",
}
"""Of the table, and what the model calls them."""
UNITS = {"air": "K", "process": "K", "speed": "rpm", "torque": "Nm", "wear": "min"}
QUALITIES = ("L", "M", "H")
FAILED = ("Target", "Machine failure")
"""The column that says whether the machine failed, under either of the names it goes by."""
CLASSES = ("runs", "fails")


@dataclass(frozen=True)
class Machines:
    """Rows ``float64[rows, 6]``, in the order of ``COLUMNS``, and whether each failed, 1 or 0."""

    rows: np.ndarray
    failed: np.ndarray

    def part(self, chosen: np.ndarray) -> Machines:
        """Some of them."""
        return Machines(self.rows[chosen], self.failed[chosen])


def read(path: Path) -> Machines:
    """All rows of a table in this layout."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    (failed,) = set(FAILED) & set(table[0])
    rows = [[float(QUALITIES.index(row["Type"])), *(float(row[name]) for name in list(COLUMNS)[1:])] for row in table]
    return Machines(np.array(rows), np.array([int(row[failed]) for row in table]))


def halved(machines: Machines, seed: int = 0) -> tuple[Machines, Machines]:
    """Six in ten to learn from, the others for the judge alone."""
    order = np.random.default_rng(seed).permutation(len(machines.rows))
    cut = len(order) * 6 // 10
    return machines.part(order[:cut]), machines.part(order[cut:])


def write_judge(path: Path, machines: Machines) -> None:
    """The judge's table: the model's columns, the class, and whether the machine was fit to go on."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["machine", *COLUMNS.values(), "class", "good"])
        for number, (row, failed) in enumerate(zip(machines.rows, machines.failed, strict=True)):
            writer.writerow([f"{number:05d}", *map(repr, row.tolist()), CLASSES[failed], 1 - int(failed)])


def features() -> list[dict[str, str]]:
    """For ``input:`` of a recipe."""
    return [{"name": name, **({"unit": UNITS[name]} if name in UNITS else {})} for name in COLUMNS.values()]
