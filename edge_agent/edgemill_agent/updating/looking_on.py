"""A release that looks on: what ledger, slots and book make of it, and which of them is written first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgemill_agent.ledger import LedgerView
from edgemill_agent.settings import StationSettings
from edgemill_agent.updating.book import Book
from edgemill_agent.updating.shadowing import KINDS, Shadowed, shadowed
from edgemill_agent.updating.slots import MOST_STARTS, Installed, Slots, bundle_folder, read_slots, write_slots
from edgemill_agent.updating.states import Event, State
from edgemill_core.errors import LedgerError


class LookingOn:
    """Going on is in the slots first, as everywhere; an end is in the book first, with its reason.

    Args:
        state: the agent's state folder.
        wanted: the stations that run a release, by its name.
        book: as it is now.
        moved: puts an event and its reason into the book.
        position: of the newest record of the ledger.
        tell: told what is going on.
    """

    def __init__(
        self,
        state: Path,
        wanted: Mapping[str, tuple[StationSettings, ...]],
        book: Callable[[], Book],
        moved: Callable[[str, Event, str], None],
        position: Callable[[], int],
        tell: Callable[[str], None],
    ) -> None:
        self._state, self._wanted = state, wanted
        self._book, self._moved, self._position, self._tell = book, moved, position, tell

    def begin(self, name: str, proved: Installed) -> bool:
        """Let it look on, if a station wants that; false if none does."""
        if all(station.swap.shadow is None for station in self._wanted[name]):
            return False
        self._write(name, self._slots(name).looking_on(proved, self._position()))
        self._moved(name, Event.LOOKS_ON, "")
        return True

    def keep_to(self, named: Callable[[str, str], bool], why: str) -> None:
        """Give up what looks on and is not ``named``, by name and manifest, any more."""
        for name in self._wanted:
            update = self._book().updates.get(name)
            if update is not None and update.state is State.SHADOWING and not named(name, update.manifest):
                self._moved(name, Event.REPLACED, why)
                self.drop(name)

    def settle(self, name: str, going_on: bool) -> None:
        """Bring slots and book to what the ledger says; one that agrees goes on trial only if it is ``going_on``."""
        slots = self._slots(name)
        if slots.shadow is None:
            return
        found = self._shadowed(name, slots.shadow, slots.since)
        if found.outcome is None:
            self._tell(f"{name} {slots.shadow.version} looks on: {found}")
            return
        if found.outcome.event is Event.AGREES:
            if not going_on:
                return
            self._write(name, slots.on_trial(slots.shadow, self._position()))
        self._moved(name, found.outcome.event, found.outcome.why)
        self.drop(name)

    def started(self, name: str) -> None:
        """The agent is about to start: what it started with too often, without seeing a part, is given up."""
        before = self._slots(name)
        if before.shadow is None:
            return
        slots = before.started(self._shadowed(name, before.shadow, before.since).seen)
        if slots.starts <= MOST_STARTS:
            self._write(name, slots)
            return
        why = f"the agent was started {MOST_STARTS} times while it looked on, and it saw no part meanwhile"
        self._moved(name, Event.STARTED_TOO_OFTEN, why)
        self.drop(name)

    def catch_up(self, name: str) -> None:
        """The power went between slots and book."""
        self.drop(name)
        update, slots = self._book().updates.get(name), self._slots(name)
        if update is None:
            return
        if slots.shadow is not None and update.state is State.PROVED:
            self._moved(name, Event.LOOKS_ON, "")
        elif slots.trial is not None and update.state is State.SHADOWING:
            outcome = self._shadowed(name, slots.trial, 0).outcome
            self._moved(name, Event.AGREES, outcome.why if outcome and outcome.event is Event.AGREES else "")
        elif slots.shadow is None and update.state is State.SHADOWING:
            self._moved(name, Event.REPLACED, "nothing looks on any more; the plan is followed from its beginning")

    def drop(self, name: str) -> None:
        """Nothing looks on but what the book says."""
        slots, update = self._slots(name), self._book().updates.get(name)
        looks_on = update is not None and update.state in (State.PROVED, State.SHADOWING)
        if slots.shadow is not None and not (looks_on and update and update.manifest == slots.shadow.manifest):
            self._write(name, slots.rolled_back())

    def now(self) -> dict[str, Shadowed]:
        """Of each name of which something looks on, what the ledger says by now."""
        slots = {name: self._slots(name) for name in self._wanted}
        return {name: self._shadowed(name, one.shadow, one.since) for name, one in slots.items() if one.shadow}

    def _shadowed(self, name: str, shadow: Installed, since: int) -> Shadowed:
        folder, stations = str(bundle_folder(self._state, shadow)), self._wanted[name]
        try:
            view = LedgerView.open(self._state)
        except LedgerError:
            return shadowed((), shadow.digest, folder, stations)  # the agent was never started
        try:
            return shadowed(view.of_kind(*KINDS, after=since), shadow.digest, folder, stations)
        finally:
            view.close()

    def _slots(self, name: str) -> Slots:
        return read_slots(self._state, name)

    def _write(self, name: str, slots: Slots) -> None:
        if slots != self._slots(name):
            write_slots(self._state, name, slots)
