"""A build that is killed, changed or repeated does what it must, and nothing that was done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_text import picture, write_workshop

from edgemill_converters.build import build
from edgemill_converters.building import Entry, Planned, Step
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.planning import BuildPlan
from edgemill_converters.building.sources import read_sources
from edgemill_converters.building.steps import rendered_in
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import CacheError
from edgemill_runtimes.frames import encode_png
from edgemill_runtimes.machine import this_machine

pytestmark = pytest.mark.slow
ONE = [{"runtime": "onnxruntime", "precisions": ["int8"]}]
VARIANTS = ("onnxruntime-cpu-fp32", "onnxruntime-cpu-int8")
RUNS, JUDGES = {f"run {name}" for name in VARIANTS}, {f"judge {name}" for name in VARIANTS}
RENDER = "render"
ALL = ("bake", "prepare", "calibrate", "reference", RENDER, "decide", *RUNS, *JUDGES, "golden", "measure", "report")


def journal(cache: Path) -> list[dict[str, Any]]:
    path = cache / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def made(cache: Path, since: int = 0) -> list[str]:
    return [line["step"] for line in journal(cache)[since:] if line["did"] == "made"]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A build of one variant, so that there is no choice; its cache lies beside it."""
    folder = tmp_path_factory.mktemp("once")
    return build(write_workshop(folder, targets=ONE), folder / "out")


def bundle_of(result: BuildResult) -> Bundle:
    assert result.bundle is not None
    return result.bundle


def test_every_step_was_made_once(once: BuildResult) -> None:
    assert sorted(made(bundle_of(once).folder.parent / ".edgemill-cache")) == sorted(ALL)
    assert set(once.seconds) == set(ALL) - {"report"}


def marked(mark: str) -> list[int]:
    """Processes that carry ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(what: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def test_a_killed_build_goes_on_where_it_was_and_ends_in_the_same_bundle(once: BuildResult, tmp_path: Path) -> None:
    """Killed again and again, at a boundary of steps or somewhere behind it, until it gets through."""
    recipe = write_workshop(tmp_path, targets=ONE)
    cache, mark = tmp_path / "out" / ".edgemill-cache", f"EDGEMILL_TEST={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    chance = random.Random(6)
    command = [sys.executable, "-m", "edgemill", "build", str(recipe), "--out", str(tmp_path / "out")]
    events = sorted(chance.sample(range(1, 18), 3))
    for event in events:
        running = subprocess.Popen(command, env={**os.environ, name: value}, stderr=subprocess.DEVNULL)
        until(lambda event=event: sum(e["did"] != "read" for e in journal(cache)) >= event)  # type: ignore[misc]
        time.sleep(chance.choice([0.0, chance.uniform(0, 0.3)]))
        running.send_signal(signal.SIGKILL)
        running.wait()
        until(lambda: not marked(mark), 10)
        assert not (tmp_path / "out" / "tiny-1.0.0").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = build(recipe, tmp_path / "out")
    assert bundle_of(again).manifest.content_digest == bundle_of(once).manifest.content_digest
    # A kill between an entry's move and its line in the journal leaves it there without a line: it is read, not made.
    steps = made(cache)
    assert len(steps) == len(set(steps)), "a step that was done was done again"
    assert set(steps) <= set(ALL)
    assert len(list((cache / "entries").iterdir())) == len(ALL)
    lost = [line["step"] for line in journal(cache) if line["did"] == "begun"]
    assert len(lost) - len(ALL) <= 2 * len(events), "a kill costs the steps that were going, two at once at most"
    assert not list((cache / "work").iterdir())
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith((".build", ".edgemill-build"))]


def test_an_unchanged_build_makes_nothing_and_leaves_the_bundle_alone(once: BuildResult) -> None:
    folder = bundle_of(once).folder
    cache = folder.parent / ".edgemill-cache"
    before, lines = folder.stat(), len(journal(cache))
    again = build(once.recipe, folder.parent)
    assert made(cache, lines) == []
    assert (folder.stat().st_ino, folder.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (set(again.cached), once.cached) == (set(once.seconds), ())
    assert replace(again, bundle=None, samples=(), cached=()) == replace(once, bundle=None, samples=())


def test_an_altered_bundle_is_written_again_from_the_cache(once: BuildResult) -> None:
    folder = bundle_of(once).folder
    (folder / "golden" / "frame-0.png").write_bytes(b"altered")
    again = bundle_of(build(once.recipe, folder.parent))
    assert again.manifest == bundle_of(once).manifest
    assert (folder / "golden" / "frame-0.png").read_bytes() != b"altered"


def test_bits_that_a_disk_lost_do_not_go_into_a_bundle(once: BuildResult) -> None:
    cache = bundle_of(once).folder.parent / ".edgemill-cache"
    (frame,) = (cache / "entries").rglob("frame-0.png")
    content, verified = frame.read_bytes(), cache / "verified.json"
    try:
        frame.write_bytes(content[:-1] + b"x")
        found = frame.stat()
        row = [sha256_bytes(content), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
        known = json.loads(verified.read_text()) if verified.is_file() else {}
        verified.write_text(json.dumps({**known, str(frame): row}))  # as if nobody had written it
        with pytest.raises(CacheError, match=r"the cache is damaged.*frame-0"):
            build(once.recipe, cache.parent)
    finally:
        frame.write_bytes(content)


def test_a_threshold_changes_verdicts_and_nothing_before_them(once: BuildResult) -> None:
    cache = bundle_of(once).folder.parent / ".edgemill-cache"
    lines = len(journal(cache))
    task = {**once.recipe.task, "min_confidence": 0.2}
    build(once.recipe.model_copy(update={"task": task}), bundle_of(once).folder.parent)
    again = made(cache, lines)
    assert set(again) <= {"bake", "decide", "golden", *JUDGES, "report"}
    assert {"bake", "decide", *JUDGES, "report"} <= set(again)


def test_nothing_in_the_cache_can_be_run(once: BuildResult) -> None:
    cache = bundle_of(once).folder.parent / ".edgemill-cache"
    assert {path.suffix for path in (cache / "entries").rglob("*") if path.is_file()} == {
        *(".json", ".npy", ".onnx", ".weights", ".png", ".html")
    }


# --- what each step depends on, given what the steps before it gave ---


def keys(recipe: Path, done: Mapping[str, Entry], /, **changes: object) -> dict[str, str]:
    declared = read_recipe(recipe)
    digests = FileDigests(recipe.parent / "none.json")
    sources = replace(read_sources(declared, declared.make_task(), (), this_machine(), digests), **changes)  # type: ignore[arg-type]
    plan = BuildPlan(sources, lambda _, needs: Planned("report", needs, lambda _: Step(print, {})))
    plan.rendered = {found.candidate.name: found for found in rendered_in(done["render"].folder)}
    return {one.name: one.make(done).key for one in plan.planned()}


@pytest.fixture
def workplace(once: BuildResult, tmp_path: Path) -> tuple[Path, dict[str, Entry]]:
    """The same recipe and data elsewhere, and what the steps gave."""
    cache = bundle_of(once).folder.parent / ".edgemill-cache"
    found = {}
    for line in journal(cache):
        folder = cache / "entries" / line["key"]
        if line["did"] == "made" and line["step"] not in found:
            found[line["step"]] = Entry(folder, json.loads((folder / "entry.json").read_text())["files"], 1.0, False)
    return write_workshop(tmp_path, targets=ONE), found


def rewrite(recipe: Path, old: str, new: str) -> None:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))


def repaint(file: Path) -> None:
    import numpy as np

    file.write_bytes(encode_png(picture("AB", np.random.default_rng(99))))


DECISIONS = {"decide", *JUDGES}
CHANGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "nothing, but elsewhere": (lambda r: None, set()),
    "the name": (lambda r: rewrite(r, "name: tiny", "name: other"), set()),
    "the version": (lambda r: rewrite(r, "version: 1.0.0", "version: 1.0.1"), set()),
    "the budget": (lambda r: rewrite(r, "max_drop: 0.05", "max_drop: 0.06"), JUDGES),
    "the normalisation": (
        lambda r: rewrite(r, "- 255", "- 254"),
        {"bake", "prepare", "calibrate", "reference", *DECISIONS},
    ),
    "the task": (lambda r: rewrite(r, "alphabet: AB", "alphabet: AB\n  min_confidence: 0.1"), {"bake", *DECISIONS}),
    "a picture of the judge": (lambda r: repaint(r.parent / "judge" / "0003.png"), {"prepare", "golden"}),
    "a label": (lambda r: rewrite(r.parent / "judge" / "labels.csv", "0001.png", "./0001.png"), DECISIONS),
    "a picture of calibration": (lambda r: repaint(r.parent / "calibration" / "0003.png"), {"calibrate"}),
    "the model's bytes": (
        lambda r: (r.parent / "tiny.onnx").write_bytes((r.parent / "tiny.onnx").read_bytes() + b"\x32\x01x"),
        {"bake", "reference"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_depends_on_what_it_reads_and_no_more(workplace: tuple[Path, dict[str, Entry]], change: str) -> None:
    recipe, done = workplace
    before = keys(recipe, done)
    alter, expected = CHANGES[change]
    alter(recipe)
    after = keys(recipe, done)
    assert {name for name in before if before[name] != after[name]} == expected


def test_another_machine_measures_and_computes_anew(workplace: tuple[Path, dict[str, Entry]]) -> None:
    recipe, done = workplace
    before = keys(recipe, done)

    def changed(**what: object) -> set[str]:
        after = keys(recipe, done, machine=replace(this_machine(), **what))  # type: ignore[arg-type]
        return {name for name in before if before[name] != after[name]}

    assert changed(memory_mb=1) == {"measure"}
    assert changed(cpu="another") == {"measure", "calibrate", "reference", *RUNS}


def test_masks_are_looked_at_where_pictures_are_prepared(workplace: tuple[Path, dict[str, Entry]]) -> None:
    recipe, done = workplace
    declared = read_recipe(recipe)
    digests = FileDigests(recipe.parent / "none.json")
    judge = read_sources(declared, declared.make_task(), (), this_machine(), digests).judge
    before, after = (keys(recipe, done, judge=replace(judge, masks=[mask])) for mask in ("one", "another"))
    assert "prepare" in {name for name in before if before[name] != after[name]}


def test_a_translation_depends_on_what_is_asked_of_it(workplace: tuple[Path, dict[str, Entry]]) -> None:
    """Importers read precisions and runtimes of the targets; of a graph that is the model itself nobody does."""
    recipe, done = workplace
    declared = read_recipe(recipe)

    def changed(file: str) -> set[str]:
        model = declared.model.model_copy(update={"file": file})
        targets = (declared.targets, (declared.targets[0].model_copy(update={"precisions": ("fp32", "fp16")}),))
        before, after = (
            keys(recipe, done, recipe=declared.model_copy(update={"model": model, "targets": one})) for one in targets
        )
        return {name for name in before if before[name] != after.get(name)} & {"bake", "reference"}

    assert changed("net.pt2") == {"bake", "reference"}
    assert changed("net.onnx") == set()


def test_versions_of_what_a_function_imports_count(workplace: tuple[Path, dict[str, Entry]]) -> None:
    recipe, done = workplace
    before, after = keys(recipe, done), keys(recipe, done, model_parts=("PyYAML",))
    assert {name for name in before if before[name] != after[name]} == {"bake", "reference"}


def test_what_a_step_gave_is_what_the_next_depends_on(workplace: tuple[Path, dict[str, Entry]]) -> None:
    recipe, done = workplace
    before = keys(recipe, done)
    expected = {
        "bake": {"calibrate", "reference", RENDER},
        "prepare": {"reference", *RUNS, "golden", "measure"},
        "calibrate": {RENDER},
        "reference": {"decide", *JUDGES},
        "decide": {*JUDGES, "golden"},
        RENDER: {*RUNS, "measure"},
        **{f"run {name}": {f"judge {name}"} for name in VARIANTS},
    }
    for name, following in expected.items():
        entry = done[name]
        other = replace(entry, files={file: digest[::-1] for file, digest in entry.files.items()})
        if name == "calibrate":  # the plan itself is read
            continue
        after = keys(recipe, {**done, name: other})
        assert {step for step in before if before[step] != after[step]} == following, name
