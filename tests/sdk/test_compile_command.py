"""``edgemill agent compile``: what counts as usable was compiled whole and proved, and everything else is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bundle import FILES, make_bundle
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill.cli.compile import CompileOptions, limits_from, run
from edgemill_agent.settings import read_settings
from edgemill_core.bundle import Bundle, GoldenEntry, VariantEntry
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import (
    EdgemillError,
    EngineCrashed,
    EngineError,
    InputError,
    MissingPartError,
    ModelError,
    ProofError,
)
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.nvidia import proved_plans
from edgemill_runtimes.nvidia.asked import Asked, CompileLimits, Progress
from edgemill_runtimes.nvidia.gpu import Gpu
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside, in_order
from edgemill_runtimes.nvidia.planned import Planned
from edgemill_runtimes.nvidia.plans import fitting_plan, graph_digest, stored_plan
from edgemill_runtimes.nvidia.proved_plans import PlanMaker
from edgemill_runtimes.proof import Proof

RTX = Gpu("NVIDIA GeForce RTX 4070", "8.9", 12_000, False, "13.0")
VERSION = "1.7.1.116"
STAND_IN = Path(__file__).parents[1] / "parts" / "stand_in_bindings"
OTHER = "0" * 64
"""Digest of another graph."""
GRAPH = b"\x08\x08"


@pytest.fixture(autouse=True)
def _bindings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.setattr("edgemill.cli.compile.stand_back", lambda _: None)  # of this process, for good
    hidden = sys.modules.pop("tensorrt_rtx", None)
    yield
    sys.modules.pop("tensorrt_rtx", None)  # the stand-in, which no other test is to take for the real one
    if hidden is not None:
        sys.modules["tensorrt_rtx"] = hidden


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return for_runtime(tmp_path / "bundle", "tensorrt_rtx")


def for_runtime(folder: Path, runtime: str) -> Bundle:
    golden = GoldenEntry(outputs=FILES[3], decisions=("pass", "reject"), tolerance=0.1)
    return make_bundle(folder, {FILES[0]: GRAPH}, runtime=runtime, device="GPU", golden=golden)


def proof(holds: bool) -> Proof:
    return Proof("v", 2, 0 if holds else 1, 0.0, 0.1, holds, "")


def proves(holds: bool, seen: list[Path]) -> Callable[..., Proof]:
    """Stands for a GPU: says whether it decides as at build, and which store the engine was to look into."""

    def prove(bundle: Bundle, variant: object, *, settings: EngineSettings, isolated: object) -> Proof:
        assert settings.cache is not None
        assert settings.device == "GPU"
        graph = bundle.path(FILES[0])
        seen.append(fitting_plan(graph, settings.cache, "tensorrt_rtx", RTX, VERSION))
        return proof(holds)

    return prove


def maker(store: Path, holds: bool, seen: list[Path], **changes: Any) -> PlanMaker:
    return PlanMaker(store, here=lambda: (RTX,), proves=proves(holds, seen), **changes)


def whole(store: Path) -> list[str]:
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())


def test_a_plan_counts_once_it_is_proved_and_is_not_made_twice(bundle: Bundle, tmp_path: Path) -> None:
    store, seen, said = tmp_path / "state" / "plans", [], []
    tell: Callable[[str, Progress], None] = lambda variant, at: said.append((variant, at.step))  # noqa: E731
    (made,) = maker(store, True, seen, tell=tell).fill(bundle)
    assert (made.variant, made.outcome, made.proof) == ("v", "compiled", proof(True))
    assert made.plan == fitting_plan(bundle.path(FILES[0]), store, "tensorrt_rtx", RTX, VERSION)
    assert seen[0].parts[len(store.parts)].startswith(".aside-")  # it was proved before it came into the store
    assert ("v", "Timing tactics") in said
    (again,) = maker(store, True, seen).fill(bundle)
    assert (again.outcome, again.plan, again.facts) == ("there", made.plan, made.facts)
    assert seen[1] == made.plan
    assert len(whole(store)) == 3  # plan, facts, lock


def test_a_plan_that_does_not_decide_as_at_build_is_not_kept(bundle: Bundle, tmp_path: Path) -> None:
    store = tmp_path / "plans"
    (made,) = maker(store, False, []).fill(bundle)
    assert (made.outcome, made.plan) == ("refused", None)
    assert whole(store) == [".lock"]


def test_a_compiler_that_dies_leaves_the_store_as_it_was(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "plans"
    (store / ".aside-left" / "by a power cut").mkdir(parents=True)
    (store / OTHER / "key").mkdir(parents=True)
    (store / OTHER / "key" / "engine.plan").write_bytes(b"of another bundle")
    monkeypatch.setenv("STAND_IN", "killed")
    (made,) = maker(store, True, []).fill(bundle)
    assert (made.outcome, made.plan, type(made.error)) == ("failed", None, EngineCrashed)
    assert whole(store) == [".lock", f"{OTHER}/key/engine.plan"]
    assert sorted(os.listdir(store)) == [".lock", OTHER]


def lying(bundle: Bundle, folder: Path, *capabilities: str) -> Path:
    """A plan that fits, put where it would lie in the store ``folder``, without its being compiled."""
    facts = PlanFacts(
        runtime="tensorrt_rtx",
        version=VERSION,
        compute_capabilities=capabilities,
        graph=graph_digest(bundle.path(FILES[0])),
        plan=sha256_bytes(b"old"),
        bytes=3,
    )
    plan = stored_plan(folder, facts)
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"old")
    facts_beside(plan).write_text(facts.model_dump_json())
    return plan


def crashing(store: Path, died: list[Path], kind: type[EdgemillError]) -> Callable[..., Proof]:
    """TensorRT refuses, or dies over, what lies in ``store`` already, and takes what was made anew."""

    def prove(bundle: Bundle, variant: object, *, settings: EngineSettings, isolated: object) -> Proof:
        assert settings.cache is not None
        plan = fitting_plan(bundle.path(FILES[0]), settings.cache, "tensorrt_rtx", RTX, VERSION)
        if settings.cache != store:
            return proof(True)
        died.append(plan)
        raise kind("it is gone")

    return prove


@pytest.mark.parametrize(("kind", "capabilities"), [(EngineCrashed, ["8.9"]), (ModelError, ["8.6", "8.9"])])
def test_a_plan_that_tensorrt_refuses_or_dies_over_is_compiled_anew(
    bundle: Bundle, tmp_path: Path, kind: type[EdgemillError], capabilities: list[str]
) -> None:
    """Also where the one that lies there is of another kind of box, and would be found first again."""
    store, died = tmp_path / "plans", list[Path]()
    old = lying(bundle, store, *capabilities)
    (made,) = PlanMaker(store, here=lambda: (RTX,), proves=crashing(store, died, kind)).fill(bundle)
    assert (made.outcome, made.proof, died) == ("compiled", proof(True), [old])
    assert made.facts is not None
    assert made.facts.compute_capabilities == ("8.9",)
    assert fitting_plan(bundle.path(FILES[0]), store, "tensorrt_rtx", RTX, VERSION) == made.plan
    assert len(whole(store)) == 3
    assert not list(store.glob(".aside-*"))


def test_a_new_plan_that_is_no_better_leaves_the_old_one(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "raise")
    store = tmp_path / "plans"
    old = lying(bundle, store, "8.9")
    (made,) = PlanMaker(store, here=lambda: (RTX,), proves=crashing(store, [], EngineCrashed)).fill(bundle)
    assert made.outcome == "failed"
    assert old.read_bytes() == b"old"


def test_what_the_bundle_brings_is_not_replaced(bundle: Bundle, tmp_path: Path) -> None:
    ahead = lying(bundle, tmp_path / "ahead", "8.9")
    for file in ahead.parent.iterdir():
        file.rename(bundle.path(FILES[0]).with_name(file.name))
    store = tmp_path / "plans"
    (made,) = PlanMaker(store, here=lambda: (RTX,), proves=crashing(store, [], EngineCrashed)).fill(bundle)
    assert (made.outcome, type(made.error)) == ("failed", EngineCrashed)
    assert whole(store) == [".lock"]


def two_variants(bundle: Bundle) -> Bundle:
    (model,) = bundle.manifest.models
    (first,) = model.variants
    model = model.model_copy(update={"variants": (first, first.model_copy(update={"name": "w"}))})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"models": (model,)}))


def test_one_that_fails_stops_none_of_the_others(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lying(bundle, tmp_path / "plans", "8.9")
    asked: list[str] = []

    def prove(bundle: Bundle, variant: VariantEntry, **_: object) -> Proof:
        asked.append(variant.name)
        if len(asked) == 1:
            raise EngineError("it ran out of memory")
        return proof(True)

    made = PlanMaker(tmp_path / "plans", here=lambda: (RTX,), proves=prove).fill(two_variants(bundle))
    assert [(one.variant, one.outcome) for one in made] == [("v", "failed"), ("w", "there")]
    worse = Planned("x", "failed", why="no", error=MissingPartError("no room"))
    monkeypatch.setattr(PlanMaker, "fill", lambda *_: [*made, worse])
    with pytest.raises(SystemExit) as caught:
        run(bundle.folder, CompileOptions(tmp_path), json=True)
    assert caught.value.code == MissingPartError.exit_code
    told = json.loads(capsys.readouterr().out)["plans"]
    assert [one["outcome"] for one in told] == ["failed", "there", "failed"]
    assert told[0]["error"]["what"] == "it ran out of memory"
    with pytest.raises(MissingPartError, match="no room"):
        run(bundle.folder, CompileOptions(tmp_path), json=False)
    said = capsys.readouterr().out
    assert "v  FAILED: it ran out of memory" in said
    assert "w  a plan that fits is there" in said


@pytest.mark.parametrize("call", ["sync_tree", "sync_folder"])
def test_a_store_whose_disk_is_full_is_said(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"edgemill_runtimes.nvidia.plans.{call}", full)
    (made,) = maker(tmp_path / "plans", True, []).fill(bundle)
    assert made.outcome == "failed"
    assert isinstance(made.error, MissingPartError)
    assert "No space left" in str(made.error)


def test_a_store_that_is_gone_in_the_meantime_is_said(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "plans"
    monkeypatch.setattr(proved_plans, "sweep", lambda store: shutil.rmtree(store))
    (made,) = maker(store, True, []).fill(bundle)
    assert isinstance(made.error, MissingPartError)
    assert "store cannot be written" in made.why


def test_in_which_order_gpus_are_named_does_not_matter(bundle: Bundle, tmp_path: Path) -> None:
    found = [
        PlanMaker(tmp_path / "plans", named, here=tuple).fill(bundle)[0]
        for named in (("8.9", "8.6"), ("8.6", "8.9"), ("8.9", "8.6", "8.9"))
    ]
    assert [one.outcome for one in found] == ["ahead", "there", "there"]
    assert len({one.plan for one in found}) == 1
    assert in_order(("12.0", "8.9", "10.0", "8.6")) == ("8.6", "8.9", "10.0", "12.0")
    assert Asked("tensorrt_rtx", ("8.9", "8.6", "8.9")).compute_capabilities == ("8.6", "8.9")


def test_ahead_for_other_gpus_it_is_not_proved_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    store = tmp_path / "plans"
    command = ["agent", "compile", str(bundle.folder), "--store", str(store), "--compute-capability", "8.6"]
    done = CliRunner().invoke(app, [*command, "--compute-capability", "8.9", "--json", "--limit", "cores=1"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["plans"]
    assert (told["outcome"], told["proof"], told["facts"]["gpu"]) == ("ahead", None, None)
    assert told["facts"]["compute_capabilities"] == ["8.6", "8.9"]
    assert fitting_plan(bundle.path(FILES[0]), store, "tensorrt_rtx", RTX, VERSION) == Path(told["plan"])
    again = CliRunner().invoke(app, [*command, "--compute-capability", "8.9"])
    assert "a plan that fits is there" in again.stdout


def test_what_compiles_on_the_box_alone_is_left_out_ahead(tmp_path: Path) -> None:
    bundle = for_runtime(tmp_path, "tensorrt")
    with pytest.raises(MissingPartError, match="tensorrt compiles on the box itself"):
        run(bundle.folder, CompileOptions(tmp_path / "plans", compute_capabilities=("8.6",)), json=False)


def test_a_bundle_without_tensorrt_has_nothing_to_compile(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nothing to compile"):
        maker(tmp_path / "plans", True, []).fill(for_runtime(tmp_path, "onnxruntime"))


@pytest.mark.parametrize(("holds", "json"), [(True, False), (False, False), (False, True)])
def test_the_exit_code_is_that_of_the_proof(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    holds: bool,
    json: bool,
) -> None:
    made = Planned("v", "compiled" if holds else "refused", proof=proof(holds), seconds=61)
    monkeypatch.setattr(PlanMaker, "fill", lambda *_: [made])
    if holds:
        run(bundle.folder, CompileOptions(tmp_path), json)
        assert "v  compiled and proved in 61 s; 0 of 2 golden decisions differ" in capsys.readouterr().out
        return
    with pytest.raises(SystemExit if json else ProofError) as caught:
        run(bundle.folder, CompileOptions(tmp_path), json)
    assert 1 in (getattr(caught.value, "exit_code", None), getattr(caught.value, "code", None))


def test_a_plan_that_lies_there_and_is_refused_says_how_to_be_rid_of_it(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "plans"
    (made,) = maker(store, True, []).fill(bundle)
    assert made.plan is not None
    again = maker(store, False, []).fill(bundle)
    monkeypatch.setattr(PlanMaker, "fill", lambda *_: again)
    with pytest.raises(ProofError, match=f"delete {made.plan.parent} to have it compiled anew"):
        run(bundle.folder, CompileOptions(store), json=False)


def test_one_at_a_time_compiles_into_a_store(bundle: Bundle, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MissingPartError, match="another process compiles"):
            maker(tmp_path, True, []).fill(bundle)


def test_a_store_that_cannot_be_written_is_said(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingPartError, match="store cannot be written"):
        maker(tmp_path / "file" / "plans", True, []).fill(bundle)


def test_limits_as_people_write_them() -> None:
    assert limits_from(["memory=4GiB", "time=30m", "cores=2"]) == CompileLimits(1800, 4294, 2)
    assert limits_from([]) == CompileLimits()


WRONG = ["memory", "memory=much", "memory=3", "time=30", "time=0s", "cores=0", "cores=x", "disk=1"]


@pytest.mark.parametrize("told", WRONG)
def test_other_limits_are_refused(told: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        limits_from([told])


def test_the_store_is_the_agents_own(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--store FOLDER"):
        run(bundle.folder, CompileOptions(), json=False)
    stations = [{"name": "s", "bundle": "b", "source": {"folder": "f"}}]
    settings = tmp_path / "agent.yaml"
    settings.write_text(json.dumps({"device": {"id": "box"}, "stations": stations}))
    assert read_settings(settings).plan_store == tmp_path / "state" / "plans"
    seen: list[Path] = []
    monkeypatch.setattr(PlanMaker, "fill", lambda self, _: seen.append(self.store) or [Planned("v", "there")])
    run(bundle.folder, CompileOptions(), json=True)
    settings.write_text(json.dumps({"device": {"id": "box"}, "stations": stations, "plans": "elsewhere"}))
    run(bundle.folder, CompileOptions(settings=settings), json=True)
    assert [os.path.relpath(one, tmp_path) for one in seen] == ["state/plans", "elsewhere"]
