"""How far updates are, and what became of them: one file, replaced whole, so that it never says two things."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgemill_agent.updating.kept_file import read_kept, write_kept
from edgemill_agent.updating.states import ENDS, Event, State, after
from edgemill_core.durable import sync_folder
from edgemill_core.validation import Strict

_MOST_EVENTS = 200


class Update(Strict):
    """An update of one name.

    Attributes:
        version: of the release.
        manifest: SHA-256 of its manifest.
        why: what led to its end, in words.
    """

    version: str
    manifest: str
    state: State = State.PLANNED
    why: str = ""

    @property
    def ended(self) -> bool:
        """Whether anything is left to do."""
        return self.state in ENDS


class Told(Strict):
    """Something that the ledger is to record.

    Attributes:
        number: counts up; the ledger records each once.
    """

    number: int
    name: str
    version: str
    manifest: str
    state: State
    why: str = ""


class Book(Strict):
    """All of it.

    Attributes:
        plan: version and digest of the plan that was believed last.
        updates: by name, the latest.
        told: the latest events, for the ledger.
        refused: manifests that will not be tried again, with the reason.
    """

    plan: tuple[int, str] | None = None
    updates: dict[str, Update] = Field(default_factory=dict)
    told: tuple[Told, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)
    numbers: Annotated[int, Field(ge=0)] = 0

    def with_plan(self, version: int, digest: str) -> Book:
        """Another plan is believed."""
        return self.model_copy(update={"plan": (version, digest)})

    def begun(self, name: str, version: str, manifest: str) -> Book:
        """A plan names this release; an update that is on its way to another one is given up."""
        book = self
        before = self.updates.get(name)
        if before is not None and before.manifest == manifest and not before.ended:
            return self
        if before is not None and not before.ended:
            book = book.moved(name, Event.REPLACED, f"the plan names {version}")
        new = Update(version=version, manifest=manifest)
        return book.model_copy(update={"updates": {**book.updates, name: new}})

    def moved(self, name: str, event: Event, why: str = "") -> Book:
        """Something happened to the update of ``name``; its end, and its trial, are told."""
        before = self.updates[name]
        now = before.model_copy(update={"state": after(before.state, event), "why": why})
        book = self.model_copy(update={"updates": {**self.updates, name: now}})
        if now.state in (State.REFUSED, State.ROLLED_BACK):
            book = book.model_copy(update={"refused": {**book.refused, now.manifest: why or event.value}})
        return book._telling(name, now) if now.ended or now.state is State.TRIAL else book

    def _telling(self, name: str, update: Update) -> Book:
        number = self.numbers + 1
        told = Told(
            number=number,
            name=name,
            version=update.version,
            manifest=update.manifest,
            state=update.state,
            why=update.why,
        )
        return self.model_copy(update={"numbers": number, "told": (*self.told, told)[-_MOST_EVENTS:]})


def read_book(state: Path) -> Book:
    """The book in the agent's state folder; an empty one if there is none.

    Raises:
        LedgerError: it is damaged.
    """
    return read_kept(
        state / "updates.json",
        Book,
        "how far updates are",
        "check the disk; remove the file, and the plan is followed from its beginning",
    )


def write_book(state: Path, book: Book) -> None:
    """Replace it, in one move, once it is on the disk."""
    write_kept(state / "updates.json", book)


def untold(state: Path, last: int) -> tuple[Told, ...]:
    """What the ledger is still to record, in its order; on the disk for good by then.

    Args:
        state: the agent's state folder.
        last: number of the event that the ledger recorded last.

    Raises:
        LedgerError: the book is damaged.
    """
    found = tuple(one for one in read_book(state).told if one.number > last)
    if found:
        sync_folder(state)  # its writer may be about to: what the ledger says must not be taken back by a power cut
    return found
