"""Steps and their cache: done once, alone where they say so, and never half there."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import odd_steps
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemill_converters.building import Entry, Planned, Runner, Step, Store, child, files
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.plain import digest_of, plain, read_plain, write_plain
from edgemill_converters.building.progress import Ahead, History, in_words, remaining, to_start
from edgemill_converters.building.runner import to_be_made
from edgemill_converters.building.scratch import scratch_in
from edgemill_converters.importers import side_files
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import CacheError, DataError, StepCrashed
from edgemill_core.verdict import Decision, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "cache") as store:
        yield store


def one(work: Callable[..., None], name: str = "odd", notes: bool = False, **told: object) -> Planned:
    return Planned(name, (), lambda _: Step(work, told, {"told": told}, notes))


def run(store: Store, *plans: Planned) -> dict[str, Entry]:
    return Runner(store, "odd-1.0.0", lambda _: None).run(plans)


def left_in(store: Store) -> list[str]:
    """What lies in the cache beside the journal, the logs and the locks."""
    found = [p for name in ("entries", "notes", "work") for p in (store.folder / name).rglob("*")]
    return [str(p.relative_to(store.folder)) for p in found if p not in (store.work, store.work / ".edgemill-scratch")]


def diary(tmp_path: Path) -> list[tuple[str, float, float]]:
    rows = [line.split() for line in (tmp_path / "diary").read_text().splitlines()]
    return [(name, float(begun), float(ended)) for name, begun, ended in rows]


def test_a_step_is_done_once_and_its_result_read_back(store: Store, tmp_path: Path) -> None:
    plan = one(odd_steps.count, diary=tmp_path / "diary", who="a")
    made = run(store, plan)["odd"]
    again = run(store, plan)["odd"]
    assert (made.made, again.made) == (True, False)
    assert made.files == again.files == {"done.txt": sha256_bytes(b"a")}
    assert len(diary(tmp_path)) == 1
    other = run(store, one(odd_steps.count, diary=tmp_path / "diary", who="b"))["odd"]
    assert other.made


@pytest.mark.parametrize("what", ["a byte", "a file", "the list"])
def test_a_damaged_entry_is_thrown_away_and_made_again(store: Store, tmp_path: Path, what: str) -> None:
    plan = one(odd_steps.count, diary=tmp_path / "diary", who="a")
    entry = run(store, plan)["odd"]
    if what == "a byte":
        entry.path("done.txt").write_text("b")
    elif what == "a file":
        entry.path("done.txt").unlink()
    else:
        told = entry.folder / "entry.json"
        told.write_text(told.read_text().replace("odd", "old"))
    again = run(store, plan)["odd"]
    assert again.made
    assert again.path("done.txt").read_text() == "a"
    assert [line["did"] for line in store.journal()] == ["begun", "made", "thrown away", "begun", "made"]


def test_one_that_is_killed_says_so_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(StepCrashed) as caught:
        run(store, one(odd_steps.be_killed))
    assert "SIGKILL; the last words" in str(caught.value)
    assert "memory ran out" in str(caught.value)
    assert left_in(store) == []
    assert (store.folder / "logs" / "odd-1.0.0" / "odd.txt").read_text() == "the last words\n"


def test_a_mistake_of_ours_shows_its_last_lines_and_its_log(store: Store) -> None:
    with pytest.raises(StepCrashed, match=r"'odd' died") as caught:
        run(store, one(odd_steps.raise_by_mistake))
    assert "ZeroDivisionError: a mistake of ours" in str(caught.value.got)
    assert str(store.folder / "logs") in str(caught.value.fix)


def test_an_error_of_ours_comes_through_as_it_was(store: Store) -> None:
    with pytest.raises(DataError) as caught:
        run(store, one(odd_steps.refuse))
    assert caught.value.as_dict() == DataError("what", expected="one thing", got="another", fix="mend it").as_dict()


def test_a_full_disk_is_named_and_nothing_half_written_stays(store: Store) -> None:
    with pytest.raises(CacheError, match="the disk is full"):
        run(store, one(odd_steps.fill_the_disk))
    assert left_in(store) == []


def test_a_file_that_cannot_be_read_is_no_trouble_of_the_cache(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StepCrashed, match="could not read") as caught:
        run(store, one(odd_steps.read_nothing, missing=tmp_path / "missing.png"))
    assert "missing.png" in str(caught.value)


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be written") as caught:
        Store(tmp_path / "file" / "cache")
    assert "--cache" in str(caught.value)


def test_notes_outlive_a_kill_and_go_when_the_step_is_done(store: Store) -> None:
    plan = one(odd_steps.keep_notes, notes=True)
    with pytest.raises(StepCrashed):
        run(store, plan)
    assert run(store, plan)["odd"].path("whole.txt").read_text() == "half and half"
    assert not list((store.folder / "notes").iterdir())


def test_one_that_fails_ends_the_others_at_once(store: Store, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def when_the_other_waits(_: object) -> Step:
        while not pids.exists() or len(pids.read_text().split()) < 2:
            time.sleep(0.01)
        return Step(odd_steps.refuse, {})

    begun = time.monotonic()
    with pytest.raises(DataError):
        run(store, one(odd_steps.wait_long, "long", pids=pids), Planned("odd", (), when_the_other_waits))
    assert time.monotonic() - begun < 20
    assert not Path("/proc", pids.read_text().split()[0]).exists()
    assert left_in(store) == []


def test_two_builds_make_a_result_once(tmp_path: Path) -> None:
    found: list[bool] = []

    def build() -> None:
        with Store(tmp_path / "cache") as store:
            plan = one(odd_steps.count, diary=tmp_path / "diary", who="a", seconds=0.5)
            found.append(run(store, plan)["odd"].made)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, True]
    assert len(diary(tmp_path)) == 1


def test_measuring_is_alone_also_beside_another_build(tmp_path: Path) -> None:
    def build(build_name: str) -> None:
        def step(name: str, _: object) -> Step:
            given = {"diary": tmp_path / "diary", "who": f"{build_name}-{name}", "seconds": 0.1}
            return Step(odd_steps.count, given, {"name": [build_name, name]})

        plans = [Planned(n, (), partial(step, n), alone=n == "measure") for n in ("one", "measure", "two")]
        with Store(tmp_path / "cache") as store:
            run(store, *plans)

    threads = [threading.Thread(target=build, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = diary(tmp_path)
    assert len(rows) == 6
    for name, begun, ended in rows:
        if name.endswith("measure"):
            assert all(b >= ended or e <= begun for n, b, e in rows if n != name)


def test_doing_all_again_waits_for_nobody(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="another build uses the cache"):
        Store(store.folder, fresh=True)


def test_a_build_says_that_it_waits_for_another(tmp_path: Path) -> None:
    with Store(tmp_path / "cache"):
        pass
    told: list[str] = []
    held = os.open(tmp_path / "cache" / "in-use", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    at_last = threading.Timer(10, fcntl.flock, (held, fcntl.LOCK_UN))
    at_last.start()

    def free(text: str) -> None:
        told.append(text)
        fcntl.flock(held, fcntl.LOCK_UN)

    with Store(tmp_path / "cache", tell=free) as store:
        at_last.cancel()
        os.close(held)
        assert told == [f"waiting for another build that uses {store.folder}"]
        with Store(store.folder, tell=told.append):
            assert len(told) == 1


def test_fresh_forgets_what_a_killed_search_found(tmp_path: Path) -> None:
    for fresh in (False, True):
        with Store(tmp_path / "cache", fresh=fresh) as store:
            notes = store.notes("key")
            assert list(notes.iterdir()) == []
            (notes / "found").touch()


def test_a_step_has_its_callers_cores(store: Store) -> None:
    before = os.sched_getaffinity(0)
    child.the_zygote()
    os.sched_setaffinity(0, {max(before)})
    try:
        assert run(store, one(odd_steps.tell_cores))["odd"].path("cores.txt").read_text() == str([max(before)])
    finally:
        os.sched_setaffinity(0, before)


def test_fresh_makes_everything_again(tmp_path: Path) -> None:
    plan = one(odd_steps.count, diary=tmp_path / "diary", who="a")
    for fresh in (False, True):
        with Store(tmp_path / "cache", fresh=fresh) as store:
            assert run(store, plan)["odd"].made
            assert not run(store, plan)["odd"].made


def test_what_was_not_used_for_longest_goes_first_and_this_builds_own_stay(tmp_path: Path) -> None:
    plans = {name: one(odd_steps.count, diary=tmp_path / "diary", who=name) for name in "abc"}
    with Store(tmp_path / "cache") as store:
        keys = {name: run(store, plan)["odd"].folder for name, plan in plans.items()}
    for name, when in (("b", 1), ("a", 2), ("c", 3)):
        os.utime(keys[name] / "entry.json", (when, when))
    size = sum(file.stat().st_size for file in keys["a"].iterdir())
    with Store(tmp_path / "cache") as store:
        run(store, plans["b"])
        os.utime(keys["b"] / "entry.json", (1, 1))
        store.trim(2 * size + size // 2)  # their seconds have more or fewer digits
        assert [name for name in "abc" if keys[name].exists()] == ["b", "c"]
        store.trim(0)
        assert [name for name in "abc" if keys[name].exists()] == ["b"]
        with Store(tmp_path / "cache") as other:
            other.trim(0)
            assert keys["b"].exists()


def test_what_a_killed_build_left_is_swept(tmp_path: Path) -> None:
    with Store(tmp_path / "cache") as store:
        (store.folder / "work" / "build.gone").mkdir()
        for name in ("half", ".edgemill-scratch"):
            (store.folder / "work" / "build.gone" / name).touch()
        (store.folder / "journal.jsonl").write_text('{"did": "made"}\n{"did": "ma')
        with Store(tmp_path / "cache") as other:
            assert sorted((store.folder / "work").iterdir()) == sorted([store.work, other.work])
            assert other.journal() == [{"did": "made"}]


def test_what_is_only_named_like_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".mine.kept").mkdir()
    with scratch_in(tmp_path, ".mine.") as folder:
        (folder / "half" / "bundle").mkdir(parents=True)
        with scratch_in(tmp_path, ".mine."):
            assert folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [".mine.kept"]


# --- digests of files ---


def test_a_digest_is_remembered_while_nothing_of_the_file_changed(tmp_path: Path) -> None:
    picture, kept = tmp_path / "picture", tmp_path / "digests.json"
    picture.write_bytes(b"one")
    young = FileDigests(kept)
    assert young.of(picture) == sha256_bytes(b"one")
    young.save(tmp_path)
    assert not kept.exists()  # a second change might carry the same time
    _remember(kept, picture, "believed")
    assert FileDigests(kept).of(picture) == "believed"
    assert FileDigests(kept, forget=True).of(picture) == sha256_bytes(b"one")
    before = picture.stat()
    picture.write_bytes(b"two")
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert FileDigests(kept).of(picture) == sha256_bytes(b"two")


def test_a_digest_is_kept_if_the_file_was_old_when_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", 200_000_000)
    picture, kept = tmp_path / "picture", tmp_path / "digests.json"
    picture.write_bytes(b"one")
    young = FileDigests(kept)
    young.of(picture)
    time.sleep(0.25)
    young.save(tmp_path)
    assert not kept.exists()
    old = FileDigests(kept)
    old.of(picture)
    old.save(tmp_path)
    assert list(json.loads(kept.read_text())) == [str(picture)]


@pytest.mark.parametrize("change", ["content", "gone"])
def test_what_is_made_from_a_file_that_changed_meanwhile_is_not_kept(store: Store, tmp_path: Path, change: str) -> None:
    picture, digests = tmp_path / "picture", FileDigests(tmp_path / "digests.json")
    picture.write_bytes(b"one")
    digests.of(picture)
    runner = Runner(store, "odd-1.0.0", lambda _: None, unchanged=digests.check_unchanged)
    runner.run([one(odd_steps.count, diary=tmp_path / "diary", who="a")])
    picture.write_bytes(b"another") if change == "content" else picture.unlink()
    with pytest.raises(DataError, match=f"{picture} changed during the build"):
        runner.run([one(odd_steps.count, diary=tmp_path / "diary", who="b")])
    assert len(diary(tmp_path)) == 2
    assert len(list((store.folder / "entries").iterdir())) == 1


def test_weights_that_lie_apart_are_found_wherever_they_are_named(tmp_path: Path) -> None:
    def apart(name: str) -> onnx.TensorProto:
        tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), name)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"{name}.bin")
        (tmp_path / f"{name}.bin").write_bytes(bytes(16))
        return tensor

    def constant(name: str) -> onnx.NodeProto:
        return onnx.helper.make_node("Constant", [], [name], value=apart(name))

    branch = onnx.helper.make_graph([constant("inner")], "branch", [], [], [apart("deep")])
    choice = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = onnx.helper.make_graph([constant("outer"), choice], "g", [], [], [apart("plain")])
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert [path.stem for path in side_files(file)] == ["deep", "inner", "outer", "plain"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [1, 2, 3, 4, 5]}'])
def test_a_damaged_list_of_digests_is_no_list(tmp_path: Path, content: str) -> None:
    (tmp_path / "digests.json").write_text(content)
    (tmp_path / "picture").write_bytes(b"one")
    assert FileDigests(tmp_path / "digests.json").of(tmp_path / "picture") == sha256_bytes(b"one")


def _remember(kept: Path, file: Path, digest: str) -> None:
    found = file.stat()
    row = [digest, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    kept.write_text(json.dumps({str(file): row}))


# --- plain values ---


@given(some.floats(), some.text(), some.sampled_from(Decision))
def test_verdicts_come_back_as_they_were(confidence: float, reason: str, decision: Decision) -> None:
    verdict = Verdict(decision, (reason,), confidence, {"text": reason, "lengths": [confidence]})
    with tempfile.TemporaryDirectory() as folder:
        write_plain(Path(folder, "verdicts.json"), [verdict])
        (again,) = read_plain(Path(folder, "verdicts.json"), tuple[Verdict, ...])
    assert repr(again) == repr(verdict)


def test_values_that_differ_have_other_digests() -> None:
    values = [None, 0, 1.5, "0", float("nan"), float("inf"), [0], {"0": 0}, np.float64(2.5), Path("a"), True]
    assert len({digest_of(value) for value in values}) == len(values)
    with pytest.raises(TypeError):
        plain({1, 2})


# --- progress ---

CHAIN = [Ahead("a", (), 10), Ahead("b", ("a",), 20), Ahead("c", ("a",), 30), Ahead("m", ("b",), 5, alone=True)]


@pytest.mark.parametrize(("workers", "seconds"), [(1, 65), (2, 45), (9, 45)])
def test_what_is_left_is_played_through(workers: int, seconds: float) -> None:
    assert remaining(CHAIN, workers) == seconds


def test_what_nobody_knows_is_not_told() -> None:
    assert remaining([*CHAIN, Ahead("n", (), None)], 2) is None
    assert remaining([], 2) == 0


@given(some.lists(some.tuples(some.floats(0, 100), some.booleans()), max_size=8), some.integers(1, 4))
def test_time_left_lies_between_the_longest_and_the_sum(steps: list[tuple[float, bool]], workers: int) -> None:
    ahead = [Ahead(str(n), (str(n - 2),), seconds, alone) for n, (seconds, alone) in enumerate(steps)]
    left = remaining(ahead, workers)
    assert left is not None
    total = sum(seconds for seconds, _ in steps)
    assert max((s for s, _ in steps), default=0) - 1e-9 <= left <= total + 1e-9
    assert left >= total / workers - 1e-6


def test_nothing_starts_beside_one_that_wants_to_be_alone() -> None:
    table = {step.name: step for step in CHAIN}
    assert to_start([table["c"]], ["m"], 4, table) == []
    assert to_start([table["m"]], ["c"], 4, {**table}) == []
    assert to_start([Ahead("m", (), 1, alone=True), Ahead("c", (), 1)], [], 4, table) == [Ahead("c", (), 1)]


def test_only_one_that_takes_every_processor_runs_at_once() -> None:
    steps = [Ahead("a", (), 1, threaded=True), Ahead("b", (), 1, threaded=True), Ahead("c", (), 1)]
    table = {step.name: step for step in steps}
    assert to_start(steps, [], 4, table) == [steps[0], steps[2]]
    assert to_start(steps[1:], ["a"], 4, table) == [steps[2]]
    assert to_start(steps[1:2], ["c"], 4, table) == [steps[1]]
    assert remaining(steps, 4) == 2


def test_times_of_earlier_builds_grow_with_the_samples() -> None:
    made = {"did": "made", "recipe": "a", "step": "run", "seconds": 10.0, "size": 100}
    history = History([made, {**made, "recipe": "b", "seconds": 30.0}, {"did": "read", "step": "other"}])
    assert history.expected("a", "run", 200) == 20
    assert history.expected("c", "run", 100) == 30
    assert history.expected("a", "other", 1) is None


def test_time_left_leaves_out_what_will_be_read_back(store: Store, tmp_path: Path) -> None:
    kept = replace(one(odd_steps.count, "kept", diary=tmp_path / "diary", who="kept"), alone=True)
    run(store, kept)
    for name, seconds in (("kept", 6000), ("new", 1)):
        store.note("made", "", step=name, recipe="odd-1.0.0", seconds=seconds, size=1)
    told: list[str] = []
    new = one(odd_steps.count, "new", diary=tmp_path / "diary", who="new", seconds=0.4)
    Runner(store, "odd-1.0.0", told.append).run([new, kept])
    assert told == ["[1/2] new · a few seconds left"]


def test_what_follows_a_step_that_began_is_made_too() -> None:
    needs: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",), "d": (), "e": ("d",)}
    plans = [replace(one(odd_steps.count, name), needs=of) for name, of in needs.items()]
    assert to_be_made(plans, ["a"]) == {"a", "b", "c"}
    assert to_be_made(plans, []) == set()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (3, "a few seconds left"),
        (43, "about 45 s left"),
        (94, "about 95 s left"),
        (130, "about 2 min left"),
    ],
)
def test_time_left_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words
