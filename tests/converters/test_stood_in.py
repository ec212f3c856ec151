"""A build for targets of which nothing runs here: what is judged, what is said of it, and what ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result
from made_up_builds import int8_wins
from onnx import helper
from pydantic import ValidationError
from small_bundle import make_bundle, make_manifest
from tiny_text import tiny_model, write_workshop
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill.cli.bench import BenchSettings, _of_bundle, _time
from edgemill.summary import bundle_summary
from edgemill_converters.build import build
from edgemill_converters.building.away_steps import PLAN, REFUSAL, compile_ahead, plan_in
from edgemill_converters.building.finding import _entrant
from edgemill_converters.building.store import Entry
from edgemill_converters.chaining.recipe import ChainRecipe
from edgemill_converters.chaining.sources import shared_runtimes
from edgemill_converters.quantization.plan import CORRECTED
from edgemill_converters.recipe import Objective
from edgemill_converters.report import write_report
from edgemill_converters.report.making import weight_bits
from edgemill_converters.result import BuildResult, VariantResult
from edgemill_converters.standing_in.running import TOLERANCE, write_spelled_out
from edgemill_converters.targets import Target
from edgemill_core.budget import Outcome
from edgemill_core.bundle import Bundle, VariantEntry, card_of, open_bundle, schema_version, through
from edgemill_core.bundle.bill import read_bill
from edgemill_core.errors import (
    BudgetError,
    BundleError,
    EdgemillError,
    EngineCrashed,
    EngineError,
    EngineTimeout,
    InputError,
    MissingPartError,
    ModelError,
    RecipeError,
)
from edgemill_runtimes.benching import bench as run_bench
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.machine import Machine
from edgemill_runtimes.nvidia.compiling import Asked, Progress
from edgemill_runtimes.nvidia.plan_facts import PlanFacts, facts_beside
from edgemill_runtimes.pipeline import open_pipeline
from edgemill_runtimes.proof import Proof

pytestmark = pytest.mark.slow
TARGETS = [
    {"runtime": "tensorrt", "precisions": ["fp16", "int8"]},
    {"runtime": "onnxruntime", "precisions": ["fp32"]},
]
RTX: dict[str, Any] = {"compute_capability": ("8.6",)}
FACTS = PlanFacts(
    runtime="tensorrt_rtx",
    version="1.7.1.116",
    compute_capabilities=("8.6", "8.9"),
    graph="a" * 64,
    plan="b" * 64,
    bytes=5_300_000,
)


@pytest.fixture(scope="module", autouse=True)
def seven_bits() -> Iterator[None]:
    """The build machine's processor is one whose INT8 saturates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "int8_weight_bits", 7)
        yield


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("away")
    return build(write_workshop(folder, targets=TARGETS), folder / "out")


@pytest.fixture(scope="module")
def bundle(away: BuildResult) -> Bundle:
    assert away.bundle is not None
    return open_bundle(away.bundle.folder)


def told(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def stood_in(result: BuildResult) -> list[VariantResult]:
    return [variant for variant in result.variants if variant.runtime == "tensorrt"]


def test_all_are_judged_none_is_timed_and_no_gate_of_speed_counts(away: BuildResult) -> None:
    assert [one.precision for one in stood_in(away)] == ["fp16", "int8"]  # and no FP32 to compare times with
    for one in stood_in(away):
        assert one.ruling.outcome is Outcome.PASS
        assert one.measurement is None
        assert re.fullmatch(r"onnxruntime [0-9.]+ computing the graph as written", one.stand_in)
        assert not one.ruling.gates
    assert away.variant("onnxruntime-cpu-fp32").stand_in == ""


def test_the_least_weights_ship_behind_what_was_measured(away: BuildResult) -> None:
    assert away.choice.shipped == ("onnxruntime-cpu-fp32", "tensorrt-gpu-fp16")
    why = {refusal.variant: refusal.why for refusal in away.choice.refused}
    assert "larger, where nothing is timed" in why["tensorrt-gpu-int8"]
    assert "of weights of tensorrt-gpu-fp16" in why["tensorrt-gpu-int8"]


def test_the_golden_outputs_are_what_the_very_graph_that_ships_gives_as_written(bundle: Bundle, tmp_path: Path) -> None:
    variant = bundle.model.variants[1]
    spelled = write_spelled_out(bundle.path(variant.graph), tmp_path)
    inputs, golden = (np.load(bundle.path(name)) for name in (bundle.model.golden.inputs, variant.golden.outputs))
    with load("onnxruntime", spelled) as engine:
        found = np.concatenate([engine.run({engine.inputs[0].name: row[None]})[bundle.task.output] for row in inputs])
    assert np.array_equal(found, golden)
    exact = np.load(bundle.path(bundle.model.variants[0].golden.outputs))
    assert 0 < np.abs(exact - golden).max() <= variant.golden.tolerance == TOLERANCE["fp16"]


def test_the_manifest_says_so_and_an_older_agent_is_told_by_its_version(bundle: Bundle) -> None:
    measured, away = bundle.model.variants
    assert bundle.manifest.schema_version == "1.5"
    assert away.golden.stand_in is not None
    assert (away.device, away.cpu, away.plans) == ("GPU", None, ())
    assert away.requires is not None
    assert (away.requires.built_with, away.requires.least) == (None, "10.3")
    raw = bundle.manifest.model_dump(mode="json")["models"][0]["variants"]
    assert "stand_in" not in raw[0]["golden"]
    assert "plans" not in raw[0]
    assert measured.golden.stand_in is None


def test_card_bill_and_records_say_so(bundle: Bundle) -> None:
    card = card_of(bundle)
    assert card is not None
    assert list(card.stand_ins) == ["tensorrt-gpu-fp16"]
    said = through(card.stand_ins["tensorrt-gpu-fp16"])
    assert f"tensorrt-gpu-fp16 was {said}. Its latency was not measured." in bundle.path("card.md").read_text()
    parts = {one["name"]: one.get("properties", []) for one in read_bill(bundle)["components"]}
    assert "edgemill:judged through a stand-in" in {one["name"] for one in parts["tensorrt-gpu-fp16"]}
    assert "edgemill:judged through a stand-in" not in {one["name"] for one in parts["onnxruntime-cpu-fp32"]}
    told_of = json.loads(bundle.path("measurements.json").read_text())["variants"]
    assert told_of["tensorrt-gpu-fp16"]["measured"] is False
    assert "p50_ms" not in told_of["tensorrt-gpu-fp16"]
    assert told_of["onnxruntime-cpu-fp32"]["p50_ms"] > 0


def test_a_gpu_has_its_biases_corrected_for_eight_bits_whatever_the_build_machine_takes(away: BuildResult) -> None:
    plan = away.plan
    assert plan is not None
    assert plan.weight_bits == 7
    assert plan.shifts_in_8_bits is not None
    assert plan.shifts_in_8_bits.keys() == plan.bias_shifts.keys() != set()
    assert plan.shifts_in_8_bits != plan.bias_shifts
    assert plan.digest != replace(plan, shifts_in_8_bits=None).digest
    assert CORRECTED in away.variant("tensorrt-gpu-int8").steps
    text = re.sub(r"<[^>]+>", " ", unescape(away.report.read_text()))
    assert re.search(r"weight bits\s+8 ", text)


def test_the_bits_of_weights_are_those_of_the_targets_that_take_them() -> None:
    here, trt, rtx = Target(runtime="openvino"), Target(runtime="tensorrt"), Target(runtime="tensorrt_rtx", **RTX)
    seven = weight_bits(7, [here])
    assert seven.startswith("7, because this CPU")
    assert weight_bits(8, [here, trt]) == weight_bits(7, [trt]) == "8"
    assert weight_bits(7, [Target(runtime="openvino", precisions=("fp32",)), trt]) == "8"
    assert weight_bits(7, [here, Target(runtime="tensorrt", precisions=("fp16",))]) == seven
    assert weight_bits(7, [here, trt, rtx]) == f"{seven}; 8 for tensorrt and tensorrt_rtx"


def test_the_report_has_no_time_of_what_was_not_timed(away: BuildResult) -> None:
    page = unescape(away.report.read_text())
    table = page[page.index("<caption>Batch 1, inference alone") :]
    row = table[re.search(r"<th[^>]*>tensorrt-gpu-fp16<", table).start() :]  # type: ignore[union-attr]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[: row.index("</tr>")])
    assert cells[1:4] == ["not measured here", "not measured here", "n/a"]
    assert cells[5] == "not measured here"
    text = re.sub(r"<[^>]+>", " ", page)
    assert "FP16 ships for tensorrt on GPU, judged through a stand-in: onnxruntime" in text
    assert "to be proved on the box, and its latency is not measured here" in text
    assert text.count("gates about speed and fused layers do not apply") == 2
    assert "smallest inside the budget for tensorrt-GPU" in text
    assert "no plan; one is compiled on the box" in text
    assert "may be further off, or overflow where this does not" in text


def test_the_command_says_so(away: BuildResult, bundle: Bundle) -> None:
    assert list(bundle_summary(away)["stand_ins"]) == [one.name for one in stood_in(away)]  # type: ignore[call-overload]
    recipe = away.recipe.folder / "recipe.yaml"
    printed = told("build", recipe, "--out", bundle.folder.parent).stdout
    line = next(line for line in printed.splitlines() if line.startswith("tensorrt-gpu-int8 "))
    assert line.split()[1:3] == ["-", "-"]
    assert "tensorrt-gpu-int8: latency not measured here; judged through a stand-in: onnxruntime" in printed
    shown = told("bundle", "show", bundle.folder).stdout
    assert "tensorrt-gpu-fp16: judged through a stand-in: onnxruntime" in shown


def test_a_box_without_a_gpu_passes_it_over(bundle: Bundle) -> None:
    with open_pipeline(bundle) as pipeline:
        assert pipeline.runtime == "onnxruntime"
    with pytest.raises(MissingPartError):
        open_pipeline(bundle, "tensorrt")
    model = bundle.model.model_copy(update={"variants": bundle.model.variants[1:]})
    alone = Bundle(bundle.folder, bundle.manifest.model_copy(update={"models": (model,)}))
    with pytest.raises(MissingPartError, match="none of the bundle's runtimes can be had here"):
        open_pipeline(alone)


def test_check_proves_what_is_to_be_had_and_names_the_rest(bundle: Bundle) -> None:
    found = told("check", bundle.folder)
    assert found.exit_code == 0
    assert "onnxruntime-cpu-fp32  holds" in found.stdout
    assert "tensorrt-gpu-fp16  not to be had here, so not proved" in found.stdout
    as_json = json.loads(told("check", bundle.folder, "--json").stdout)
    assert (as_json["holds"], list(as_json["not_here"])) == (True, ["tensorrt-gpu-fp16"])
    assert as_json["all_proved"] is False
    alone = json.loads(told("check", bundle.folder, "--json", "--runtime", "onnxruntime").stdout)
    assert (alone["all_proved"], alone["not_here"]) == (True, {})
    with pytest.raises(MissingPartError):
        CliRunner().invoke(
            app, ["check", str(bundle.folder), "--runtime", "tensorrt"], catch_exceptions=False, standalone_mode=False
        )


def test_check_passes_over_no_runtime_that_any_box_can_have(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(_: Bundle, variant: VariantEntry, *__: object) -> Proof:
        if variant.runtime == "onnxruntime":
            raise MissingPartError("onnxruntime is not installed", expected="it", got="none", fix="-")
        return Proof(variant.name, 1, 0, 0.0, 0.1, True, "")

    monkeypatch.setattr("edgemill.cli.check.prove", prove)
    found = told("check", bundle.folder)
    assert isinstance(found.exception, MissingPartError)
    assert "holds" not in found.stdout


def test_bench_times_what_is_to_be_had_and_names_the_rest(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load_it = EngineProcess.__init__

    def counted(child: EngineProcess, runtime: str, *given: Any) -> None:
        loaded.append(runtime)
        load_it(child, runtime, *given)

    monkeypatch.setattr(EngineProcess, "__init__", counted)
    monkeypatch.setattr("edgemill.cli.bench.bench", partial(run_bench, window_s=0.05))
    settings = BenchSettings(bundle.folder, None, "latency", None, None, (), None, 1.0, json=True)
    subjects = _of_bundle(settings)

    def timed(which: Iterable[str], passes_over: bool = True) -> tuple[list[str], list[str]]:
        asked = {name: subjects[name] for name in which}
        results, missing = _time(asked, tmp_path, 0.01, print, passes_over)
        return list(results), list(missing)

    assert timed(subjects) == (["onnxruntime-cpu-fp32"], ["tensorrt-gpu-fp16"])
    assert sorted(loaded) == ["onnxruntime", "tensorrt"]  # once each
    with pytest.raises(MissingPartError):
        timed(["tensorrt-gpu-fp16"])
    with pytest.raises(MissingPartError):
        timed(["tensorrt-gpu-fp16"], passes_over=False)
    monkeypatch.setattr("edgemill.cli.bench.NVIDIA_RUNTIMES", ())
    with pytest.raises(MissingPartError):
        timed(reversed(subjects))


def test_check_and_bench_look_at_what_was_compiled_for_this_box(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Path | None, bool]] = []

    def prove(_: Bundle, variant: VariantEntry, __: int, settings: EngineSettings, isolated: bool) -> Proof:
        seen.append((variant.runtime, settings.cache, isolated))
        return Proof(variant.name, 1, 0, 0.0, 0.1, True, "")

    monkeypatch.setattr("edgemill.cli.check.prove", prove)
    assert told("check", bundle.folder, "--plans", tmp_path).exit_code == 0
    assert sorted(seen) == [("onnxruntime", None, False), ("tensorrt", tmp_path, True)]
    settings = BenchSettings(bundle.folder, None, "latency", None, None, (), None, 1.0, json=True, plans=tmp_path)
    found = {one.runtime: one.settings.cache for one in _of_bundle(settings).values()}
    assert found == {"onnxruntime": None, "tensorrt": tmp_path}


def test_a_chain_is_of_runtimes_that_ran(bundle: Bundle) -> None:
    def shared(*runtimes: str) -> tuple[str, ...]:
        return shared_runtimes(ChainRecipe.model_construct(runtimes=runtimes), [bundle, bundle])

    assert shared() == ("onnxruntime",)
    with pytest.raises(RecipeError, match="judged through a stand-in is none"):
        shared("tensorrt")


# built ahead: the compiler itself is in tests/converters/test_rtx_build.py


def compiled_with(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> tuple[Any, list[str]]:
    """What ``compile_ahead`` finds, and what it says, with a compiler that writes one plan or fails."""

    def compiler(graph: Path, plan: Path, asked: Asked, _: object, tell: Any) -> PlanFacts:
        assert (graph, asked) == (Path("g.onnx"), Asked("tensorrt_rtx", ("8.6", "8.9")))
        tell(Progress("Building", 0.5, 1.0, None))
        if error is not None:
            raise error
        plan.write_bytes(b"plan")
        facts_beside(plan).write_text(FACTS.model_dump_json())
        return FACTS

    monkeypatch.setattr("edgemill_runtimes.nvidia.compiling.compile_plan", compiler)
    heard: list[str] = []
    compile_ahead(folder, heard.append, "rtx-fp16", Path("g.onnx"), ("8.6", "8.9"))
    return plan_in(Entry(folder, {}, 0.0, True)), heard


def test_a_plan_is_found_with_its_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, heard = compiled_with(tmp_path, monkeypatch, None)
    assert found == (FACTS, None)
    assert heard == ["compiling for 8.6, 8.9: Building"]
    assert {path.name for path in tmp_path.iterdir()} == {PLAN, f"{PLAN}.json", REFUSAL}


@pytest.mark.parametrize("kind", [ModelError, InputError])
def test_a_plan_that_cannot_be_built_refuses_the_variant_and_not_the_build(
    kind: type[EdgemillError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = kind("no kernel for 'nms'", expected="one", got="none", fix="-")
    found, _ = compiled_with(tmp_path, monkeypatch, error)
    assert found == (None, "no plan of it can be built: no kernel for 'nms': expected one, got none")


@pytest.mark.parametrize("kind", [EngineCrashed, EngineTimeout, EngineError])
def test_what_may_come_out_otherwise_the_next_time_is_not_kept(
    kind: type[EngineError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind, match="the plan of rtx-fp16 could not be compiled: it was killed") as caught:
        compiled_with(tmp_path, monkeypatch, kind("it was killed", expected="a plan", got="signal 9", fix="-"))
    assert not list(tmp_path.iterdir())
    assert "build again" in str(caught.value.fix)


def test_a_graph_that_nothing_can_stand_in_for_refuses_the_variant_and_not_the_build(tmp_path: Path) -> None:
    targets = [{"runtime": "tensorrt", "precisions": ["fp32"]}, {"runtime": "onnxruntime", "precisions": ["fp32"]}]
    recipe = write_workshop(tmp_path, judge=2, targets=targets)
    model = tiny_model()
    model.graph.node[-1].output[0] = "exact"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["exact"], ["scale"], "max", keepdims=0),
            helper.make_node("QuantizeLinear", ["exact", "scale"], ["whole"], "q"),
            helper.make_node("DequantizeLinear", ["whole", "scale"], ["p"], "dq"),
        ]
    )
    onnx.save(model, tmp_path / "tiny.onnx")
    with pytest.raises(BudgetError) as caught:
        build(recipe, tmp_path / "out")
    assert "tensorrt-gpu-fp32: fail: it cannot be judged here" in str(caught.value.got)
    assert "'scale' of 'q' is computed" in str(caught.value.got)
    assert "onnxruntime-cpu-fp32: undecided" in str(caught.value.got)
    page = unescape((tmp_path / "out" / "tiny-1.0.0.report.html").read_text())
    text = re.sub(r"<[^>]+>", " ", page)
    assert "whatever its metrics: it cannot be judged here" in text
    assert "tensorrt, not judged" in text
    assert "judged through a stand-in" not in text
    # Both have their layers; one alone has what became of parts, and which verdicts flip.
    assert [page.count(f"<h3>{name}-fp32<") for name in ("tensorrt-gpu", "onnxruntime-cpu")] == [1, 3]


def test_a_part_that_is_missing_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPartError):
        compiled_with(tmp_path, monkeypatch, MissingPartError("the disk is full", expected="-", got="-", fix="-"))


def test_what_a_plan_is_for_is_shown_and_told_apart(tmp_path: Path) -> None:
    plan = "models/v/engine.plan"
    facts = {name: FACTS.model_copy(update={"version": name}).model_dump_json().encode() for name in ("1.7", "1.8")}
    one, two = (
        make_bundle(tmp_path / name, {plan: name.encode(), f"{plan}.json": told_of}, plans=(plan,))
        for name, told_of in facts.items()
    )
    assert open_bundle(one.folder).model.variants[0].plans == (plan,)
    assert one.model.variants[0].files[-2:] == (plan, f"{plan}.json")
    assert schema_version([one.model]) == "1.5"
    assert "v: engine.plan by tensorrt_rtx 1.7, for compute capability 8.6 and 8.9" in (
        told("bundle", "show", one.folder).stdout
    )
    assert json.loads(told("bundle", "show", one.folder, "--json").stdout)["variants"][0]["plans"] == [plan]
    assert f"{plan}: changed" in told("bundle", "diff", one.folder, two.folder).stdout
    altered = one.folder / f"{plan}.json"
    altered.write_bytes(facts["1.8"])
    with pytest.raises(BundleError, match="was altered"):
        open_bundle(one.folder)


@pytest.mark.parametrize("name", ["models/v/engine.onnx", "models/v/engine.plan.json"])
def test_what_is_no_plan_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        make_manifest(plans=(name,))


def unmeasured(variant: VariantResult, plan: PlanFacts | None) -> VariantResult:
    return replace(variant, measurement=None, stand_in="onnxruntime 1 computing the graph as written", plan=plan)


def test_what_a_variant_costs_is_its_time_or_its_weights(away: BuildResult) -> None:
    measured, other = away.variant("onnxruntime-cpu-fp32"), away.variant("tensorrt-gpu-int8")
    assert measured.measurement is not None
    entrants = [_entrant(one, measured, 7) for one in (Objective.LATENCY_P50, Objective.LATENCY_P99)]
    assert [one.cost for one in entrants] == [measured.measurement.p50_ms, measured.measurement.p99_ms]
    assert all(one.is_timed for one in entrants)
    for one in (other, replace(other, plan=FACTS)):
        weights = _entrant(Objective.LATENCY_P99, one, 7_000_000)
        assert (weights.cost, weights.unit, weights.is_timed) == (7.0, "MB of weights", False)


def test_a_report_is_drawn_where_nothing_was_measured(tmp_path: Path) -> None:
    result = int8_wins(tmp_path)
    variants = tuple(unmeasured(one, FACTS if index == 3 else None) for index, one in enumerate(result.variants))
    write_report(replace(result, variants=variants), tmp_path / "page.html")
    text = re.sub(r"<[^>]+>", " ", unescape((tmp_path / "page.html").read_text()))
    assert "plan of 5.3 MB by tensorrt_rtx 1.7.1.116, for compute capability 8.6 and 8.9" in text
    assert "nothing of the targets runs on this machine" in text
