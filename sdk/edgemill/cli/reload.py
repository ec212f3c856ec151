"""``edgemill agent reload``: a running agent takes up other engines, and what became of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from edgemill.cli.output import print_json, print_line, progress
from edgemill_agent.ledger import LedgerView
from edgemill_agent.running import hang_up, line_process
from edgemill_agent.settings import read_settings
from edgemill_core.errors import ProofError
from edgemill_core.ledger import Kind

_LOOK_S = 0.1
_ON_THE_WAY = {"committed", "fell back", "ended"}
"""What is said of an earlier engine, or of one that is started again."""


def reload(path: Path, wait_s: float, json: bool) -> None:
    """Check the settings, tell the agent that runs on them, and wait until each new engine judges or is refused.

    Raises:
        SettingsError: the settings are wrong; the agent is not told.
        MissingPartError: no agent runs on this state folder.
        ProofError: a new engine was refused, or not ready in time; the one before goes on.
    """
    settings = read_settings(path, "trial")
    view = LedgerView.open(settings.state)
    after, _ = view.last()
    hang_up(line_process(settings.state))
    with progress() as tell:
        told = list(_outcomes(view, after, time.monotonic() + wait_s, tell))
    refused = [one for one in told if one["outcome"] == "refused"]
    if json:
        print_json({"changes": told})
        sys.exit(ProofError.exit_code if refused else 0)
    for one in told:
        print_line(_line(one))
    if refused:
        raise ProofError(
            "a new engine was refused; the one before goes on",
            expected="a bundle that is proved on this box, within the station's memory",
            got="; ".join(str(one["why"]) for one in refused),
            fix="mend agent.yaml and say this again; as it is, the next start of the agent would use it",
        )


def _outcomes(view: LedgerView, after: int, until: float, tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """What the ledger says from ``after`` on, until every station that was asked has its outcome."""
    waiting: set[tuple[str, str]] | None = None
    while waiting is None or waiting:
        for record in view.records(after):
            after = record.header.position
            if record.header.kind is not Kind.SWAP or record.payload is None:
                continue
            told = {"station": record.header.station, **record.payload.content()}
            if told["outcome"] == "read":
                waiting = {(station, role) for station, role in told["asked"]}
                if waiting:
                    tell(f"loaded and proved: {_names(waiting)}")
                continue
            yield told
            if told["outcome"] not in _ON_THE_WAY:
                waiting = (waiting or set()) - {(told["station"], told.get("role", ""))}
        if time.monotonic() > until:
            names = _names(waiting or ()) or "the agent"
            yield {"station": names, "outcome": "refused", "why": f"no answer in time from {names}"}
            return
        time.sleep(_LOOK_S)


def _names(waiting: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{station}/{role}" for station, role in sorted(waiting))


def _line(told: dict[str, Any]) -> str:
    new = told.get("to", {})
    what = f" {new['bundle']} {new['version']} on {new['runtime']}" if "bundle" in new else ""
    took = f", {told['load_s']:.1f} s after it was asked for" if "load_s" in told else ""
    why = f": {told['why']}" if told.get("why") else ""
    return f"{told['station'] or 'settings'}: {told['outcome']}{what}{took}{why}"
