"""Chains of real models on real runtimes: found, cropped, read; built, proved, altered."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_labels import CELL, CHAIN, SCALE, part, write_chain_recipe
from tiny_trees import write_tree_recipe

import edgemill
from edgemill_converters.build import build
from edgemill_converters.chaining import ChainResult, build_chain, read_chain_recipe
from edgemill_converters.chaining.bundling import GOLDEN_FRAMES, golden_indices
from edgemill_converters.chaining.sources import shared_runtimes
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle, Manifest, describe_files, open_bundle, write_bundle
from edgemill_core.chain import Stage
from edgemill_core.durable import canonical_json
from edgemill_core.errors import BudgetError, BundleError, EdgemillError, EngineError, InputError, RecipeError
from edgemill_core.picture_input import Region
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.frames import encode_png, read_picture
from edgemill_runtimes.pipeline import ChainPipeline, ModelPipeline, open_chain, open_pipeline
from edgemill_runtimes.proof import frames_hold, prove_all

pytestmark = pytest.mark.slow
RUNTIMES = ("onnxruntime", "openvino")
Command = Callable[..., subprocess.CompletedProcess[str]]
RNG = np.random.default_rng(11)
AB = [((2, 3), "AB")]


@pytest.fixture
def bundle(chained: ChainResult, tmp_path: Path) -> Bundle:
    """A copy that may be spoiled."""
    assert chained.bundle is not None
    shutil.copytree(chained.bundle.folder, tmp_path / "copy")
    return open_bundle(tmp_path / "copy")


@pytest.fixture
def recipe(tmp_path: Path, found: Path, built: BuildResult, chained: ChainResult) -> Callable[..., Path]:
    """Writes a recipe beside links to the stages' bundles and the judge's pictures."""
    (tmp_path / "judge").symlink_to(chained.recipe.path("judge"))
    assert built.bundle is not None
    return lambda **changes: write_chain_recipe(tmp_path, found, built.bundle.folder, **changes)


def resealed(bundle: Bundle, change: Callable[[dict[str, Any]], None] = lambda raw: None) -> Bundle:
    """What a careless or hostile build would ship: other bytes or words, with digests to match."""
    raw = json.loads((bundle.folder / "manifest.json").read_text())
    change(raw)
    files = describe_files(bundle.folder, list(raw["files"]))
    raw["files"] = {name: entry.model_dump(mode="json") for name, entry in files.items()}
    source = bundle.folder.rename(bundle.folder.with_name("spoiled"))
    write_bundle(source, Manifest.model_validate(raw), bundle.folder)
    return open_bundle(bundle.folder)


def with_stages(bundle: Bundle, runtime: str = "onnxruntime", **settings: Any) -> ChainPipeline:
    """The chain with other settings of its second stage."""
    read = Stage(**{key: value for key, value in {**CHAIN[1], **settings}.items() if key != "bundle"})
    return open_chain([Stage(name="find"), read], bundle.alone(), runtime)


def reads(verdict: Verdict) -> list[str]:
    stages: Any = verdict.reading["stages"]
    return [seen["reading"]["text"] for seen in stages["read"]["seen"] if "reading" in seen]


# Built


def test_the_chain_is_inside_its_budget_on_both_runtimes_and_tells_every_part_apart(chained: ChainResult) -> None:
    assert {one.runtime for one in chained.runtimes} == set(RUNTIMES)
    for one in chained.runtimes:
        assert one.holds
        truths = [bool(sample.truth and sample.truth.good) for sample in chained.samples]
        assert [verdict.decision is Decision.PASS for verdict in one.verdicts] == truths
    assert chained.as_dict()["verdict"] == "pass"


def test_every_byte_of_a_stage_is_as_its_own_build_left_it(
    chained: ChainResult, built: BuildResult, found: Path
) -> None:
    assert chained.bundle is not None
    assert built.bundle is not None
    files = open_bundle(chained.bundle.folder).manifest.files
    for name, source in (("find", open_bundle(found)), ("read", built.bundle)):
        own = {
            path.removeprefix(f"stages/{name}/"): e for path, e in files.items() if path.startswith(f"stages/{name}/")
        }
        assert own
        assert own.items() <= source.manifest.files.items()
    origins = chained.bundle.chain.origins if chained.bundle.chain else ()
    assert [origin.content_digest for origin in origins][1] == built.bundle.manifest.content_digest


def test_the_same_bundles_and_pictures_give_the_same_content(
    chained: ChainResult, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    again = build_chain(recipe(), tmp_path / "out").bundle
    assert chained.bundle is not None
    assert again is not None
    assert again.manifest.content_digest == chained.bundle.manifest.content_digest
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".edgemill-build")]


def test_a_bundle_of_one_model_reads_as_before_there_were_chains(built: BuildResult, chained: ChainResult) -> None:
    assert built.bundle is not None
    assert chained.bundle is not None
    raw = json.loads((built.bundle.folder / "manifest.json").read_text())
    assert "chain" not in raw
    assert raw["schema_version"] == chained.bundle.manifest.schema_version == "1.4"
    assert canonical_json(raw) == (built.bundle.folder / "manifest.json").read_bytes()
    assert built.bundle.alone() == (built.bundle,)


def test_golden_frames_are_good_and_bad_in_equal_parts(chained: ChainResult) -> None:
    assert chained.bundle is not None
    assert chained.bundle.chain is not None
    golden = chained.bundle.chain.golden
    assert len(golden.frames) == GOLDEN_FRAMES
    assert sum(golden.good) == GOLDEN_FRAMES // 2
    for runtime in RUNTIMES:
        assert [said == "pass" for said in golden.decisions[runtime]] == list(golden.good)
    assert golden_indices([True] * 3) == [0, 1, 2]
    assert golden_indices([False] * 100 + [True]) == [0, 25, 50, 75, 100]


def test_a_budget_that_is_missed_leaves_a_report_and_no_bundle(recipe: Callable[..., Path], tmp_path: Path) -> None:
    tight = [{"metric": m, "at_most": 0.001} for m in ("escape_rate", "overkill_rate")]
    with pytest.raises(BudgetError, match="not inside the budget on o") as caught:
        build_chain(recipe(budget=tight, runtimes=["openvino"]), tmp_path / "out")
    assert "needs about 2995" in str(caught.value)
    assert "onnxruntime" not in str(caught.value)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["labels-1.0.0.report.html"]
    assert "not inside its budget" in (tmp_path / "out" / "labels-1.0.0.report.html").read_text()


def test_wrong_verdicts_stand_in_the_report(recipe: Callable[..., Path], tmp_path: Path) -> None:
    lenient = [CHAIN[0], {**CHAIN[1], "decides": False}]
    with pytest.raises(BudgetError, match="escapes"):
        build_chain(recipe(chain=lenient, runtimes=["onnxruntime"]), tmp_path / "out")
    page = (tmp_path / "out" / "labels-1.0.0.report.html").read_text()
    assert "onnxruntime: 22 of 130" in page
    assert "<td>0001.png</td><td>bad</td><td>pass</td>" in page


# Recipes


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"colour": "red"}, ["wrong at 'colour'", "keys known here: name, version, chain"]),
        ({"folder": "/"}, ["wrong at 'folder'"]),
        ({"chain": CHAIN[:1]}, ["wrong at 'chain'", "line 3"]),
        (
            {"chain": [CHAIN[1], CHAIN[0]]},
            ["wrong at 'chain'", "read takes crops of find; before it there is no stage"],
        ),
        ({"chain": [{**CHAIN[0], "crops_of": "read"}, CHAIN[1]]}, ["find takes crops of read"]),
        ({"chain": [CHAIN[0], {**CHAIN[1], "speed": 1}]}, ["chain.1.speed", "crops_of, classes, margin"]),
        ({"chain": [{**CHAIN[0], "margin": 1}, CHAIN[1]]}, ["margin: only with crops_of"]),
        ({"chain": [{"name": "find"}, CHAIN[1]]}, ["chain.0.bundle", "this key"]),
        ({"budget": [{"metric": "escape_rate", "at_most": 0.1}]}, ["wrong at 'budget'", "rejects everything"]),
        ({"budget": [{"metric": "escape_rate", "max_drop": 0.1}]}, ["budget.0.at_most", "metric, at_most, confidence"]),
        ({"data": {"judge": {"labels": "x"}, "calibration": {"labels": "x"}}}, ["data.calibration"]),
        ({"data": {"judge": {"coco": "x.json"}}}, ["wrong at 'data.judge'", "line ", "boxes (coco:)", "labels:"]),
        ({"runtimes": ["openvino", "openvino"]}, ["each runtime once"]),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_line(tmp_path: Path, change: dict[str, Any], parts: list[str]) -> None:
    path = write_chain_recipe(tmp_path, tmp_path / "find-1.0.0", tmp_path / "tiny-1.0.0", judge=1, **change)
    with pytest.raises(RecipeError) as caught:
        read_chain_recipe(path)
    for piece in (str(path), *parts):
        assert piece in str(caught.value), str(caught.value)


def refused(recipe: Path, kind: type[EdgemillError], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        build_chain(recipe)
    for piece in ("expected", "to do", *parts):
        assert piece in str(caught.value), str(caught.value)


def test_stages_that_do_not_fit_their_bundles_are_refused(recipe: Callable[..., Path], chained: ChainResult) -> None:
    refused(recipe(chain=[{**CHAIN[0], "bundle": "gone"}, CHAIN[1]]), BundleError, "stage find: there is no bundle at")
    refused(recipe(chain=[CHAIN[0], {**CHAIN[1], "classes": ["hole"]}]), RecipeError, "crops of hole; find has label")
    turned = [{**CHAIN[0], "bundle": "tiny-1.0.0"}, CHAIN[1] | {"bundle": "find-1.0.0"}]
    refused(recipe(chain=turned), RecipeError, "whose task text-recognition finds no boxes")
    refused(recipe(runtimes=["tensorrt"]), RecipeError, "not every stage has this runtime", "tensorrt")
    assert chained.bundle is not None
    nested = [{**CHAIN[0], "bundle": str(chained.bundle.folder)}, CHAIN[1]]
    refused(recipe(chain=nested), RecipeError, "stage find cannot be made of labels", "a chain")


def test_stages_without_a_runtime_in_common_and_models_of_numbers_are_refused(
    recipe: Callable[..., Path], found: Path, tmp_path: Path
) -> None:
    (tmp_path / "trees").mkdir()
    trees = build(write_tree_recipe(tmp_path / "trees"), tmp_path / "trees" / "out").bundle
    assert trees is not None
    of_numbers = [CHAIN[0], {**CHAIN[1], "bundle": str(trees.folder)}]
    refused(recipe(chain=of_numbers), RecipeError, "takes numbers")
    raw = json.loads((found / "manifest.json").read_text())
    shutil.copytree(found, tmp_path / "copy")
    raw["models"][0]["variants"] = [{**raw["models"][0]["variants"][0], "runtime": "elsewhere"}]
    write_bundle(tmp_path / "copy", Manifest.model_validate(raw), tmp_path / "elsewhere")
    apart = [{**CHAIN[0], "bundle": "elsewhere"}, CHAIN[1]]
    refused(recipe(chain=apart), RecipeError, "do not share a runtime", "elsewhere; ")


def test_a_recipe_of_a_chain_is_none_of_a_model(recipe: Callable[..., Path]) -> None:
    with pytest.raises(RecipeError, match="recipe of a chain"):
        build(recipe())


def test_labels_that_are_missing_are_asked_for(recipe: Callable[..., Path]) -> None:
    with pytest.raises(EdgemillError, match="the judge needs labels"):
        build_chain(recipe(data={"judge": {"pictures": "judge"}}))


# Run


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_label_is_found_and_read_wherever_it_is(chained: ChainResult, runtime: str, tmp_path: Path) -> None:
    assert chained.bundle is not None
    with edgemill.open_pipeline(edgemill.open_bundle(chained.bundle.folder), runtime=runtime) as inspect:
        inspect.warm_up()
        for place in ((0, 0), (3, 7), (1, 4)):
            verdict = inspect(part([(place, "BA")], [], RNG), {"expected": "BA"})
            assert (verdict.decision, reads(verdict)) == (Decision.PASS, ["BA"])
            assert 0 <= verdict.confidence <= 1
        (tmp_path / "part.png").write_bytes(encode_png(part(AB, [], RNG)))
        wrong = inspect(tmp_path / "part.png", {"expected": "BA"})
        assert wrong.reasons == ("read (label at 0.62 0.44): reads 'AB', not 'BA'",)
        facts = inspect.facts()
        assert facts.runtime == inspect.runtime == runtime
        assert set(facts.as_dict()["stages"]) == {"find", "read"}


def test_the_best_runtime_is_taken_and_all_stages_run_on_it(chained: ChainResult) -> None:
    assert chained.bundle is not None
    with open_pipeline(chained.bundle) as inspect:
        assert isinstance(inspect, ChainPipeline)
        assert {one.model.runtime for one in inspect.stages} == {chained.runtimes[0].runtime}
    with pytest.raises(EngineError, match="no variant for 'tensorrt'"):
        open_pipeline(chained.bundle, "tensorrt")


def test_every_engine_is_warmed_up_and_closed(chained: ChainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chained.bundle is not None
    done: list[str] = []
    for what in ("warm_up", "close"):
        monkeypatch.setattr(ModelPipeline, what, lambda self, what=what: done.append(what))
    with open_pipeline(chained.bundle) as inspect:
        inspect.warm_up()
    assert done == ["warm_up", "warm_up", "close", "close"]
    find, read = chained.bundle.alone()
    one = Stage(name="find")
    with pytest.raises(EngineError):
        open_chain([one, one], [find, _only(read, "openvino")], "onnxruntime")
    assert done[4:] == ["close"]


def _only(bundle: Bundle, runtime: str) -> Bundle:
    variants = tuple(one for one in bundle.model.variants if one.runtime == runtime)
    model = bundle.model.model_copy(update={"variants": variants})
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"models": (model,)}))


def test_the_next_runtime_is_taken_where_the_best_is_not_installed(
    chained: ChainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    assert chained.bundle is not None
    first, second = (one.runtime for one in chained.runtimes)
    monkeypatch.setitem(sys.modules, first, None)
    monkeypatch.delitem(sys.modules, f"edgemill_runtimes.engines.{first}", raising=False)
    with open_pipeline(chained.bundle) as inspect:
        assert inspect.runtime == second


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_two_labels_are_both_read_and_more_than_allowed_is_uncertain(chained: ChainResult, runtime: str) -> None:
    assert chained.bundle is not None
    frame = part([((0, 1), "AB"), ((3, 5), "BB")], [], RNG)
    with open_pipeline(chained.bundle, runtime) as inspect:
        assert sorted(reads(inspect(frame))) == ["AB", "BB"]
        assert inspect(frame, {"expected": "AB"}).decision is Decision.REJECT
    with with_stages(chained.bundle, runtime, at_most=1) as inspect:
        verdict = inspect(frame)
        assert verdict.decision is Decision.UNCERTAIN
        assert verdict.reasons == ("read: 2 label by find, only 1 looked at",)


def test_a_crop_too_small_to_read_is_declared_and_not_read(chained: ChainResult) -> None:
    assert chained.bundle is not None
    with with_stages(chained.bundle, smallest=17) as inspect:
        verdict = inspect(part(AB, [], RNG))
        assert verdict.decision is Decision.REJECT
        assert "64 x 16 pixels show nothing, at least 17 needed" in verdict.reasons[0]
    with with_stages(chained.bundle) as inspect:
        tiny = inspect(np.ascontiguousarray(part(AB, [], RNG)[::43, ::43]))
        assert "pixels show nothing" in str(tiny.reasons) or "0 label" in str(tiny.reasons)


@pytest.mark.parametrize("size", [(1, 1), (1, 128), (3, 2), (2000, 1500)])
def test_frames_of_any_size_get_a_verdict(chained: ChainResult, size: tuple[int, int]) -> None:
    assert chained.bundle is not None
    with open_pipeline(chained.bundle) as inspect:
        for colour in ((255, 0, 0), (255, 255, 255), (0, 0, 0)):
            frame = np.full((*size, 3), colour, np.uint8)
            assert inspect(frame).decision in (Decision.REJECT, Decision.UNCERTAIN)


@pytest.mark.parametrize("frame", [np.zeros((0, 0, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3))])
def test_what_is_no_frame_is_refused(chained: ChainResult, frame: Any) -> None:
    assert chained.bundle is not None
    with open_pipeline(chained.bundle) as inspect:
        with pytest.raises(InputError, match="not a frame"):
            inspect(frame)
        with pytest.raises(InputError, match="takes something else"):
            inspect({"a": 1.0})


def test_a_region_that_a_later_model_was_built_with_does_not_apply_to_crops(chained: ChainResult) -> None:
    assert chained.bundle is not None
    find, read = chained.bundle.alone()
    elsewhere = read.model.input.model_copy(update={"region": Region(x=500, y=500, width=32, height=8)})
    model = read.model.model_copy(update={"input": elsewhere})
    moved = Bundle(read.folder, read.manifest.model_copy(update={"models": (model,)}))
    stages = [Stage(name="find"), Stage(name="read", crops_of="find", classes=("label",))]
    with open_chain(stages, [find, moved], "openvino") as inspect:
        assert reads(inspect(part(AB, [], RNG))) == ["AB"]


def test_boxes_are_shares_of_the_region_that_the_finder_looks_at(chained: ChainResult) -> None:
    """The same part beside others: the finder looks at its own region, and the crop is cut from the whole picture."""
    assert chained.bundle is not None
    find, read = chained.bundle.alone()
    declared = find.model.input.model_copy(update={"region": Region(x=100, y=30, width=128, height=128)})
    model = find.model.model_copy(update={"input": declared})
    moved = Bundle(find.folder, find.manifest.model_copy(update={"models": (model,)}))
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[30:158, 100:228] = part([((2, 3), "BA")], [], RNG)
    stages = [Stage(name="find"), Stage(name="read", crops_of="find", classes=("label",))]
    with open_chain(stages, [moved, read], "onnxruntime") as inspect:
        verdict = inspect(frame)
    assert reads(verdict) == ["BA"]
    assert verdict.reading["stages"]["read"]["seen"][0]["box"] == [0.49333, 0.39, 0.70667, 0.47]  # type: ignore[index]


def test_runtimes_are_ordered_by_their_ranks_in_the_stages(recipe: Callable[..., Path], chained: ChainResult) -> None:
    def ranked(*orders: tuple[str, ...]) -> tuple[str, ...]:
        assert chained.bundle is not None
        bundles = []
        for one, order in zip(chained.bundle.alone(), orders, strict=True):
            variants = tuple(one.model.variants[0].model_copy(update={"runtime": runtime}) for runtime in order)
            model = one.model.model_copy(update={"variants": variants})
            bundles.append(Bundle(one.folder, one.manifest.model_copy(update={"models": (model,)})))
        return shared_runtimes(asked, bundles)

    asked = read_chain_recipe(recipe())
    assert ranked(("a", "b"), ("a", "b")) == ("a", "b")
    assert ranked(("a", "b"), ("b", "a")) == ("a", "b")
    assert ranked(("a", "b", "c"), ("c", "b", "a")) == ("a", "b", "c")
    assert ranked(("b", "a", "c"), ("c", "b", "d")) == ("b", "c")
    assert ranked(("a", "c", "b"), ("b", "a", "c")) == ("a", "b", "c")
    asked = read_chain_recipe(recipe(runtimes=["c", "b"]))
    assert ranked(("a", "b", "c"), ("a", "b", "c")) == ("b", "c")


def test_a_crop_of_a_crop_is_cut_from_the_picture_as_it_came(chained: ChainResult) -> None:
    """A scratch is looked at closer, and closer again; what is found last lies where the scratch is."""
    assert chained.bundle is not None
    find = chained.bundle.alone()[0]
    stages = [
        Stage(name="find", decides=False),
        Stage(name="closer", crops_of="find", classes=("scratch",), margin=1.0, rotate=90),
        Stage(name="closest", crops_of="closer", classes=("scratch",), at_most=50),
    ]
    frame = part([], [(5, 2)], RNG)
    with open_chain(stages, [find] * 3, "openvino") as inspect:
        *_, closest = inspect.look(frame)
    boxes = [seen.crop.where for seen in closest.seen if seen.crop is not None]
    assert len(boxes) > 3
    side = CELL * SCALE * 8
    left, top, right, bottom = np.array(boxes).T * side
    assert left.min() == pytest.approx(5 * CELL * SCALE, abs=2)
    assert right.max() == pytest.approx(6 * CELL * SCALE, abs=2)
    assert top.min() == pytest.approx(2 * CELL * SCALE, abs=2)
    assert bottom.max() == pytest.approx(3 * CELL * SCALE, abs=2)


def test_a_label_that_stands_on_its_side_is_turned_before_it_is_read(chained: ChainResult) -> None:
    """The finder sees the picture upright; the reader gets the crop of a picture whose label is turned."""
    assert chained.bundle is not None
    frame = part(AB, [], RNG)
    cut = frame[3 * 16 : 4 * 16, 3 * 16 : 7 * 16].copy()
    for rotate in (90, 180, 270):
        with with_stages(chained.bundle, rotate=rotate) as inspect:
            turned = frame.copy()
            if rotate == 180:
                turned[3 * 16 : 4 * 16, 3 * 16 : 7 * 16] = np.rot90(cut, 2)
                assert reads(inspect(turned)) == ["AB"]
            else:
                assert reads(inspect(turned)) != ["AB"]


def test_a_box_has_thresholds_of_its_own_for_each_stage(chained: ChainResult) -> None:
    assert chained.bundle is not None
    frame = part(AB, [(7, 7)], RNG)
    with open_pipeline(chained.bundle, "openvino") as inspect:
        assert inspect(frame).decision is Decision.REJECT
        own = {"find": {"rules": [{"at_most": 9}]}, "read": {"min_confidence": 0.3}}
        inspect.tune(own)
        assert inspect(frame).decision is Decision.PASS
        proofs = prove_all(inspect, chained.bundle)
        variants = next(one.variants for one in chained.runtimes if one.runtime == "openvino")
        assert list(proofs) == [f"find/{variants[0]}", f"read/{variants[1]}", "chain/openvino"]
        assert all(proof.holds for proof in proofs.values())
        assert proofs["chain/openvino"].moved > 0
        inspect.tune({})
        assert inspect(frame).decision is Decision.REJECT
        for wrong in ({"write": {}}, {"min_confidence": 0.4}):
            with pytest.raises(RecipeError, match="stage by stage"):
                inspect.tune(wrong)
        with pytest.raises(RecipeError, match="cannot be tuned so"):
            inspect.tune({"read": {"alphabet": "AB"}})


# Proved


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_stage_and_the_whole_are_proved(chained: ChainResult, runtime: str) -> None:
    assert chained.bundle is not None
    bundle = open_bundle(chained.bundle.folder)
    assert frames_hold(bundle)
    with open_pipeline(bundle, runtime) as inspect:
        proofs = prove_all(inspect, bundle)
    assert [proof.samples for proof in proofs.values()] == [32, 32, GOLDEN_FRAMES]
    assert all(proof.holds and not proof.changed and not proof.moved for proof in proofs.values())


@pytest.mark.parametrize("stage", ["find", "read"])
def test_check_finds_the_stage_whose_graph_was_altered(edgemill_command: Command, bundle: Bundle, stage: str) -> None:
    done = edgemill_command("check", bundle.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("holds") == 6
    assert "chain/openvino  holds: 0 of 8 golden decisions differ\n" in done.stdout
    model = next(one for one in bundle.manifest.models if one.name == stage)
    path = bundle.path(model.variants[0].graph)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = edgemill_command("check", bundle.folder)
    assert done.returncode == 2
    assert f"stages/{stage}/models/{model.variants[0].name}/graph.onnx in the bundle was altered" in done.stderr


def test_a_graph_that_decides_otherwise_fails_the_proof_of_its_stage_and_of_the_whole(
    edgemill_command: Command, bundle: Bundle
) -> None:
    """Resealed, so that every digest is right: only what it says gives it away."""
    import onnx
    from onnx import numpy_helper

    variant = next(v for v in bundle.manifest.models[0].variants if v.precision == "fp32")
    path = bundle.path(variant.graph)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), "w"))
    onnx.save(model, path)
    bundle.path(variant.weights).write_bytes(b"")
    spoiled = resealed(bundle)
    done = edgemill_command("check", spoiled.folder, "--runtime", variant.runtime)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"find/{variant.name}  FAILS" in done.stdout
    assert f"chain/{variant.runtime}  FAILS" in done.stdout
    assert f"read/{variant.runtime}" in done.stdout
    other = next(runtime for runtime in RUNTIMES if runtime != variant.runtime)
    assert edgemill_command("check", spoiled.folder, "--runtime", other).returncode == 0


@pytest.mark.parametrize("what", ["decisions", "looks"])
def test_a_frame_that_is_judged_otherwise_fails_the_proof_of_the_whole(bundle: Bundle, what: str) -> None:
    def change(raw: dict[str, Any]) -> None:
        golden = raw["chain"]["golden"]
        golden[what]["openvino"][0] = "uncertain" if what == "decisions" else [1, 7]

    spoiled = resealed(bundle, change)
    with open_pipeline(spoiled, "openvino") as inspect:
        proofs = prove_all(inspect, spoiled)
        assert [proof.holds for proof in proofs.values()] == [True, True, False]
        assert proofs["chain/openvino"].changed == 1
        assert prove_all(inspect, spoiled, allowed=1)["chain/openvino"].holds


@pytest.mark.parametrize("stage", [0, 1])
def test_pre_processing_of_any_stage_that_differs_is_found(bundle: Bundle, stage: int) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["models"][stage]["golden"]["prepared"][0] = "0" * 64

    assert frames_hold(bundle)
    assert not frames_hold(resealed(bundle, change))


def test_golden_frames_that_do_not_belong_together_are_refused(bundle: Bundle) -> None:
    spoiled = resealed(bundle, lambda raw: raw["chain"]["golden"]["decisions"].pop("openvino"))
    with open_pipeline(spoiled, "openvino") as inspect:
        with pytest.raises(BundleError, match="do not belong together"):
            prove_all(inspect, spoiled)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda raw: raw["chain"]["stages"].reverse(), "before it there is no stage"),
        (lambda raw: raw["models"].reverse(), "the chain is of find, read, the models are read, find"),
        (lambda raw: raw.pop("chain"), "several models without a chain"),
        (lambda raw: raw["chain"]["stages"][1].update(classes=["hole"]), "crops of hole"),
        (lambda raw: raw["chain"]["runtimes"].pop(), "other variants than one for each"),
        (lambda raw: raw["chain"]["origins"].pop(), "the chain is of"),
        (lambda raw: raw["models"][0]["task"].update(name="poetry"), "no task called"),
        (lambda raw: raw["models"][1].update(input={"features": ["a"]}), "takes no pictures"),
        (lambda raw: raw["chain"].update(speed=1), "no such key"),
    ],
)
def test_a_manifest_whose_chain_makes_no_sense_is_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    from edgemill_core.bundle import parse_manifest

    raw = json.loads((bundle.folder / "manifest.json").read_text())
    change(raw)
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(raw).encode())
    assert why in str(caught.value)


# The command


def test_build_run_and_overlays_by_the_command(
    edgemill_command: Command, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    done = edgemill_command("build", recipe(runtimes=["openvino"]), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "openvino: openvino-cpu-fp32 → openvino-cpu-" in done.stdout
    assert "pass: escapes" in done.stdout
    (tmp_path / "line").mkdir()
    frame = part(AB, [(7, 7)], RNG)
    (tmp_path / "line" / "a.png").write_bytes(encode_png(frame.repeat(6, axis=0).repeat(6, axis=1)))
    told = ["run", tmp_path / "out" / "labels-1.0.0", tmp_path / "line", "--save", tmp_path / "drawn"]
    done = edgemill_command(*told)
    assert done.returncode == 0, done.stderr
    assert "find: 1 scratch, at most 0 allowed" in done.stdout
    drawn = read_picture(tmp_path / "drawn" / "a.png")
    green, found = (90, 160, 0), (200, 60, 160)
    cell = 6 * SCALE * CELL
    assert (drawn[3 * cell, 3 * cell + 8 : 7 * cell - 8] == green).all()
    assert (drawn[7 * cell, 7 * cell + 8 : 8 * cell - 8] == found).all()
    told = json.loads(edgemill_command(*told, "--json").stdout)["verdicts"][0]
    assert told["reading"]["stages"]["read"]["seen"][0]["reading"] == {"text": "AB"}
    done = edgemill_command("build", recipe(chain=CHAIN[:1]), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "RecipeError"


def test_bench_and_compare_go_model_by_model(edgemill_command: Command, chained: ChainResult, tmp_path: Path) -> None:
    assert chained.bundle is not None
    folder = chained.bundle.folder
    done = edgemill_command("bench", folder, "--runtime", "onnxruntime", "--seconds", "1", "--json")
    names = [one["name"] for one in json.loads(done.stdout)["results"]]
    assert [name.split("-")[0] for name in names] == ["find/onnxruntime", "read/onnxruntime"]
    out = ["--out", tmp_path / "c.html"]
    done = edgemill_command("compare", folder, folder, *out)
    assert done.returncode == 2
    assert "one model at a time" in done.stderr
    assert "@find | @read" in done.stderr
    done = edgemill_command("compare", f"{folder}@read/onnxruntime", f"{folder}@read/openvino", *out)
    assert done.returncode == 0, done.stderr
    assert "labels 1.0.0, read, onnxruntime-cpu-" in done.stdout
