"""What the cells of a table say of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from edgemill_core.samples import Truth

_GOOD = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Cells:
    """As they stand there; empty where there is no such column, or nothing in it."""

    good: str = ""
    class_name: str = ""
    outcome: str = ""
    text: str | None = None


def truth_in(cells: Cells) -> Truth | None:
    """The label; ``None`` if nothing is said of what is good, of which class it is, or what came about.

    Where only a class is known, or a number that came about, the task says what is good.

    Raises:
        ValueError: a cell that says none of what it may, in words.
    """
    class_name, outcome = cells.class_name.strip() or None, _outcome(cells.outcome)
    good = _good(cells.good)
    if good is None and class_name is None and outcome is None:
        if (cells.text or "").strip():
            raise ValueError("printed without good or class")
        return None
    return Truth(good, cells.text, outcome, class_name)


def _good(cell: str) -> bool | None:
    if not cell.strip():
        return None
    if cell.strip().lower() not in _GOOD:
        raise ValueError(f"good is {cell[:40]!r}, neither 1 nor 0")
    return _GOOD[cell.strip().lower()]


def _outcome(cell: str) -> float | None:
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"outcome is {cell[:40]!r}, not a finite number")
    return value
