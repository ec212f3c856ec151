"""Take off the disk what nobody needs any more, in an order that leaves nothing half there under a name that counts.

A bundle is moved aside in one step before its files go; a slot that names it is emptied before that. A cut at any
point leaves what the next one removes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edgemill_agent.ledger import LedgerView
from edgemill_agent.ledger.replayable import JudgedBy, judged_by
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import Book
from edgemill_agent.updating.collecting import Lying, Needs, blobs_to_go, given_up, unneeded
from edgemill_agent.updating.slots import home, read_slots, write_slots
from edgemill_agent.updating.staging import files_of
from edgemill_core.bundle.manifest import Manifest, parse_manifest
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import sync_folder
from edgemill_core.errors import BundleError, LedgerError
from edgemill_link.trust.blobs import BlobStore

_ASIDE = ".new."
"""Before the name of what is no bundle yet, or none any more; staging removes such, too."""


class Clearing:
    """What lies in a state folder, and what is needed of it. Whoever uses it holds the lock of updates.

    Args:
        settings: read for ``names``.
        blobs: in the state folder.
        book: how far updates are.
    """

    def __init__(self, settings: AgentSettings, blobs: BlobStore, book: Book) -> None:
        self._state, self._blobs = settings.state, blobs
        self._named = _named(settings)
        self._on_way = [(name, one.manifest) for name, one in book.updates.items() if not one.ended]

    def collect(self) -> list[Lying]:
        """Remove what nobody needs; gives the bundles among it."""
        lying = self._lying()
        gone = unneeded(lying, self._needs(lying, replay_of_previous=False))
        self._remove(gone)
        return gone

    def make_room(self, missing: Callable[[], int], tell: Callable[[Lying], None]) -> None:
        """Remove what nobody needs if so many bytes have no room, and if that is not enough, what was kept until then.

        Nothing is removed in vain: where all that may go would not be enough, what is needed stays.

        Args:
            missing: that are yet to come.
            tell: hears of each bundle that was needed, before it goes.
        """
        if self._blobs.has_room(missing()):
            return
        self.collect()
        short = self._blobs.short_of(missing())
        if short <= 0:
            return
        lying = self._lying()
        gone = given_up(lying, self._needs(lying, replay_of_previous=True), short)
        for one in gone:
            tell(one)
        self._remove(gone)

    def _needs(self, lying: Sequence[Lying], replay_of_previous: bool) -> Needs:
        """What is needed of ``lying``; records are looked through only for bundles of which nothing else decides."""
        own = self._own_needs()
        open_ones = {one.short for one in lying if not own.at_once(one) and (replay_of_previous or not own.later(one))}
        if not open_ones:
            return own
        told = self._judged_by(lambda digest: digest[:12] in open_ones)
        if told is None:
            return replace(own, replay=None)
        return replace(own, now=own.now | told.last, replay=told.replay)

    def _own_needs(self) -> Needs:
        """As slots, settings and the book say."""
        now: set[str] = set()
        previous: set[str] = set()
        coming: set[str] = set()
        for name in self._names():
            slots = read_slots(self._state, name)
            now |= {one.digest for one in slots.in_use}
            previous |= {one.digest for one in (slots.previous,) if one is not None}
        for name, digest in self._on_way:
            manifest = _manifest(home(self._state, name) / "manifests" / f"{digest}.json")
            if manifest is not None:
                now.add(manifest.content_digest)
                coming |= files_of(manifest).keys()
        return Needs(frozenset(now), self._named, frozenset(previous), coming=frozenset(coming))

    def _judged_by(self, asked: Callable[[str], bool]) -> JudgedBy | None:
        """``None`` where there is a ledger that cannot be read: then nobody can say."""
        if not (self._state / "ledger.db").exists():
            return JudgedBy(frozenset(), frozenset())
        try:
            view = LedgerView.open(self._state)
        except LedgerError:
            return None
        try:
            return judged_by(view, asked)
        except (sqlite3.Error, ValueError):
            return None
        finally:
            view.close()

    def _lying(self) -> list[Lying]:
        return [_look(place) for name in self._names() for place in _folders(home(self._state, name) / "bundles")]

    def _names(self) -> list[str]:
        return [place.name for place in _folders(self._state / "slots")]

    def _remove(self, gone: list[Lying]) -> None:
        for one in gone:
            self._forget_way_back(one)
            bundles = home(self._state, one.name) / "bundles"
            aside = bundles / f"{_ASIDE}{one.folder}"
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(bundles / one.folder, aside)
            sync_folder(bundles)
        for name in self._names():
            self._sweep(home(self._state, name))
        for left in self._state.glob(".updates.json.*"):
            left.unlink()
        stay, needs = self._lying(), self._own_needs()
        for folder in _folders(self._blobs.folder):
            for file in blobs_to_go([path.name for path in folder.iterdir()], stay, needs):
                (folder / file).unlink()

    def _forget_way_back(self, one: Lying) -> None:
        slots = read_slots(self._state, one.name)
        if slots.previous is not None and slots.previous.folder == one.folder:
            write_slots(self._state, one.name, slots.model_copy(update={"previous": None}))

    def _sweep(self, place: Path) -> None:
        """What was moved aside, or never got its name; and manifests of updates that ended."""
        for left in (place / "bundles").glob(f"{_ASIDE}*"):
            shutil.rmtree(left)
        wanted = {digest for name, digest in self._on_way if name == place.name}
        slots = read_slots(self._state, place.name)
        wanted |= {one.manifest for one in (*slots.in_use, slots.previous) if one is not None}
        for file in (place / "manifests").glob("*"):
            if file.name.startswith(".") or file.stem not in wanted:
                file.unlink()
        for file in place.glob(".slots.json.*"):
            file.unlink()


def _named(settings: AgentSettings) -> frozenset[tuple[str, str]]:
    """Bundles that a station, a challenger or a product names by their place."""
    root = (settings.state / "slots").resolve()
    found = set()
    for station in settings.stations:
        choices = [station.engine, *station.products.values(), *([station.shadow] if station.shadow else [])]
        for path in (one.bundle.resolve() for one in choices if station.release is None or one is not choices[0]):
            if root in path.parents:
                name, _, folder, *_ = (*path.relative_to(root).parts, "", "", "")
                found.add((name, folder))
    return frozenset(found)


def _folders(place: Path) -> Iterator[Path]:
    found = sorted(place.iterdir()) if place.is_dir() else []
    return (one for one in found if one.is_dir() and not one.name.startswith("."))


def _look(place: Path) -> Lying:
    manifest = _manifest(place / MANIFEST)
    blobs = files_of(manifest) if manifest is not None else None
    return Lying(place.parent.parent.name, place.name, blobs, place.stat().st_mtime_ns)


def _manifest(file: Path) -> Manifest | None:
    try:
        return parse_manifest(file.read_bytes())
    except (OSError, BundleError):
        return None
