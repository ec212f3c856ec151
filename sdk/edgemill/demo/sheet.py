"""The contact sheet of a line: every escape and overkill, and examples of what went right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemill.demo.contact_sheet import Tile, contact_sheet
from edgemill.demo.line import Fate, Part
from edgemill_runtimes.frames import read_picture

_LIMITS = {Fate.ESCAPE: 24, Fate.OVERKILL: 24, Fate.RIGHTLY_REJECTED: 12, Fate.RIGHTLY_PASSED: 12}

_HEADINGS = {
    Fate.ESCAPE: "escapes (bad parts passed)",
    Fate.OVERKILL: "overkill (good parts not passed)",
    Fate.RIGHTLY_REJECTED: "rejected rightly, examples",
    Fate.RIGHTLY_PASSED: "passed rightly, examples",
}


def write_sheet(parts: Sequence[Part], path: Path) -> Path:
    """Write the sheet as PNG and return its path."""
    tiles = [_tile(part) for fate in Fate for part in [p for p in parts if p.fate is fate][: _LIMITS[fate]]]
    contact_sheet(tiles, [_HEADINGS[fate] for fate in Fate], path)
    return path


def _tile(part: Part) -> Tile:
    read = str(part.verdict.reading.get("text", "")) or "nothing"
    caption = (
        f"expected {part.sample.context.get('expected', '')}; {'; '.join(part.verdict.reasons) or f'reads {read}'}"
    )
    return Tile(read_picture(part.sample.picture), part.sample.id, caption, _HEADINGS[part.fate])
