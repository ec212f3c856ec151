"""What there is to say of releases on this box, for those who come and look."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgemill_agent.updating.book import read_book
from edgemill_agent.updating.slots import Installed, read_slots
from edgemill_core.errors import LedgerError


def told_of(state: Path, names: Iterable[str]) -> dict[str, Any]:
    """JSON-ready: by name the version in each slot, and how far the last update is; what cannot be read is said."""
    try:
        updates = read_book(state).updates
        found = {}
        for name in names:
            slots, update = read_slots(state, name), updates.get(name)
            versions = {slot: _said(getattr(slots, slot)) for slot in ("active", "trial", "previous")}
            last = {"version": update.version, "state": update.state.value, "why": update.why} if update else None
            found[name] = {**versions, "update": last}
        return found
    except LedgerError as error:
        return {name: {"trouble": error.what} for name in names}


def _said(installed: Installed | None) -> dict[str, Any] | None:
    if installed is None:
        return None
    again = installed.again.value if installed.again is not None else None
    return {"version": installed.version, "runtime": installed.runtime, "proof": again}
