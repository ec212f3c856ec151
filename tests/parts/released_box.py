"""A box that follows a folder of releases, and what may be asked of it wherever the power went; no agent runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from release_keys import NOW, Keys
from small_bundle import make_bundle

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, Ledger, LedgerView
from edgemill_agent.ledger.store import open_ledger
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import Told, read_book, untold
from edgemill_agent.updating.proving import Proven
from edgemill_agent.updating.slots import bundle_folder, read_slots
from edgemill_agent.updating.states import State
from edgemill_agent.updating.updater import Updater
from edgemill_core.bundle import Bundle, open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan
from edgemill_link.trust.source import FolderSource

NAME = "b"
VERSIONS = {"1.0.0": b"old", "1.1.0": b"new", "1.2.0": b"newer"}


def proves(_: Bundle, __: object) -> Proven:
    """Takes every bundle."""
    return Proven("onnxruntime", ())


def refuses(_: Bundle, __: object) -> Proven:
    """Takes none."""
    return Proven(None, ("it decides otherwise",))


class Releases:
    """A folder of three releases, and plans for one box."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.folder = Keys(), folder / "releases"
        Repository.create(self.folder, self.keys.roles, self.keys.all, now=NOW)
        self.plans: dict[str, bytes] = {}
        for number, (version, content) in enumerate(VERSIONS.items(), start=1):
            made = make_bundle(folder / version, {"golden/x.npy": content, "graph.onnx": b"same"})
            manifest = made.manifest.model_copy(update={"version": version})
            bundle = write_bundle(made.folder, manifest, folder / f"made-{version}")
            digest = publish(Repository(self.folder, NOW), bundle, self.keys.all).manifest
            one = PlannedRelease(name=NAME, version=version, manifest=digest)
            plan = Plan(device="box", version=number, expires=NOW + timedelta(days=7), releases=(one,))
            self.plans[version] = sign_plan(plan, [self.keys.plans])
        (self.folder / "plans").mkdir()
        self.root = (self.folder / "metadata/1.root.json").read_bytes()

    def plan(self, version: str) -> None:
        """What the box is to run from now on."""
        (self.folder / "plans" / "box.json").write_bytes(self.plans[version])


@dataclass
class ToldLedger:
    """What the line process would have recorded of updates, with its cursor: each commit is whole or not there."""

    cursor: int = 0
    told: list[Told] = field(default_factory=list)

    def look(self, state: Path) -> None:
        """As the line does whenever it is started, or hung up."""
        for one in untold(state, self.cursor):
            self.told.append(one)
            self.cursor = one.number

    @property
    def events(self) -> list[tuple[str, State]]:
        return [(one.version, one.state) for one in self.told]


@dataclass
class ReleasedBox:
    """The box: ``folder/state`` is its state folder."""

    folder: Path
    releases: Releases
    prove: Callable[[Bundle, object], Proven] = proves

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def settings(self) -> AgentSettings:
        station = {"name": "cell", "bundle": f"release:{NAME}", "source": {"folder": "x"}}
        made = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station]})
        return made.model_copy(update={"state": self.state})

    def updater(self) -> Updater:
        return Updater(self.settings(), lambda: NOW, prove=self.prove)

    def follow(self) -> None:
        with self.updater() as updater:
            updater.follow(FolderSource(self.releases.folder), self.releases.root)

    def settle(self) -> None:
        with self.updater() as updater:
            updater.settle()

    def start(self) -> None:
        """What an agent does before it starts."""
        with self.updater() as updater:
            updater.started()

    def decide(self, outcome: str) -> None:
        """The ledger says this of the trial, as the line would have recorded it."""
        ledger, _ = open_ledger(self.state, Clock())
        self.record_outcome(ledger, outcome)
        ledger.close()

    def record_outcome(self, ledger: Ledger, outcome: str) -> None:
        """The same, in any ledger."""
        trial = read_slots(self.state, NAME).trial
        assert trial is not None
        side = "from" if outcome == "fell back" else "to"
        body = {"outcome": outcome, "role": "engine", side: {"digest": trial.digest}, "why": "so it was"}
        ledger.append([Entry(Kind.SWAP, body, station="cell")])

    def tell_ledger(self) -> list[str]:
        """Have the ledger record what it was not told yet, as the line does; all that it was told then."""
        ledger, opened = open_ledger(self.state, Clock())
        self.tell(ledger, int(opened.cursors.get("", "0")))
        ledger.close()
        view = LedgerView.open(self.state)
        try:
            return [record.payload.content()["state"] for record in view.of_kind(Kind.UPDATE) if record.payload]
        finally:
            view.close()

    def tell(self, ledger: Ledger, last: int) -> None:
        """Record what comes behind the event of this number."""
        for one in untold(self.state, last):
            body = one.model_dump(mode="json", exclude={"number"})
            ledger.append([Entry(Kind.UPDATE, body, item=str(one.number))])

    def stands(self) -> Mapping[str, object]:
        """What judges, what is tried, how far updates are: as far as it must not depend on a cut."""
        slots, book = read_slots(self.state, NAME), read_book(self.state)
        return {
            "active": slots.active and slots.active.version,
            "trial": slots.trial and slots.trial.version,
            "previous": slots.previous and slots.previous.version,
            "updates": {name: (one.version, one.state.value) for name, one in book.updates.items()},
            "refused": sorted(book.refused),
            "plan": book.plan,
        }

    def check(self) -> str | None:
        """Version of what an agent starts on: it lies there whole, and the book says of nothing what is not so."""
        slots, book = read_slots(self.state, NAME), read_book(self.state)
        for one in (slots.active, slots.trial):
            if one is not None:
                bundle = open_bundle(bundle_folder(self.state, one))
                assert bundle.manifest.content_digest == one.digest
        if (update := book.updates.get(NAME)) is not None:
            active, trial = (one and one.manifest for one in (slots.active, slots.trial))
            assert update.state is not State.COMMITTED or active == update.manifest, "committed, and not active"
            assert update.state is not State.TRIAL or update.manifest in (trial, active), "on trial, and not there"
        for number, told in enumerate(reversed(book.told)):
            assert told.number == book.numbers - number
        return slots.active.version if slots.active is not None else None
