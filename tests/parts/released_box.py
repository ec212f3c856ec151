"""A box that follows a folder of releases, and what may be asked of it wherever the power went; no agent runs."""

from __future__ import annotations

import random
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


WEIGHTS = random.Random(1).randbytes(80_000)


class Releases:
    """A folder of three releases, and plans for one box.

    Args:
        weights: each has some, of which all but the head are those of the one before; so there are deltas.
    """

    def __init__(self, folder: Path, weights: bool = False) -> None:
        self.keys, self.folder = Keys(), folder / "releases"
        Repository.create(self.folder, self.keys.roles, self.keys.all, now=NOW)
        self.plans: dict[str, bytes] = {}
        for number, (version, content) in enumerate(VERSIONS.items(), start=1):
            more = {"v.weights": WEIGHTS[:-5_000] + random.Random(number).randbytes(5_000)} if weights else {}
            made = make_bundle(folder / version, {"golden/x.npy": content, "graph.onnx": b"same", **more})
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
        """What happened, without notes on the way: of a delta that the power took nobody hears uncut."""
        return [(one.version, one.state) for one in self.told if one.state is not State.PLANNED]


@dataclass
class ReleasedBox:
    """The box: ``folder/state`` is its state folder; ``swap`` stands in the settings of its station."""

    folder: Path
    releases: Releases
    prove: Callable[[Bundle, object], Proven] = proves
    swap: Mapping[str, object] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def settings(self) -> AgentSettings:
        station = {"name": "cell", "bundle": f"release:{NAME}", "source": {"folder": "x"}, "swap": self.swap}
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

    def look_on(self, disputed: str) -> None:
        """The ledger says that what looks on saw so many parts, of each whether it was disputed: 0 or 1."""
        shadow = read_slots(self.state, NAME).shadow
        assert shadow is not None
        ledger, _ = open_ledger(self.state, Clock())
        to = {"digest": shadow.digest, "engine": "new"}
        entries = [Entry(Kind.SWAP, {"outcome": "looks on", "role": "challenger", "to": to}, station="cell")]
        for number, one in enumerate(disputed, start=1):
            told = {"number": number, "disputed": one == "1", "engine": "new"}
            entries.append(Entry(Kind.SHADOW, told, station="cell"))
        ledger.append(entries)
        ledger.close()

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
            "shadow": slots.shadow and slots.shadow.version,
            "previous": slots.previous and slots.previous.version,
            "updates": {name: (one.version, one.state.value) for name, one in book.updates.items()},
            "refused": sorted(book.refused),
            "plan": book.plan,
        }

    def check(self) -> str | None:
        """Version of what an agent starts on: it lies there whole, and the book says of nothing what is not so."""
        slots, book = read_slots(self.state, NAME), read_book(self.state)
        for one in (*slots.in_use, slots.previous):
            if one is not None:
                bundle = open_bundle(bundle_folder(self.state, one))
                assert bundle.manifest.content_digest == one.digest
        if (update := book.updates.get(NAME)) is not None:
            active, trial = (one and one.manifest for one in (slots.active, slots.trial))
            assert update.state is not State.COMMITTED or active == update.manifest, "committed, and not active"
            assert update.state is not State.SHADOWING or (slots.shadow and slots.shadow.manifest) == update.manifest
            assert update.state is not State.TRIAL or update.manifest in (trial, active), "on trial, and not there"
        for number, told in enumerate(reversed(book.told)):
            assert told.number == book.numbers - number
        return slots.active.version if slots.active is not None else None
