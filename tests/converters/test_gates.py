"""Gates before the budget, in every constellation; and a whole build that is judged by boxes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import onnx
import pytest
import yaml
from pydantic import ValidationError
from tiny_boards import KINDS, detector, write_board_recipe, write_coco

from edgemill_converters.build import build
from edgemill_converters.building import Entry, finding
from edgemill_converters.candidates import Candidate, ExtraVariant, fp32_beside, rivals
from edgemill_converters.gates import MARGIN, Gates, gates_against, not_faster, unfused
from edgemill_converters.judging import prepare_set
from edgemill_converters.measuring import Measurement
from edgemill_converters.recipe import Target
from edgemill_converters.result import BuildResult
from edgemill_core.budget import Outcome
from edgemill_core.errors import BudgetError, DataError, EdgemillError, RecipeError

FP32 = [10.0, 10.2, 9.9, 10.1, 10.0]


@pytest.mark.parametrize(
    ("turns", "refused"),
    [
        ([5.0] * 5, False),
        ([10.0 * (1 - MARGIN) - 0.2] * 5, False),
        ([9.95] * 5, True),
        ([10.0] * 5, True),
        ([35.0] * 5, True),
        ([8.0, 8.0, 80.0, 90.0, 8.0], False),  # two turns disturbed
        ([8.0, 12.0, 12.0, 12.0, 8.0], True),
    ],
)
def test_only_what_is_faster_by_the_margin_is_a_gain(turns: list[float], refused: bool) -> None:
    assert (not_faster(turns, FP32) is not None) is refused


def test_a_machine_that_slows_down_for_both_changes_nothing() -> None:
    drift = [1.0, 1.5, 2.0, 3.0, 5.0]
    assert not_faster([9.0 * d for d in drift], [10.0 * d for d in drift]) is None
    assert not_faster([11.0 * d for d in drift], [10.0 * d for d in drift]) is not None


def test_the_reason_says_both_figures() -> None:
    why = not_faster([12.0] * 5, [10.0] * 5)
    assert why == (
        "not faster than FP32 on the same target: 12 ms against 10 ms (medians of 5 turns, +20.0%; at least 2% faster "
        "is asked for)"
    )


@pytest.mark.parametrize(("count", "at_most"), list(product(range(8), range(8))))
def test_layers_in_float_are_counted_and_named(count: int, at_most: int) -> None:
    names = [f"conv{index}" for index in range(count)]
    why = unfused(names, at_most)
    assert (why is None) is (count <= at_most)
    if why is not None:
        assert all(name in why for name in names[:5])
        assert ("conv5" in why) is False
        assert (f"and {count - 5} more" in why) is (count > 5)


@pytest.mark.parametrize(
    ("slow", "float_layers", "gates", "yardstick"),
    list(product([False, True], [0, 1, 3], [Gates(), Gates(unfused=1), Gates(slower="allow")], [True, False])),
)
def test_each_gate_shuts_by_itself(slow: bool, float_layers: int, gates: Gates, yardstick: bool) -> None:
    names = [f"conv{index}" for index in range(float_layers)]
    against = gates_against(gates, names, [20.0 if slow else 5.0] * 5, FP32 if yardstick else None)
    assert any("not faster" in why for why in against) is (slow and yardstick and gates.slower == "refuse")
    assert any("compute in float" in why for why in against) is (float_layers > gates.unfused)


@pytest.mark.parametrize("wrong", [{"unfused": -1}, {"slower": "perhaps"}, {"fused": 1}])
def test_gates_that_do_not_exist_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Gates.model_validate(wrong)


def test_turns_are_cut_out_of_what_was_measured_one_after_the_other() -> None:
    measured = Measurement((1.0, 2.0, 9.0, 4.0, 5.0, 6.0), 1, 1.0, 1.0, "1", {}, turns=2)
    assert measured.turn_medians_ms == (2.0, 5.0)


def candidate(name: str, runtime: str, precision: str, yardstick: bool = False) -> Candidate:
    return Candidate(name, Target(runtime=runtime), precision, onnx.ModelProto(), "", yardstick)


def test_rivals_are_the_changed_variants_of_the_same_target() -> None:
    everyone = [
        candidate("a", "onnxruntime", "fp32"),
        candidate("b", "onnxruntime", "int8"),
        candidate("c", "onnxruntime", "int8"),
        candidate("d", "openvino", "fp16"),
        candidate("e", "openvino", "fp32", yardstick=True),
        candidate("f", "abacus", "fp64"),
    ]
    assert [rivals(one, everyone) for one in everyone] == [1, 2, 2, 1, 1, 1]
    beside = [fp32_beside(one, everyone) for one in everyone]
    assert [one.name if one else None for one in beside] == [None, "a", "a", "e", None, None]


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A detector judged by boxes in COCO's form, asked for in INT8 alone; one INT8 variant is broken on purpose."""
    place = tmp_path_factory.mktemp("boxes")
    task = {"name": "object-detection", "classes": list(KINDS), "head": "yolov8"}
    path = write_board_recipe(place, detector("yolov8"), task, judge=2)
    write_coco(place / "boards", 80, 3)
    recipe = yaml.safe_load(path.read_text())
    write_coco(place / "sought", 40, 4)
    recipe["data"] |= {"judge": {"coco": "boards/boxes.json"}, "search": {"coco": "sought/boxes.json"}}
    recipe["quantization"] = {"fallback": True}
    recipe["budget"] = [{"metric": "map@0.33", "max_drop": 0.05, "floor": 0.8}]
    recipe["targets"] = [{"runtime": "onnxruntime", "precisions": ["int8"]}]
    path.write_text(yaml.safe_dump(recipe))
    return build(path, place / "out", extra=[ExtraVariant("broken", 0, lambda plan: plan.with_ranges_scaled(0.01))])


def test_a_detectors_search_goes_by_its_boxes_too(detected: BuildResult) -> None:
    (found,) = detected.fallbacks
    assert found.plan is None
    assert [tried.label for tried in found.tried] == ["all float", "all INT8"]
    assert all(tried.metrics["map@0.33"] == pytest.approx(1.0, abs=1e-3) for tried in found.tried)


def test_a_detector_is_judged_by_its_boxes(detected: BuildResult) -> None:
    good, broken = (detected.variant(f"onnxruntime-cpu-{name}").ruling for name in ("int8", "int8-broken"))
    assert good.outcome is Outcome.PASS
    assert good.judgements[0].variant == pytest.approx(1.0, abs=1e-3)
    assert good.judgements[0].confidence == pytest.approx(0.975)
    assert broken.outcome is Outcome.FAIL
    assert broken.judgements[0].variant < 0.9
    assert [sample.truth.good for sample in detected.samples[:4] if sample.truth] == [True, False, False, False]


def test_fp32_is_measured_as_the_yardstick_and_does_not_ship(detected: BuildResult) -> None:
    fp32 = detected.variant("onnxruntime-cpu-fp32")
    assert fp32.yardstick
    assert fp32.measurement.turns == len(fp32.measurement.turn_medians_ms) == 5
    assert detected.choice.shipped == ("onnxruntime-cpu-int8",)
    refused = {refusal.variant: refusal.why for refusal in detected.choice.refused}
    assert "measured as yardstick only" in refused["onnxruntime-cpu-fp32"]
    assert detected.fp32_of_chosen is fp32


def test_the_report_says_what_was_judged_and_at_which_confidence(detected: BuildResult) -> None:
    told = detected.report.read_text()
    for part in ("mAP at IoU 0.33", "5.00% at 97.5%", "bootstrap over pictures", "measured as yardstick only"):
        assert part in told


def test_labels_drawn_in_a_picture_of_another_size_are_refused(detected: BuildResult) -> None:
    sample = detected.samples[1]
    assert sample.truth is not None
    with pytest.raises(DataError, match="of a picture of another size"):
        prepare_set([replace(sample, truth=replace(sample.truth, size=(640, 640)))], detected.recipe.input)


def test_a_build_refuses_what_its_gates_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"name": "object-detection", "classes": list(KINDS), "head": "yolov8"}
    path = write_board_recipe(tmp_path, detector("yolov8"), task, judge=6)
    recipe = {**yaml.safe_load(path.read_text()), "targets": [{"runtime": "onnxruntime", "precisions": ["int8"]}]}
    del recipe["gates"]
    path.write_text(yaml.safe_dump(recipe))

    def slow(entry: Entry) -> dict[str, Measurement]:
        found = measured(entry)
        name = "onnxruntime-cpu-int8"
        latencies = tuple(3 * took for took in found["onnxruntime-cpu-fp32"].latencies_ms)
        return {**found, name: replace(found[name], unfused=("conv",), latencies_ms=latencies)}

    measured = finding._measured
    monkeypatch.setattr(finding, "_measured", slow)
    with pytest.raises(BudgetError) as caught:
        build(path, tmp_path / "out")
    for part in (
        "not faster than FP32",
        "+200.0%",
        "INT8 layers that compute in float: 1, 0 allowed (conv)",
        "yardstick only",
    ):
        assert part in str(caught.value)
    told = (tmp_path / "out" / "boards-1.0.0.report.html").read_text()
    assert "whatever its metrics: not faster than FP32" in told


@pytest.mark.parametrize(
    ("budget", "kind", "parts"),
    [
        ({"metric": "map@0.5", "max_drop": 0.01}, DataError, ["map@0.5 needs labels", "coco:", "6 of 6"]),
        (
            {"metric": "map@50", "max_drop": 0.01},
            RecipeError,
            ["does not have", "escape_rate | overkill_rate | map@IoU"],
        ),
        ({"metric": "map@0.5", "max_drop": 1}, RecipeError, ["budget.0.max_drop", "0.01 is one point", "line"]),
        ({"metric": "map@0.5", "max_drop": "1%"}, RecipeError, ["budget.0.max_drop", "write 0.01"]),
        ({"metric": "map@0.5", "max_drop": 0.01, "floor": 95}, RecipeError, ["budget.0.floor", "0.95 is 95 points"]),
    ],
)
def test_a_budget_that_cannot_be_judged_is_refused_before_any_work(
    tmp_path: Path, budget: dict[str, object], kind: type[EdgemillError], parts: list[str]
) -> None:
    task = {"name": "object-detection", "classes": list(KINDS), "head": "yolov8"}
    path = write_board_recipe(tmp_path, detector("yolov8"), task, judge=6)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "budget": [budget]}))
    with pytest.raises(kind) as caught:
        build(path, tmp_path / "out")
    for part in parts:
        assert part in str(caught.value)
