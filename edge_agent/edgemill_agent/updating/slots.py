"""Which bundle of a name judges, which one is tried, and which one is the way back: one small file, replaced whole."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgemill_agent.updating.kept_file import read_kept, write_kept
from edgemill_core.validation import Strict

PREFIX = "release:"
"""Before the name of a release, where agent.yaml names a bundle."""
MOST_STARTS = 3
"""An agent that is started so often before a trial is decided, or a part is shadowed, goes on without what is tried."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]


class Reproof(str, Enum):
    """What a new proof of the active bundle came to, after the box had changed."""

    HOLDS = "proved again"
    ANOTHER_RUNTIME = "another of its runtimes is proved"
    WENT_BACK = "the one before is proved, and judges again"
    DOUBTED = "nothing is proved here any more; it goes on"


class Installed(Strict):
    """A bundle that lies in its place.

    Attributes:
        digest: SHA-256 of its content.
        manifest: SHA-256 of its manifest, as it was signed for.
        runtime: that it was proved with here.
        proved_on: the box on which the latest proof was made, whatever it came to; see ``box.read_box``.
        again: what that proof came to, if it was a new one; ``None`` if it is that of the update.
        why: it was made, and what it found.
    """

    name: Name
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    manifest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    runtime: str | None = None
    proved_on: dict[str, str] = Field(default_factory=dict)
    again: Reproof | None = None
    why: str = ""

    @property
    def folder(self) -> str:
        """Of the bundle, among those of its name."""
        return f"{self.version}-{self.digest[:12]}"


class Slots(Strict):
    """The slots of one name.

    Attributes:
        active: what judges, and what an agent starts on.
        shadow: what looks on while the active one judges; never beside one on trial.
        trial: what is to take over.
        previous: what was active before.
        starts: of the agent, since there is something on trial; since ``shadow`` saw a part.
        seen: parts that ``shadow`` had seen when the agent was last started.
        since: position in the ledger behind which the outcome of trial or shadowing stands.
    """

    active: Installed | None = None
    shadow: Installed | None = None
    trial: Installed | None = None
    previous: Installed | None = None
    starts: Annotated[int, Field(ge=0)] = 0
    seen: Annotated[int, Field(ge=0)] = 0
    since: Annotated[int, Field(ge=0)] = 0

    @property
    def in_use(self) -> tuple[Installed, ...]:
        """What judges, is tried, or looks on."""
        return tuple(one for one in (self.active, self.trial, self.shadow) if one is not None)

    def looking_on(self, new: Installed, since: int) -> Slots:
        """With ``new`` to see what the active one judges."""
        return Slots(active=self.active, previous=self.previous, shadow=new, since=since)

    def on_trial(self, new: Installed, since: int) -> Slots:
        """With ``new`` to take over from the active one."""
        return Slots(active=self.active, previous=self.previous, trial=new, since=since)

    def first(self, new: Installed) -> Slots:
        """With ``new`` as the active one, where there is none."""
        assert self.active is None
        return Slots(active=new)

    def with_active(self, looked_at: Installed) -> Slots:
        """With more known of the active one."""
        return self.model_copy(update={"active": looked_at})

    def committed(self) -> Slots:
        """With what was tried as the active one."""
        assert self.trial is not None
        return Slots(active=self.trial, previous=self.active)

    def rolled_back(self) -> Slots:
        """Without what was tried, or looked on."""
        return Slots(active=self.active, previous=self.previous)

    def started(self, seen: int = 0) -> Slots:
        """The agent starts once more.

        Args:
            seen: parts that ``shadow`` has seen by now.
        """
        if self.trial is None and self.shadow is None:
            return self
        starts = 1 if self.shadow is not None and seen > self.seen else self.starts + 1
        return self.model_copy(update={"starts": starts, "seen": seen})

    def now(self, trial: bool) -> Installed | None:
        """What a station is to run: the active one, or with ``trial`` what is tried, if anything is."""
        return (self.trial if trial else None) or self.active


def home(state: Path, name: str) -> Path:
    """Where everything of a name lies."""
    return state / "slots" / name


def names_of(state: Path, bundles: Iterable[Path]) -> list[str]:
    """The names of which these are installed ones, each once; a folder that somebody named is of none."""
    slots = state / "slots"
    return sorted({one.relative_to(slots).parts[0] for one in bundles if slots in one.parents})


def bundle_folder(state: Path, installed: Installed) -> Path:
    """Where an installed bundle lies."""
    return home(state, installed.name) / "bundles" / installed.folder


def read_slots(state: Path, name: str) -> Slots:
    """The slots of ``name``; empty if nothing of it was ever installed.

    Raises:
        LedgerError: the file is damaged.
    """
    return read_kept(
        home(state, name) / "slots.json",
        Slots,
        f"which bundle of {name} is installed",
        "check the disk; remove the file, and `edgemill agent update` installs what the plan names again",
    )


def write_slots(state: Path, name: str, slots: Slots) -> None:
    """Replace the file, in one move, once it is on the disk."""
    write_kept(home(state, name) / "slots.json", slots)
