"""What is old goes, what anybody needs stays, and no cut leaves half of it under a name that counts."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cuts import killed_before
from hypothesis import given, settings
from hypothesis import strategies as some
from small_bundle import make_bundle

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, LedgerView, open_ledger
from edgemill_agent.ledger.replayable import JudgedBy, judged_by
from edgemill_agent.settings import AgentSettings
from edgemill_agent.updating.book import Book
from edgemill_agent.updating.clearing import Clearing
from edgemill_agent.updating.collecting import Lying, Needs, blobs_to_go, freed, given_up, kept_blobs, unneeded
from edgemill_agent.updating.slots import Installed, Slots, bundle_folder, home, read_slots, write_slots
from edgemill_agent.updating.staging import files_of, stage
from edgemill_core.bundle import open_bundle
from edgemill_core.bundle.manifest import parse_manifest
from edgemill_core.bundle.store import MANIFEST
from edgemill_core.durable import sha256_bytes, write_bytes
from edgemill_core.ledger import Kind
from edgemill_link.trust.blobs import SPARE_BYTES, BlobStore

EVERY = 1 if os.environ.get("EDGEMILL_EVERY_CUT") else 11
"""Of the calls before which a box is killed."""

# --- the decision ---

DIGESTS = [sha256_bytes(bytes([number])) for number in range(6)]
BLOBS = [sha256_bytes(b"blob%d" % number) for number in range(5)]
SOME = some.sets(some.sampled_from(DIGESTS)).map(frozenset)


@some.composite
def states(draw: some.DrawFn) -> tuple[list[Lying], Needs]:
    lying = [
        Lying(
            "tiny",
            f"1.{number}.0-{digest[:12]}",
            draw(some.none() | some.dictionaries(some.sampled_from(BLOBS), some.just(10))),
            draw(some.integers(0, 5)),
        )
        for number, digest in enumerate(draw(SOME))
    ]
    named = draw(some.sets(some.sampled_from([("tiny", one.folder) for one in lying]))) if lying else set()
    now = draw(SOME)
    coming = draw(some.sets(some.sampled_from(BLOBS)))
    replay = draw(some.none() | SOME)
    return lying, Needs(now, frozenset(named), draw(SOME) - now, replay, frozenset(coming))


def needed(one: Lying, needs: Needs) -> bool:
    said = [*needs.now, *needs.previous, *(needs.replay or ())]
    named = (one.name, one.folder) in needs.named
    return named or needs.replay is None or any(one.folder.endswith(digest[:12]) for digest in said)


@settings(max_examples=50, deadline=None)
@given(states())
def test_what_nobody_needs_goes_and_nothing_else(state: tuple[list[Lying], Needs]) -> None:
    lying, needs = state
    assert unneeded(lying, needs) == [one for one in lying if not needed(one, needs)]


@settings(max_examples=50, deadline=None)
@given(states(), some.integers(1, 60))
def test_what_is_given_up_is_no_more_than_it_takes_and_never_what_judges(
    state: tuple[list[Lying], Needs], short: int
) -> None:
    lying, needs = state
    gone = given_up(lying, needs, short)
    stay = [one for one in lying if one not in gone]
    for one in gone:
        assert (one.name, one.folder) not in needs.named
        assert not any(one.folder.endswith(digest[:12]) for digest in needs.now)
    if gone:
        assert freed(gone, stay, needs) >= short > freed(gone[:-1], [*stay, gone[-1]], needs)
    else:
        may_go = [one for one in lying if not needs.at_once(one)]
        assert freed(may_go, [one for one in lying if needs.at_once(one)], needs) < short


def lies(number: int, made: int, *blobs: int, size: int = 10) -> Lying:
    return Lying("tiny", f"1.{number}.0-{DIGESTS[number][:12]}", {BLOBS[one]: size for one in blobs}, made)


def test_the_way_back_goes_before_what_records_need_and_of_those_the_oldest() -> None:
    lying = [lies(0, 9, 0), lies(1, 1, 1), lies(2, 2, 2), lies(3, 3, 3)]
    needs = Needs(frozenset(), previous=frozenset(DIGESTS[3:4]), replay=frozenset(DIGESTS[:3]))
    assert [given_up(lying, needs, short) for short in (10, 20, 30, 40, 41)] == [
        [lying[3]],
        [lying[3], lying[1]],
        [lying[3], lying[1], lying[2]],
        [lying[3], lying[1], lying[2], lying[0]],
        [],
    ]


def test_a_shared_file_is_not_free_until_the_last_bundle_that_has_it_goes() -> None:
    lying = [lies(0, 0, 0, 1), lies(1, 1, 1, 2)]
    needs = Needs(frozenset(), replay=frozenset(DIGESTS[:2]))
    assert given_up(lying, needs, 10) == lying[:1]
    assert given_up(lying, needs, 11) == lying
    assert given_up(lying, Needs(frozenset(), replay=needs.replay, coming=frozenset(BLOBS[1:2])), 21) == []


@settings(max_examples=50, deadline=None)
@given(states(), some.lists(some.sampled_from([f"{blob}{end}" for blob in BLOBS for end in ("", ".part", ".x.made")])))
def test_of_blobs_stay_those_of_bundles_and_what_is_coming(state: tuple[list[Lying], Needs], files: list[str]) -> None:
    lying, needs = state
    kept, gone = kept_blobs(lying, needs), blobs_to_go(files, lying, needs)
    if kept is None:
        assert gone == []
        return
    for file in files:
        if len(file) == 64:
            assert (file in gone) == (file not in kept)
        else:
            assert (file in gone) == (file[:64] not in needs.coming or file[:64] in files)


def test_what_is_no_blob_of_ours_is_left_alone() -> None:
    files = ["README", "0" * 63, "g" * 64, f".{BLOBS[0]}.plain.abcdefgh"]
    assert blobs_to_go(files, [], Needs(frozenset())) == files[3:]


# --- what the ledger says ---


def start(station: str, engine: str | None, digest: str) -> Entry:
    return Entry(Kind.START, {"digest": digest, **({"engine": engine} if engine else {})}, station=station)


def verdict(number: int, station: str, engine: str | None, **more: Any) -> Entry:
    told = {"engine_ms": 1.0, **({"engine": engine} if engine else {}), **more}
    return Entry(Kind.VERDICT, told, number, station, "pass", f"{number}")


def frame(number: int, station: str) -> Entry:
    file = f"evidence/{station}/{number:012d}.png"
    return Entry(Kind.EVIDENCE, {"file": file}, station=station, file=file, file_bytes=5)


def judged(state: Path, *entries: Entry) -> JudgedBy:
    ledger, _ = open_ledger(state, Clock())
    if entries:
        ledger.append(entries)
    ledger.close()
    view = LedgerView.open(state)
    try:
        return judged_by(view, lambda digest: digest != "nobody asked")
    finally:
        view.close()


def test_a_bundle_is_needed_while_a_part_that_it_judged_can_be_judged_again(tmp_path: Path) -> None:
    told = judged(
        tmp_path,
        start("a", "e1", "one"),
        start("b", "e1", "other"),
        verdict(1, "a", "e1"),
        frame(1, "a"),
        start("a", "e2", "two"),
        verdict(2, "a", "e2"),  # its frame was not kept
        start("a", "e3", "three"),
        verdict(3, "a", "e1"),
        start("b", "e4", "four"),
        verdict(4, "b", "e4", fields={"x": 1.0}),
        Entry(Kind.VERDICT, {"fields": {"x": 1.0}}, 5, "a", "reject", "5"),  # late: no engine said anything
        frame(3, "a"),
    )
    assert told == JudgedBy(frozenset({"three", "four"}), frozenset({"one", "four"}))


def test_only_what_is_asked_for_is_looked_for(tmp_path: Path) -> None:
    entries = (start("a", "e1", "nobody asked"), verdict(1, "a", "e1"), frame(1, "a"))
    assert judged(tmp_path, *entries) == JudgedBy(frozenset({"nobody asked"}), frozenset())


def test_frames_of_a_station_whose_name_begins_alike_are_another_station_s(tmp_path: Path) -> None:
    entries = (start("a", "e1", "one"), start("a.b", "e1", "two"), verdict(1, "a.b", "e1"), frame(1, "a.b"))
    assert judged(tmp_path, *entries).replay == {"two"}


def test_where_the_engine_is_not_said_every_bundle_of_the_station_is_needed(tmp_path: Path) -> None:
    entries = (start("a", None, "one"), start("a", None, "two"), start("b", None, "three"), verdict(1, "a", None))
    assert judged(tmp_path, *entries, frame(1, "a")).replay == {"one", "two"}


# --- the disk ---


class Disk:
    """A state folder with some bundles of one name, laid out as an update does it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.blobs = BlobStore(self.state / "blobs")
        self.made: dict[str, Installed] = {}
        self.book = Book()
        self.more: dict[str, Any] = {}

    def lay(self, version: str, own: bytes, staged: bool = True) -> Installed:
        made = make_bundle(self.folder / version, {"own.weights": own, "shared.weights": b"shared" * 100})
        manifest = made.manifest.model_copy(update={"version": version, "name": "tiny"})
        content = manifest.model_dump_json().encode()
        files = {**manifest.records, **manifest.files}
        for path, entry in files.items():
            place = self.blobs.path(entry.sha256)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                shutil.copy(made.folder / path, place)
        digest = sha256_bytes(content)
        one = Installed(name="tiny", version=version, digest=manifest.content_digest, manifest=digest)
        write_bytes(home(self.state, "tiny") / "manifests" / f"{digest}.json", content)
        write_bytes(home(self.state, "tiny") / "manifests" / f"{digest}.runtime", b"onnxruntime")
        if staged:
            stage(self.state, self.blobs, content, parse_manifest(content), one)
        self.made[version] = one
        return one

    def coming(self, version: str) -> None:
        one = self.made[version]
        self.book = self.book.begun("tiny", version, one.manifest)

    def slots(self, **versions: str) -> None:
        write_slots(self.state, "tiny", Slots(**{slot: self.made[version] for slot, version in versions.items()}))

    def clearing(self) -> Clearing:
        station = {"name": "cell", "bundle": "release:tiny", "source": {"folder": "x"}, **self.more}
        told = AgentSettings.model_validate({"device": {"id": "box"}, "stations": [station]})
        return Clearing(told.model_copy(update={"state": self.state}), self.blobs, self.book)

    def bundles(self) -> list[str]:
        folder = home(self.state, "tiny") / "bundles"
        for place in folder.iterdir():
            assert not place.name.startswith(".")
            open_bundle(place)
        return sorted(place.name.partition("-")[0] for place in folder.iterdir())

    def check_blobs(self, *coming: str) -> None:
        """Of every bundle there, and of what is coming, all blobs; and nothing else."""
        manifests = [path / MANIFEST for path in (home(self.state, "tiny") / "bundles").iterdir()]
        manifests += [home(self.state, "tiny") / "manifests" / f"{self.made[one].manifest}.json" for one in coming]
        wanted = {digest for file in manifests for digest in files_of(parse_manifest(file.read_bytes()))}
        assert {path.name for path in self.blobs.folder.rglob("*") if path.is_file()} == wanted


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    made = Disk(tmp_path_factory.mktemp("laid"))
    for number in range(5):
        made.lay(f"1.{number}.0", b"%d" % number * 1000)
    made.slots(active="1.2.0", previous="1.1.0", trial="1.3.0")
    return made


@pytest.fixture
def disk(tmp_path: Path, laid: Disk) -> Disk:
    shutil.copytree(laid.state, tmp_path / "state")
    made = Disk(tmp_path)
    made.made = dict(laid.made)
    return made


def test_old_bundles_go_with_their_blobs_and_manifests(disk: Disk) -> None:
    disk.lay("1.9.0", b"9" * 1000, staged=False)
    disk.coming("1.9.0")
    part = disk.blobs.part(disk.made["1.0.0"].digest)
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"x")
    (home(disk.state, "tiny") / "bundles" / ".new.left").mkdir()
    assert [one.folder[:5] for one in disk.clearing().collect()] == ["1.0.0", "1.4.0"]
    assert disk.bundles() == ["1.1.0", "1.2.0", "1.3.0"]
    disk.check_blobs("1.9.0")
    kept = {disk.made[version].manifest for version in ("1.1.0", "1.2.0", "1.3.0", "1.9.0")}
    assert {file.stem for file in (home(disk.state, "tiny") / "manifests").iterdir()} == kept
    assert disk.clearing().collect() == []


def test_what_an_update_on_its_way_laid_out_stays_and_goes_when_it_ended(disk: Disk) -> None:
    disk.coming("1.4.0")
    disk.clearing().collect()
    assert disk.bundles() == ["1.1.0", "1.2.0", "1.3.0", "1.4.0"]
    disk.book = Book()
    disk.clearing().collect()
    assert disk.bundles() == ["1.1.0", "1.2.0", "1.3.0"]


def test_what_the_settings_name_by_its_place_stays(disk: Disk) -> None:
    folders = {version: bundle_folder(disk.state, one) for version, one in disk.made.items()}
    disk.more = {"shadow": {"bundle": folders["1.0.0"]}, "products": {7: {"bundle": folders["1.4.0"]}}}
    disk.clearing().collect()
    assert disk.bundles() == ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"]
    disk.more = {"bundle": folders["1.0.0"]}
    disk.clearing().collect()
    assert disk.bundles() == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]


def test_what_kept_parts_were_judged_by_stays_and_so_does_what_was_started_last(disk: Disk) -> None:
    judged(
        disk.state,
        start("cell", "e0", disk.made["1.0.0"].digest),
        verdict(1, "cell", "e0"),
        frame(1, "cell"),
        start("cell", "e4", disk.made["1.4.0"].digest),
    )
    assert disk.clearing().collect() == []


@pytest.mark.parametrize("damage", ["no database", "no JSON", "a table less"])
def test_a_ledger_that_cannot_be_read_keeps_everything(disk: Disk, damage: str) -> None:
    judged(disk.state, start("cell", "e0", disk.made["1.0.0"].digest), verdict(1, "cell", "e0"))
    if damage == "no database":
        (disk.state / "ledger.db").write_bytes(b"no database")
    else:
        connection = sqlite3.connect(disk.state / "ledger.db")
        broken = """UPDATE payload SET body = '{"engine_ms"'"""
        connection.execute(broken if damage == "no JSON" else "DROP TABLE evidence")
        connection.commit()
        connection.close()
    assert disk.clearing().collect() == []


def test_a_bundle_whose_manifest_cannot_be_read_keeps_all_blobs(disk: Disk) -> None:
    (bundle_folder(disk.state, disk.made["1.2.0"]) / MANIFEST).unlink()
    before = {path for path in disk.blobs.folder.rglob("*") if path.is_file()}
    disk.clearing().collect()
    assert {path for path in disk.blobs.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("short", "gone"),
    [(0, []), (1, []), (1500, ["1.1.0"]), (2500, ["1.1.0", "1.0.0"]), (99_999, [])],
)
def test_where_there_is_no_room_the_way_back_goes_then_what_records_need(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, short: int, gone: list[str]
) -> None:
    """1,000 bytes are a bundle's own; 1.4.0 goes without being asked about."""
    judged(disk.state, start("cell", "e0", disk.made["1.0.0"].digest), verdict(1, "cell", "e0"), frame(1, "cell"))
    judged(disk.state, start("cell", "e2", disk.made["1.2.0"].digest))

    def used() -> int:
        return sum(path.stat().st_size for path in disk.blobs.folder.rglob("*") if path.is_file())

    full, told = used(), list[str]()
    monkeypatch.setattr(disk.blobs, "_free", lambda _: SPARE_BYTES + full - used())

    def tell(one: Lying) -> None:
        assert (home(disk.state, "tiny") / "bundles" / one.folder).is_dir()  # the ledger hears of it first
        told.append(one.folder[:5])

    disk.clearing().make_room(lambda: short, tell)
    assert told == gone
    assert disk.bundles() == sorted({"1.0.0", "1.1.0", "1.2.0", "1.3.0", *(["1.4.0"] if not short else [])} - {*gone})
    if short:
        disk.check_blobs()
    previous = read_slots(disk.state, "tiny").previous
    assert (previous is None) == ("1.1.0" in gone)
    assert disk.blobs.has_room(short) == (short < 99_999)


def test_a_way_back_that_records_need_too_goes_in_its_turn(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (engine, version) in enumerate((("e0", "1.0.0"), ("e1", "1.1.0")), start=1):
        entries = (start("cell", engine, disk.made[version].digest), verdict(number, "cell", engine))
        judged(disk.state, *entries, frame(number, "cell"))
    judged(disk.state, start("cell", "e2", disk.made["1.2.0"].digest))
    disk.clearing().collect()
    told: list[str] = []
    monkeypatch.setattr(disk.blobs, "_free", lambda _: SPARE_BYTES)
    disk.slots(active="1.2.0", previous="1.1.0", trial="1.3.0")
    disk.clearing().make_room(lambda: 500, lambda one: told.append(one.folder[:5]))
    assert told == ["1.0.0"]


def test_a_box_that_is_killed_anywhere_while_it_makes_room_has_no_half_of_a_bundle(disk: Disk) -> None:
    base, number = disk.folder / "base", 0
    disk.state.rename(base)

    def make_room() -> None:
        clearing = disk.clearing()
        clearing._blobs._free = lambda _: SPARE_BYTES + 1_500  # a bundle has 1,000 of its own
        clearing.make_room(lambda: 2_000, lambda _: None)

    while True:
        shutil.copytree(base, disk.state)
        killed = killed_before(number, make_room)
        slots = read_slots(disk.state, "tiny")
        for one in (slots.active, slots.trial, slots.previous):
            assert one is None or open_bundle(bundle_folder(disk.state, one)).manifest.version == one.version
        assert slots.active is not None
        for place in (home(disk.state, "tiny") / "bundles").iterdir():
            assert place.name.startswith(".new.") or open_bundle(place)
        make_room()
        assert disk.bundles() == ["1.2.0", "1.3.0"]
        disk.check_blobs()
        shutil.rmtree(disk.state)
        if not killed:
            break
        number += EVERY
    assert number > 40
