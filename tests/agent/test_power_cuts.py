"""The power goes at any moment of an update, and takes any part of what was not synced with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pytest
from lossy_disk import Killed, Left, Tape
from released_box import NAME, ReleasedBox, Releases, ToldLedger, proves, refuses

from edgemill_agent.updating.book import read_book
from edgemill_agent.updating.slots import read_slots
from edgemill_core.bundle import store
from edgemill_core.errors import BundleError

FULL = bool(os.environ.get("EDGEMILL_EVERY_CUT"))
EVERY = 1 if FULL else 41
"""Of the steps behind which the power goes."""

Work = Callable[[ReleasedBox], None]


@dataclass(frozen=True)
class Course:
    """What is cut.

    Attributes:
        before: what was done, and is safe.
        work: is cut.
        active: what an agent may start on, wherever it is cut.
        finish: what leads to the same end after the agent was started again.
        proves: whether the bundle on its way is proved.
        same: whether it comes to the end that it comes to uncut.
        step: it is cut behind each step of so many alone, for there is much that can be lost.
        swap: stands in the settings.
        weights: releases have some, with deltas.
    """

    before: Work
    work: Work
    active: frozenset[str | None]
    finish: Work
    proves: bool = True
    same: bool = True
    step: int = 1
    swap: Mapping[str, object] = field(default_factory=dict)
    weights: bool = False


def follow(box: ReleasedBox) -> None:
    """Once more; where something that lay there was thrown away, twice."""
    try:
        box.follow()
    except BundleError:
        box.follow()


def nothing(_: ReleasedBox) -> None:
    """A new box."""


def to(version: str) -> Work:
    """Follow a plan for this version."""

    def work(box: ReleasedBox) -> None:
        box.releases.plan(version)
        box.follow()

    return work


def one_after_the_other(*works: Work) -> Work:
    def work(box: ReleasedBox) -> None:
        for one in works:
            one(box)

    return work


def decided(outcome: str) -> Work:
    return lambda box: box.decide(outcome)


def seen(disputed: str) -> Work:
    """What looks on saw these parts."""
    return lambda box: box.look_on(disputed)


def started_too_often(box: ReleasedBox) -> None:
    for _ in range(4):
        box.start()


def staged(box: ReleasedBox) -> None:
    """1.1.0 lies there, and nobody could prove it."""

    def breaks(*_: object) -> None:
        raise Killed

    box.releases.plan("1.1.0")
    broken = ReleasedBox(box.folder, box.releases, breaks)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        broken.follow()


def damaged(box: ReleasedBox) -> None:
    """It lies there, and the disk lost bits of it and of a blob."""
    staged(box)
    (folder,) = (box.state / "slots" / NAME / "bundles").glob("1.1.0-*")
    (folder / "golden" / "x.npy").write_bytes(b"bad")
    book = box.state / "updates.json"
    book.write_text(book.read_text().replace("staged", "verified"))


def installed(*works: Work) -> Work:
    """1.0.0 judges."""
    return one_after_the_other(to("1.0.0"), *works)


SHADOW = {"shadow": {"most_disagreement": 0.1, "stop_at": 0.5, "errors": 0.05}}
OLD, BOTH = frozenset({"1.0.0"}), frozenset({"1.0.0", "1.1.0"})
COURSES = {
    "first": Course(nothing, to("1.0.0"), frozenset({None, "1.0.0"}), follow),
    "second": Course(installed(), to("1.1.0"), OLD, follow),
    "second, then another plan": Course(installed(), to("1.1.0"), OLD, to("1.2.0"), same=False),
    "refused": Course(installed(), to("1.1.0"), OLD, follow, proves=False),
    "refused, then another plan": Course(installed(), to("1.1.0"), OLD, to("1.2.0"), proves=False, same=False),
    "kept": Course(installed(to("1.1.0"), decided("committed")), ReleasedBox.settle, BOTH, ReleasedBox.settle),
    "fell back": Course(installed(to("1.1.0"), decided("fell back")), ReleasedBox.settle, OLD, ReleasedBox.settle),
    "started too often": Course(installed(to("1.1.0")), started_too_often, OLD, started_too_often),
    "superseded": Course(installed(staged), to("1.2.0"), OLD, follow),
    "kept, then the next": Course(installed(to("1.1.0"), decided("committed")), to("1.2.0"), BOTH, follow),
    "damaged": Course(installed(damaged), follow, OLD, follow, step=7),
    "collected": Course(
        installed(to("1.1.0"), decided("committed"), to("1.2.0"), decided("committed")),
        follow,
        frozenset({"1.1.0", "1.2.0"}),
        follow,
    ),
    "by deltas": Course(installed(), to("1.1.0"), OLD, follow, weights=True, step=9),
    "looks on": Course(installed(), to("1.1.0"), OLD, follow, swap=SHADOW, step=3),
    "agrees": Course(installed(to("1.1.0"), seen("000000")), follow, OLD, follow, swap=SHADOW),
    "disputes": Course(installed(to("1.1.0"), seen("11")), ReleasedBox.settle, OLD, ReleasedBox.settle, swap=SHADOW),
    "looks on, then the next": Course(installed(to("1.1.0")), to("1.2.0"), OLD, follow, swap=SHADOW, step=17),
}


MATRIX = [(name, False) for name in (COURSES if FULL else ("first", "kept"))]
"""Courses, and whether a line looks into the book all the while."""
MATRIX += [(name, True) for name in COURSES if name.endswith("another plan")]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return Releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def with_weights(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    return Releases(tmp_path_factory.mktemp("weights"), weights=True)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk is waited for: the tape has what was asked of it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(store, "version", lru_cache(store.version))  # a millisecond each time, a thousand times


@dataclass
class Run:
    """A course as it goes uncut, on tape.

    Attributes:
        seen: what the ledger had been told, behind so many steps.
    """

    course: Course
    tape: Tape
    box: ReleasedBox
    seen: list[tuple[int, ToldLedger]]

    def ledger_at(self, step: int) -> ToldLedger:
        """What the line had recorded by then."""
        found = [ledger for done, ledger in self.seen if done <= step][-1]
        return ToldLedger(found.cursor, list(found.told))


def play(course: Course, releases: Releases, folder: Path, line_runs: bool) -> Run:
    box = ReleasedBox(folder, releases, swap=course.swap)
    course.before(box)
    box.prove = proves if course.proves else refuses
    run = Run(course, Tape(folder), box, [(0, ToldLedger())])
    ledger, looking = ToldLedger(), False

    def look(step: int) -> None:
        nonlocal looking
        if looking or not box.state.is_dir():
            return
        looking, before = True, ledger.cursor
        ledger.look(box.state)
        if ledger.cursor != before:
            run.seen.append((step and len(run.tape.steps), ToldLedger(ledger.cursor, list(ledger.told))))
        looking = False

    look(0)
    with run.tape.recording(look if line_runs else lambda _: None):
        course.work(box)
    look(len(run.tape.steps))
    run.seen.append((len(run.tape.steps) + 1, ledger))
    return run


def different(cuts: Iterable[Left], run: Run) -> Iterator[Left]:
    """Each once: what a box and its ledger hold."""
    known = set()
    for left in cuts:
        key = left.key, run.ledger_at(left.step).cursor
        if key not in known:
            known.add(key)
            yield left


def check(run: Run, left: Left, folder: Path) -> None:
    left.lay_out(folder)
    box = ReleasedBox(folder, run.box.releases, run.box.prove, run.box.swap)
    ledger = run.ledger_at(left.step)
    box.start()
    assert box.check() in run.course.active
    ledger.look(box.state)
    run.course.finish(box)
    assert box.check() in run.course.active
    ledger.look(box.state)
    assert ledger.told == list(read_book(box.state).told), "each is told once, and as it was"
    if run.course.same:
        assert box.stands() == run.box.stands()
        assert ledger.events == run.seen[-1][1].events
    shutil.rmtree(folder)


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize(("course", "line_runs"), MATRIX)
def test_whatever_is_lost_old_or_new_is_there_and_it_is_finished(
    course: str, line_runs: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    releases = request.getfixturevalue("with_weights" if COURSES[course].weights else "releases")
    run = play(COURSES[course], releases, tmp_path / "whole", line_runs)
    run.tape.last().lay_out(tmp_path / "again")
    assert content(tmp_path / "again") == content(tmp_path / "whole"), "the tape has everything"
    number = 0
    for number, left in enumerate(different(run.tape.cuts(every=EVERY * run.course.step), run), start=1):
        try:
            check(run, left, tmp_path / f"cut {number}")
        except BaseException as error:
            error.add_note(f"behind step {left.step}, {run.tape.steps[left.step - 1].what}; lost: {left.why}")
            raise
    assert number >= (10 if FULL else 1)


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("course", ["first", "second", "kept, then the next"] if FULL else ["second"])
def test_a_process_is_killed_and_the_power_goes_while_the_next_one_goes_on(
    course: str, releases: Releases, tmp_path: Path
) -> None:
    """What the first had not synced is not taken for safe by the second, which finds it there."""
    whole = play(COURSES[course], releases, tmp_path / "whole", False)
    moments = [number for number, call in enumerate(whole.tape.calls) if call == "fsync"]  # most is owed then
    assert len(moments) > 20
    for dies_at in moments if FULL else moments[-3:]:
        box, tape = killed(COURSES[course], releases, tmp_path / f"killed {dies_at}", dies_at)
        begin = len(tape.steps)
        with tape.recording():
            COURSES[course].finish(box)
        run = Run(COURSES[course], tape, whole.box, [whole.seen[0], (len(tape.steps) + 1, whole.seen[-1][1])])
        for done in {*range(begin, len(tape.steps), 97), len(tape.steps)}:
            for number, left in enumerate(different(tape.cut_after(done), run)):
                try:
                    check(run, left, tmp_path / f"cut {dies_at} {done} {number}")
                except BaseException as error:
                    error.add_note(f"killed at call {dies_at}; {tape.steps[done - 1].what}; lost: {left.why}")
                    raise
        shutil.rmtree(box.folder)


def killed(course: Course, releases: Releases, folder: Path, dies_at: int) -> tuple[ReleasedBox, Tape]:
    """A box on which the course's process was killed before its call of this number."""
    box = ReleasedBox(folder, releases)
    course.before(box)
    tape = Tape(folder)
    with tape.recording(dies_at=dies_at), pytest.raises(Killed):
        course.work(box)
    return box, tape


@pytest.mark.parametrize("older", [False, True])
def test_a_box_whose_book_is_lost_starts_and_tells_of_what_comes(
    releases: Releases, tmp_path: Path, older: bool
) -> None:
    """It was damaged, and removed as its message says, or an older one put back; the ledger has heard of two events."""
    box, book = ReleasedBox(tmp_path, releases), tmp_path / "state" / "updates.json"
    COURSES["second"].before(box)
    before = book.read_bytes()
    COURSES["second"].work(box)
    ledger = box.tell_ledger()
    assert ledger == ["committed", "trial"]
    book.unlink()
    if older:
        book.write_bytes(before)
    started_too_often(box)
    assert box.check() == "1.0.0"
    assert read_slots(box.state, NAME).trial is None
    to("1.2.0")(box)
    assert box.tell_ledger() == [*ledger, "trial"]
