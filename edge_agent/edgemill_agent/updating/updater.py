"""Follow the plan for this device: each step durable before the next begins, and each done again without harm."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from edgemill_agent.ledger import LedgerView
from edgemill_agent.ledger.schema import check_known
from edgemill_agent.settings import AgentSettings, StationSettings
from edgemill_agent.updating.book import Book, Update, read_book, write_book
from edgemill_agent.updating.box import read_box
from edgemill_agent.updating.clearing import Clearing
from edgemill_agent.updating.collecting import Lying
from edgemill_agent.updating.looking_on import LookingOn
from edgemill_agent.updating.outcome import Outcome, last_told, outcome_of
from edgemill_agent.updating.proving import Proven, prove_bundle
from edgemill_agent.updating.reproving import needs_proof, proved_anew
from edgemill_agent.updating.slots import (
    MOST_STARTS,
    Installed,
    Reproof,
    Slots,
    bundle_folder,
    read_slots,
    write_slots,
)
from edgemill_agent.updating.staging import fetch_blobs, fetch_manifest, files_of, stage, understood
from edgemill_agent.updating.states import Event, State
from edgemill_core.bundle import Manifest, open_bundle
from edgemill_core.bundle.manifest import parse_manifest
from edgemill_core.durable import make_folder, sha256_bytes, sync_folder, sync_names, write_bytes
from edgemill_core.errors import (
    BundleError,
    EdgemillError,
    IdentityError,
    InputError,
    LedgerError,
    LinkError,
    TrustError,
)
from edgemill_core.ledger import Kind
from edgemill_link.trust.blobs import BlobStore
from edgemill_link.trust.by_delta import ByDelta
from edgemill_link.trust.client import refresh, trusted_now
from edgemill_link.trust.plan import MOST_PLAN_BYTES, PlannedRelease, believed_before, plan_digest, read_plan
from edgemill_link.trust.source import Source
from edgemill_link.trust.store import TrustStore
from edgemill_link.trust.trusted import Trusted

Tell = Callable[[str], None]
_PLAN = "plan"
_LOOK_S = 0.2
_ON_WAY = (State.PLANNED, State.VERIFIED, State.STAGED, State.PROVED)
"""Nothing of it is in the slots yet."""
_BECAME_ACTIVE = {State.TRIAL: Event.KEPT, State.PROVED: Event.FIRST}
"""What became of an update of which the slots say that it is the active one, by how far the book has it."""


def names_wanted(settings: AgentSettings) -> dict[str, tuple[StationSettings, ...]]:
    """The stations that run a release, by its name."""
    found: dict[str, tuple[StationSettings, ...]] = {}
    for station in settings.stations:
        if station.release is not None:
            found[station.release] = (*found.get(station.release, ()), station)
    return found


class Updater:
    """Updates of one box. A context manager: no two go on at once.

    Args:
        settings: of the agent; its stations need not have a bundle yet.
        clock: this box's, which may be wrong.
        tell: told what is going on.
        prove: tries a bundle on this box for the stations that are to run it; ``prove_bundle`` if not given.
        box: what this box is now.
        patience_s: how long to wait for the end of another one.

    Attributes:
        looking_on: how far the releases are that see first what others judge.

    Raises:
        InputError: another update is going on.
        LedgerError: a newer Edgemill wrote to the state folder.
    """

    def __init__(
        self,
        settings: AgentSettings,
        clock: Callable[[], datetime],
        tell: Tell = lambda _: None,
        prove: Callable[..., Proven] | None = None,
        box: Callable[[], dict[str, str]] = read_box,
        patience_s: float = 0.0,
    ) -> None:
        self._settings, self._clock, self._tell = settings, clock, tell
        self._prove_bundle = prove or partial(prove_bundle, plans=settings.plan_store)
        self._box = box
        self._state = settings.state
        self._wanted = names_wanted(settings)
        self._blobs = BlobStore(self._state / "blobs")
        self._trust = TrustStore(self._state / "trust")
        make_folder(self._state)
        self._lock = os.open(self._state / "updates.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._wait(time.monotonic() + patience_s)
        try:
            check_known(self._state)
            self._make_safe()
            self.book = read_book(self._state)
            used = last_told(self._state)
            if used > self.book.numbers:  # an older book, or a new one in the place of one that was lost
                self.book = self.book.model_copy(update={"numbers": used})
        except BaseException:
            os.close(self._lock)
            raise
        self.looking_on = LookingOn(
            self._state, self._wanted, lambda: self.book, self._moved, self._position, self._tell
        )

    def _wait(self, until: float) -> None:
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    os.close(self._lock)
                    raise InputError(
                        f"another update goes on in {self._state}",
                        expected="one at a time",
                        got="a process that holds updates.lock",
                        fix="wait for it",
                    ) from error
                time.sleep(_LOOK_S)

    def __enter__(self) -> Updater:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def follow(self, source: Source, root: bytes) -> Book:
        """Bring what is trusted up to date, read the plan for this device, and go as far with it as can be gone.

        Args:
            source: a server or a stick; need not be trusted.
            root: that came with the box; believed at the very first time alone.

        Returns:
            The book: of each name in the plan how far it is.

        Raises:
            Refused: metadata, plan, manifest or a blob is not to be believed; what was there stays, and other releases
                were followed.
            LinkError: the source cannot be reached, or there is no room; what came is kept.
        """
        self.settle(going_on=False)
        self._trust.begin(root)
        self._tell("asking what is signed")
        trusted = refresh(source, self._trust, self._clock)
        listed = {one.hashes["sha256"] for one in trusted.releases().values()}
        self.looking_on.keep_to(lambda _, manifest: manifest in listed, "it was withdrawn")
        self._give_up(lambda _, update: update.manifest not in listed, "it was withdrawn")
        data = source.read(f"plans/{self._settings.device.id}.json", MOST_PLAN_BYTES)
        now = trusted_now(trusted, self._clock)
        before = believed_before(trusted, self._trust.read(_PLAN), self.book.plan)
        plan = read_plan(trusted, data, self._settings.device.id, before, now)
        self._trust.keep(_PLAN, data)
        self._save(self.book.with_plan(plan.version, plan_digest(plan)))
        planned = {one.name: one.manifest for one in plan.releases}
        self.looking_on.keep_to(lambda name, manifest: planned.get(name) == manifest, "the plan names it no more")
        self._give_up(lambda name, _: name not in planned or name not in self._wanted, "no plan names it any more")
        self.settle()
        troubles = []
        for release in plan.releases:
            try:
                if release.name in self._wanted:
                    self._follow(source, trusted, release)
            except (BundleError, TrustError) as trouble:  # of this release; the others need not wait for it
                self._tell(f"{release.name} {release.version}: {trouble.what}")
                troubles.append(trouble)
        self._collect()
        if troubles:
            raise troubles[0]
        return self.book

    def follow_or_go_on(self, source: Source, root: bytes) -> None:
        """As ``follow``; where the source cannot be reached, what came before is proved and tried all the same.

        Raises:
            IdentityError, LinkError, Refused: see ``follow``.
        """
        try:
            self.follow(source, root)
        except (IdentityError, LinkError):
            self.go_on()
            raise

    def go_on(self, going_on: bool = True) -> Book:
        """Do what can be done without a server: lay out, prove and try what came, and see what became of trials.

        Args:
            going_on: see ``settle``; no server can be reached, or there is none.

        Raises:
            BundleError: a blob was damaged since; it is fetched again the next time, and other updates went on.
        """
        self.settle(going_on)
        troubles = []
        for name, update in self.book.updates.items():
            if name in self._wanted and update.state in (State.VERIFIED, State.STAGED, State.PROVED):
                try:
                    self._finish(name)
                except BundleError as trouble:
                    troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return self.book

    def prove_anew(self) -> Book:
        """Prove what is active once more where the box is another one than that on which it was proved."""
        box = self._box()
        for name in self._wanted:
            slots = read_slots(self._state, name)
            if needs_proof(slots, box):
                self._tell(f"{name}: the box has changed, so what judges is proved anew")
                if slots.previous is not None and slots.previous.again is Reproof.DOUBTED:
                    self._save(self.book.without_doubt(slots.previous))
                slots = proved_anew(slots, box, partial(self._prove_installed, name))
                write_slots(self._state, name, slots)
            if slots.active is not None:
                went_back = slots.active.again is Reproof.WENT_BACK
                self._save(self.book.proved_anew(name, slots.active, slots.previous if went_back else None))
        return self.book

    def _prove_installed(self, name: str, installed: Installed) -> Proven:
        try:
            bundle = open_bundle(bundle_folder(self._state, installed))
        except BundleError as error:
            return Proven(None, (f"{error.what} ({error.got})",))
        return self._prove_bundle(bundle, self._wanted[name], first=installed.runtime)

    def forget_refused(self) -> None:
        """Let what was refused before be tried again."""
        self._save(self.book.model_copy(update={"refused": {}}))

    def settle(self, going_on: bool = True) -> None:
        """Bring slots and book to what the ledger says of trials, and of releases that look on.

        Args:
            going_on: let a release that agrees go on trial; not before it is known that the plan still names it.
        """
        for name in self._wanted:
            self.looking_on.catch_up(name)
            self._catch_up(name)
            self.looking_on.settle(name, going_on)
            slots, update = read_slots(self._state, name), self.book.updates.get(name)
            outcome = self._outcome(name, slots) if slots.trial is not None else None
            if outcome is None:
                continue
            write_slots(self._state, name, settled(slots, outcome))
            if update is not None and update.state is State.TRIAL:
                self._moved(name, outcome.event, outcome.why)

    def started(self) -> None:
        """The agent is about to start: count it, and give up what was tried too often."""
        fleet = self._settings.fleet
        self.settle(going_on=fleet is None or fleet.url is None)  # else the plan may name something else by now
        for name in self._wanted:
            self.looking_on.started(name)
            slots = read_slots(self._state, name).started()
            if slots.trial is None:
                continue
            if slots.starts > MOST_STARTS:
                why = f"the agent was started {MOST_STARTS} times, and nothing decided it"
                write_slots(self._state, name, slots.rolled_back())
                update = self.book.updates.get(name)
                if update is not None and update.state is State.TRIAL:  # a book that was lost knows of none
                    self._moved(name, Event.STARTED_TOO_OFTEN, why)
            else:
                write_slots(self._state, name, slots)

    def _make_safe(self) -> None:
        """What is built on what an update left that was killed must not be taken away from below by a power cut."""
        for folder in ("slots", "trust"):
            sync_names(self._state / folder)
        sync_folder(self._state)

    def _outcome(self, name: str, slots: Slots) -> Outcome | None:
        assert slots.trial is not None
        try:
            view = LedgerView.open(self._state)
        except LedgerError:
            return None  # the agent was never started
        try:
            folder = str(bundle_folder(self._state, slots.trial))
            stations = frozenset(station.name for station in self._wanted[name])
            return outcome_of(view.of_kind(Kind.SWAP, after=slots.since), slots.trial.digest, folder, stations)
        finally:
            view.close()

    def _catch_up(self, name: str) -> None:
        """The book lags behind the slots where the power went between the two."""
        update, slots = self.book.updates.get(name), read_slots(self._state, name)
        if update is None or update.ended:
            return
        if slots.active is not None and slots.active.manifest == update.manifest and slots.trial is None:
            event = _BECAME_ACTIVE.get(update.state, Event.REPLACED)  # by a new proof, or an older book was put back
            self._moved(name, event, "it judges already" if event is Event.REPLACED else "")
        elif slots.trial is not None and slots.trial.manifest == update.manifest and update.state is State.PROVED:
            self._moved(name, Event.TAKEN_UP)
        elif slots.trial is None and update.state is State.TRIAL:
            self._moved(name, Event.FELL_BACK, self._why_back(name, update))

    def _why_back(self, name: str, update: Update) -> str:
        """The reason as the ledger has it."""
        try:
            outcome = self._outcome(name, Slots(trial=self._installed_of(name, update)))
        except BundleError:
            outcome = None
        return outcome.why if outcome is not None else "it was given up"

    def _give_up(self, over: Callable[[str, Update], bool], why: str) -> None:
        """What is on its way for nothing is not gone on with, and what came of it may be removed."""
        for name, update in self.book.updates.items():
            if update.state in _ON_WAY and over(name, update):
                self._moved(name, Event.REPLACED, why)

    def _follow(self, source: Source, trusted: Trusted, release: PlannedRelease) -> None:
        name, slots = release.name, read_slots(self._state, release.name)
        if slots.active is not None and slots.active.manifest == release.manifest and slots.trial is None:
            before = self.book.updates.get(name)
            if before is not None and not before.ended and before.manifest != release.manifest:
                self._moved(name, Event.REPLACED, f"the plan names {release.version}, which runs here")
            self._tell(f"{name} {release.version} is what runs here")
            return
        if release.manifest in self.book.refused:
            self._tell(f"{name} {release.version} was refused before: {self.book.refused[release.manifest]}")
            return
        if slots.trial is not None:
            self._tell(f"{name} {slots.trial.version} is on trial; {release.version} waits for its end")
            return
        self._save(self.book.begun(name, release.version, release.manifest))
        if self.book.updates[name].state is State.PLANNED:
            self._fetch(source, trusted, release)
        if self.book.updates[name].ended:
            return
        self._finish(name)

    def _fetch(self, source: Source, trusted: Trusted, release: PlannedRelease) -> None:
        content = fetch_manifest(source, release, trusted.releases()[release.path])
        try:
            manifest = understood(content, release)
        except BundleError as error:
            self._moved(release.name, Event.UNFIT, f"{error.what} (expected: {error.expected}; got: {error.got})"[:500])
            return
        write_bytes(self._manifest_file(release.name, release.manifest), content)
        came = 0

        def tell(more: int) -> None:
            nonlocal came
            came += more
            self._tell(f"{release.name} {release.version}: {came / 1e6:.1f} of {manifest.size_bytes / 1e6:.1f} MB")

        self._make_room(release.name, manifest)
        deltas = ByDelta(source, self._blobs, self._tell)
        try:
            fetch_blobs(source, self._blobs, manifest, deltas, tell)
        except EdgemillError:
            self._note_deltas(release.name, deltas)
            raise
        self._note_deltas(release.name, deltas)
        self._moved(release.name, Event.FETCHED)

    def _note_deltas(self, name: str, deltas: ByDelta) -> None:
        if deltas.failed:
            why = f"deltas that did not lead to their blob: {deltas.failed}; fetched as a whole"
            self._save(self.book.noted(name, why))

    def _make_room(self, name: str, manifest: Manifest) -> None:
        files = files_of(manifest)

        def tell(one: Lying) -> None:
            why = f"{one.name} {one.folder} makes room: the way back, or what kept parts were judged by"
            self._tell(why)
            self._save(self.book.noted(name, why))

        with self._clearing() as clearing:
            clearing.make_room(lambda: self._blobs.missing_bytes(files), tell)

    def _collect(self) -> None:
        with self._clearing() as clearing:
            for one in clearing.collect():
                self._tell(f"{one.name} {one.folder} was removed: nobody needs it any more")

    @contextmanager
    def _clearing(self) -> Iterator[Clearing]:
        """A disk that will not let go of what is old holds up no update."""
        try:
            yield Clearing(self._settings, self._blobs, self.book)
        except (OSError, LedgerError) as error:
            self._tell(f"what is old could not be removed: {error}")

    def _finish(self, name: str) -> None:
        """From verified blobs to a trial, or an end; what was damaged or lost on the way is had again the next time."""
        try:
            installed = self._installed_of(name, self.book.updates[name])
            if self.book.updates[name].state is State.PROVED:  # by a process that is no more
                open_bundle(bundle_folder(self._state, installed))
            if self.book.updates[name].state is State.VERIFIED:
                content = self._manifest(name, installed.manifest)
                stage(self._state, self._blobs, content, parse_manifest(content), installed)
                self._moved(name, Event.LAID_OUT)
            if self.book.updates[name].state is State.STAGED:
                self._prove(name, installed)
        except BundleError:
            self._again(name)
            raise
        if self.book.updates[name].state is State.PROVED:
            self._take_up(name, installed)

    def _prove(self, name: str, installed: Installed) -> None:
        self._tell(f"{name} {installed.version}: proving it by its golden samples")
        bundle, box = open_bundle(bundle_folder(self._state, installed)), self._box()
        found = self._prove_bundle(bundle, self._wanted[name])
        if found.runtime is None:
            self._moved(name, Event.DECIDES_OTHERWISE, "; ".join(found.why))
            return
        self._moved(name, Event.DECIDES, "; ".join(found.why), runtime=found.runtime, proved_on=box)

    def _take_up(self, name: str, installed: Installed) -> None:
        slots = read_slots(self._state, name)
        update = self.book.updates[name]
        found, why = {"runtime": update.runtime, "proved_on": update.proved_on}, update.why
        proved = installed.model_copy(update=found)
        if slots.active is None:
            write_slots(self._state, name, slots.first(proved))
            self._moved(name, Event.FIRST, why)
            return
        if self.looking_on.begin(name, proved):
            return
        write_slots(self._state, name, slots.on_trial(proved, self._position()))
        self._moved(name, Event.TAKEN_UP, why)

    def _position(self) -> int:
        try:
            view = LedgerView.open(self._state)
        except LedgerError:
            return 0
        try:
            return view.last()[0]
        finally:
            view.close()

    def _installed_of(self, name: str, update: Update) -> Installed:
        manifest = parse_manifest(self._manifest(name, update.manifest))
        return Installed(name=name, version=update.version, digest=manifest.content_digest, manifest=update.manifest)

    def _manifest(self, name: str, digest: str) -> bytes:
        file = self._manifest_file(name, digest)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise _lost(file, str(error)) from error
        if sha256_bytes(content) != digest:
            raise _lost(file, "other bytes")
        return content

    def _manifest_file(self, name: str, digest: str) -> Path:
        return self._state / "slots" / name / "manifests" / f"{digest}.json"

    def _again(self, name: str) -> None:
        """A blob or a bundle was damaged on the disk, or is gone: everything is looked for again."""
        updates = {**self.book.updates}
        updates[name] = updates[name].model_copy(update={"state": State.PLANNED})
        self._save(self.book.model_copy(update={"updates": updates}))

    def _moved(self, name: str, event: Event, why: str = "", **found: object) -> None:
        self._save(self.book.moved(name, event, why, **found))
        update = self.book.updates[name]
        self._tell(f"{name} {update.version}: {update.state.value}{f': {why}' if why else ''}")

    def _save(self, book: Book) -> None:
        if book != self.book:
            write_book(self._state, book)
            self.book = book


def settled(slots: Slots, outcome: Outcome) -> Slots:
    """The slots after a trial was decided."""
    return slots.committed() if outcome.event is Event.KEPT else slots.rolled_back()


def _lost(file: Path, got: str) -> BundleError:
    return BundleError(
        "the manifest of an update on its way was damaged or lost",
        expected=f"{file}, as it was signed for",
        got=got,
        fix="update once more: it is fetched again",
    )
