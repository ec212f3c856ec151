"""Kept frames, taken off the box with a table for labels: what a build reads as ``evidence:``."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgemill_agent.evidence import find_evidence
from edgemill_agent.evidence_list import Listed
from edgemill_agent.ledger import LedgerView
from edgemill_core.durable import write_bytes
from edgemill_core.errors import InputError
from edgemill_core.evidence_table import COLUMNS, LABELS, TABLE

Line = dict[str, str]
_FORMULA = ("=", "+", "-", "@")


def export_evidence(view: LedgerView, listed: Sequence[Listed], folder: Path) -> int:
    """Copy the kept frames among ``listed`` into ``folder`` and write the table; what was exported before stays.

    Labels that stand in the table stay too.

    Returns:
        How many parts the table has now.

    Raises:
        InputError: ``folder`` cannot be written, or holds an export of another box.
        LedgerError: a frame is not the one that was recorded.
    """
    try:
        lines = _read(folder / TABLE)
        others = {line["ledger"] for line in lines.values()} - {view.id}
        if others:
            raise InputError(
                f"{folder} holds evidence of another ledger",
                expected=f"an empty folder, or an export of {view.id}",
                got=", ".join(sorted(others)),
                fix="name another folder for this box",
            )
        folder.mkdir(parents=True, exist_ok=True)
        for one in listed:
            if one.file:
                _export(view, one, folder, lines)
        _write(folder / TABLE, lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"evidence cannot be exported to {folder}",
            expected="a folder on a disk with room, with nothing in it or an earlier export",
            got=str(error),
            fix="name another folder",
        ) from error
    return len(lines)


def _export(view: LedgerView, one: Listed, folder: Path, lines: dict[str, Line]) -> None:
    found = find_evidence(view, one.number)
    if found.frame is None:
        return
    name = f"{one.station}-{one.number:012d}.png"
    shutil.copyfile(found.frame, folder / name)
    told = {
        "file": name,
        "ledger": view.id,
        "number": str(one.number),
        "station": one.station,
        "item": _harmless(one.item),
        "decision": one.decision,
        "late": str(int(one.late)),
        "reasons": _harmless("; ".join(one.reasons)),
        "expected": found.context.get("expected", ""),
    }
    before = lines.get(name, {})
    lines[name] = {**told, **{key: before.get(key, "") for key in LABELS}}


def _harmless(text: str) -> str:
    """What a spreadsheet would take for a formula, as text: it came from outside."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _read(table: Path) -> dict[str, Line]:
    if not table.exists():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        lacking = set(COLUMNS) - set(reader.fieldnames or ())
        if lacking:
            raise csv.Error(f"{table} lacks the columns {', '.join(sorted(lacking))}")
        return {line["file"]: {key: line[key] or "" for key in COLUMNS} for line in reader}


def _write(table: Path, lines: dict[str, Line]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(line for _, line in sorted(lines.items()))
    write_bytes(table, text.getvalue().encode())
