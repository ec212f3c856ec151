"""``edgemill agent update``: follow what is signed for this device, and say what became of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from edgemill.cli.output import print_error, print_json, print_line, progress
from edgemill_agent.fleet_identity import renewed
from edgemill_agent.processes.priority import give_way
from edgemill_agent.running import hang_up, line_process
from edgemill_agent.settings import AgentSettings, read_settings
from edgemill_agent.updating.book import Book
from edgemill_agent.updating.shadowing import Shadowed
from edgemill_agent.updating.states import State
from edgemill_agent.updating.updater import Updater, names_wanted
from edgemill_agent.updating.whence import root_of, source_of
from edgemill_core.errors import EdgemillError, InputError, MissingPartError, ProofError

_LOOK_S = 0.2
_PATIENCE_S = 10.0
"""A running agent looks after updates by itself, which mostly takes a second."""
_BAD = (State.REFUSED, State.ROLLED_BACK)
_UNDER_WAY = (State.SHADOWING, State.TRIAL)
"""What the running agent decides."""


def update(path: Path, given: str | None, wait_s: float, again: bool, json: bool) -> None:
    """Bring here what the plan names, prove it, and have a running agent take it up.

    Args:
        path: ``agent.yaml``.
        given: a folder or an address, in the place of the one under ``fleet:``.
        wait_s: how long to wait for the end of shadowing and trial.
        again: try once more what was refused before.

    Raises:
        ProofError: a release was refused, or rolled back; what was there before judges.
        Refused, LinkError: what came is not to be believed, or does not come.
        IdentityError: this box was shut out, or never let in.
    """
    settings = read_settings(path, "names")
    if not names_wanted(settings):
        raise InputError(
            f"no station of {path} runs a release",
            expected="bundle: release:NAME under a station",
            got="folders alone",
            fix="name a release there; docs/guide/releases.md shows it",
        )
    source, root = source_of(settings, given), root_of(settings)
    give_way(settings.keeps_deadlines)  # before a library makes threads of its own; whatever judges goes first
    with progress() as tell, Updater(settings, _now, tell, patience_s=_PATIENCE_S) as updater:
        if (error := renewed(settings, _now(), tell)) is not None:
            print_error(error)
        if again:
            updater.forget_refused()
        before = updater.book
        if updater.prove_anew() != before:
            _tell_agent(settings)  # whatever becomes of the rest
        try:
            updater.follow_or_go_on(source, root)
        except EdgemillError:
            _tell_agent(settings)  # what looked on may have been decided before, and other releases went on
            raise
        running = _tell_agent(settings)
        until = time.monotonic() + wait_s
        while running and _undecided(updater.book) and time.monotonic() < until:
            time.sleep(_LOOK_S)
            before = updater.book
            updater.settle()
            if updater.book != before:
                _tell_agent(settings)  # every station goes back, and the ledger hears of it
        book, looking_on = updater.book, updater.looking_on.now()
    _say(settings, book, looking_on, running, json)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _tell_agent(settings: AgentSettings) -> bool:
    """Whether one runs, which then reads its settings again."""
    with suppress(MissingPartError):
        hang_up(line_process(settings.state))
        return True
    return False


def _undecided(book: Book) -> bool:
    return any(one.state in _UNDER_WAY for one in book.updates.values())


def _say(settings: AgentSettings, book: Book, looking_on: Mapping[str, Shadowed], running: bool, json: bool) -> None:
    updates = {name: one for name, one in book.updates.items() if name in names_wanted(settings)}
    bad = {name: one for name, one in updates.items() if one.state in _BAD}
    if json:
        told = {name: one.model_dump(mode="json") for name, one in updates.items()}
        for name, shadowed in looking_on.items():
            told[name]["shadowing"] = {station: looked.as_dict() for station, looked in shadowed.stations.items()}
        print_json({"plan": book.plan[0] if book.plan else None, "agent": running, "updates": told})
        sys.exit(ProofError.exit_code if bad else 0)
    for name, one in updates.items():
        later = ", as soon as the agent is started" if one.state in _UNDER_WAY and not running else ""
        why = str(looking_on[name]) if name in looking_on else one.why
        print_line(f"{name} {one.version}: {one.state.value}{later}{f': {why}' if why else ''}")
    if bad:
        raise ProofError(
            "an update was not taken; what was there before judges",
            expected="a release that is proved on this box, does not dispute what judges, and is in time",
            got="; ".join(f"{name} {one.version}: {one.why}" for name, one in bad.items()),
            fix="release a better one; this one is not tried again, unless with --again",
        )
