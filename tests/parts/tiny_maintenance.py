"""A small table in the layout of AI4I 2020, made up."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HEAD = (
    "UDI",
    "Product ID",
    "Type",
    "Air temperature [K]",
    "Process temperature [K]",
    "Rotational speed [rpm]",
    "Torque [Nm]",
    "Tool wear [min]",
    "Target",
    "Failure Type",
)


def write_machines(path: Path, count: int, seed: int = 0) -> None:
    """Machines, of which those fail whose tool is worn under load."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        for number in range(count):
            quality, torque, wear = rng.choice(list("LMH")), rng.normal(40, 10), rng.integers(0, 250)
            failed = int(torque * wear > 8000)
            air = round(rng.normal(300, 2), 1)
            speed, kind = int(1600 - 6 * (torque - 40)), "Overstrain Failure" if failed else "No Failure"
            row = [number, f"{quality}{number}", quality, air, air + 10, speed, round(torque, 1), wear, failed, kind]
            writer.writerow(row)
