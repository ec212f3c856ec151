"""The one form that every benchmark prints.

``{"environment": {…}, "rows": [{"case", "figure", "unit", "ours", "reference", "ratio", "bar", "holds", "runs"}]}``

Ours and the reference are measured in turns in the same run, and medians are given. ``bar`` is the one that the
issue states; where it is about a count or a size there may be no reference. A row that does not hold stays.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from edgemill_runtimes.machine import this_machine


@dataclass(frozen=True)
class Row:
    """One figure against its bar.

    Attributes:
        bar: in words, as the issue has it; empty for a figure that is only stated.
        holds: ``None`` where there is no bar.
        runs: how many measurements the medians are of.
    """

    case: str
    figure: str
    unit: str
    ours: float
    reference: float | None
    bar: str
    holds: bool | None
    runs: int

    @property
    def ratio(self) -> float | None:
        """Ours over the reference."""
        return round(self.ours / self.reference, 4) if self.reference else None


def at_most(
    case: str, figure: str, unit: str, ours: float, bar: float, runs: int, reference: float | None = None
) -> Row:
    """A row whose bar is an upper limit."""
    return Row(case, figure, unit, round(ours, 5), reference, f"≤ {bar:g} {unit}", ours <= bar, runs)


def at_least(
    case: str, figure: str, unit: str, ours: float, bar: float, runs: int, reference: float | None = None
) -> Row:
    """A row whose bar is a lower limit."""
    return Row(case, figure, unit, round(ours, 5), reference, f"≥ {bar:g} {unit}", ours >= bar, runs)


def stated(case: str, figure: str, unit: str, ours: float, runs: int, reference: float | None = None) -> Row:
    """A row without a bar."""
    return Row(case, figure, unit, round(ours, 5), reference, "", None, runs)


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def in_turns(ours: Sequence[str], reference: Sequence[str], runs: int) -> tuple[float, float]:
    """Median wall times of two commands, run in turns."""
    pairs = [(seconds(ours), seconds(reference)) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), round(statistics.median(b for _, b in pairs), 5)


def main(measure: Callable[[], list[Row]]) -> None:
    """Measure and print; ``--json`` prints the one object, else a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    rows = measure()
    if as_json:
        found = [{**asdict(row), "ratio": row.ratio} for row in rows]
        print(json.dumps({"environment": this_machine().as_dict(), "rows": found}, indent=2, ensure_ascii=False))
        return
    for row in rows:
        held = {True: "holds", False: "DOES NOT HOLD", None: ""}[row.holds]
        against = f" (reference {row.reference:g}, ratio {row.ratio:g})" if row.reference else ""
        print(f"{row.case:<28} {row.figure:<34} {row.ours:g} {row.unit}{against}  {row.bar}  {held}", file=sys.stdout)
