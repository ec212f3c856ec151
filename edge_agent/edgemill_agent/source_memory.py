"""Which source each station had, so that a place in one is never taken for a place in another."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from edgemill_agent.settings import StationSettings
from edgemill_core.durable import write_bytes

_FILE = "sources.json"


def others(state: Path, stations: Sequence[StationSettings]) -> set[str]:
    """Names of the stations whose source is another one than when the agent last ran; notes those of today.

    A station that was not known before is none of them. Where the note cannot be read or written, every source is
    taken for the same: rather is a part not taken again than a folder judged anew at each start.
    """
    before, now = _noted(state / _FILE), {station.name: identity(station, state) for station in stations}
    if before != now:
        try:
            write_bytes(state / _FILE, json.dumps({**before, **now}, indent=2).encode())
        except OSError:
            return set()
    return {name for name, found in now.items() if before.get(name, found) != found}


def identity(station: StationSettings, state: Path) -> str:
    """The source itself, without how it is read; files as they lie beside the state folder, for a box may be moved."""
    source = station.source
    named = getattr(source, source.kind)
    place = os.path.relpath(named, state) if isinstance(named, Path) else str(named)
    return f"{source.kind}{' in rounds' if source.loop else ''}: {place}"


def _noted(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
