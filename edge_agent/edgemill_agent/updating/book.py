"""How far updates are, and what became of them: one file, replaced whole, so that it never says two things."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgemill_agent.updating.kept_file import read_kept, write_kept
from edgemill_agent.updating.slots import Installed, Reproof
from edgemill_agent.updating.states import ENDS, TABLE, Event, State, after
from edgemill_core.durable import canonical_json, sha256_bytes, sync_folder
from edgemill_core.validation import Strict

_MOST_EVENTS = 200
_TOLD = (State.SHADOWING, State.TRIAL)
"""States that the ledger hears of besides the ends."""


class Update(Strict):
    """An update of one name.

    Attributes:
        version: of the release.
        manifest: SHA-256 of its manifest.
        why: what led to its end, in words.
        runtime: that it was proved with; ``None`` as long as it is not.
        proved_on: the box that it was proved on.
    """

    version: str
    manifest: str
    state: State = State.PLANNED
    why: str = ""
    runtime: str | None = None
    proved_on: dict[str, str] = Field(default_factory=dict)

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
    state: State | Reproof
    why: str = ""


class Book(Strict):
    """All of it.

    Attributes:
        plan: version and digest of the plan that was believed last.
        updates: by name, the latest.
        told: the latest events, for the ledger.
        refused: manifests that will not be tried again, with the reason.
        proofs: by name, which new proof of the active bundle was told last.
    """

    plan: tuple[int, str] | None = None
    updates: dict[str, Update] = Field(default_factory=dict)
    told: tuple[Told, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)
    proofs: dict[str, str] = Field(default_factory=dict)
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

    def moved(self, name: str, event: Event, why: str = "", **found: object) -> Book:
        """Something happened to the update of ``name``; its end, its trial and that it looks on are told.

        Args:
            found: more that is known of it now, by the attributes of ``Update``.
        """
        before = self.updates[name]
        now = before.model_copy(update={"state": after(before.state, event), "why": why, **found})
        book = self.model_copy(update={"updates": {**self.updates, name: now}})
        if now.state in (State.REFUSED, State.ROLLED_BACK):
            book = book.model_copy(update={"refused": {**book.refused, now.manifest: why or event.value}})
        return book._telling(name, now, now.state) if now.ended or now.state in _TOLD else book

    def noted(self, name: str, why: str) -> Book:
        """Something that the ledger is to hear of, and that leaves the update of ``name`` as far as it is."""
        update = self.updates[name]
        return self._telling(name, update.model_copy(update={"why": why}), update.state)

    def proved_anew(self, name: str, active: Installed, doubted: Installed | None) -> Book:
        """The active bundle of ``name`` was proved anew, which is told once.

        Args:
            doubted: the bundle that was active before, if ``active`` took its place: it is not installed again as long
                as the box is what it is.
        """
        told = sha256_bytes(canonical_json(active.model_dump(mode="json")))
        if active.again is None or self.proofs.get(name) == told:
            return self
        book = self.model_copy(update={"proofs": {**self.proofs, name: told}})
        if doubted is not None:
            before = book.updates.get(name)
            if before is not None and Event.REPLACED in TABLE[before.state]:
                book = book.moved(name, Event.REPLACED, f"{active.version} judges again")
            now = Update(version=active.version, manifest=active.manifest, state=State.COMMITTED, why=active.why)
            refused = {**book.refused, doubted.manifest: doubted.why}
            book = book.model_copy(update={"updates": {**book.updates, name: now}, "refused": refused})
        return book._telling(name, active, active.again)

    def without_doubt(self, doubted: Installed) -> Book:
        """The box is another one: what was not proved on the one before may be tried again."""
        refused = {manifest: why for manifest, why in self.refused.items() if manifest != doubted.manifest}
        return self.model_copy(update={"refused": refused})

    def _telling(self, name: str, one: Update | Installed, state: State | Reproof) -> Book:
        number = self.numbers + 1
        told = Told(number=number, name=name, version=one.version, manifest=one.manifest, state=state, why=one.why)
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
