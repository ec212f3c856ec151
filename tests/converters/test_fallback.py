"""The layers that have to stay in float: the choice as pure functions, and searches on real runtimes."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_mix
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from edgemill_converters.build import build
from edgemill_converters.quantization.fallback import search_set
from edgemill_converters.quantization.fallback_found import FallbackFound
from edgemill_converters.quantization.layer_costs import charged, layer_costs, owners
from edgemill_converters.quantization.mixing import (
    by_gain,
    is_inside,
    is_settled,
    keeps_floor,
    next_count,
    remaining,
)
from edgemill_converters.quantization.notes import Notes
from edgemill_converters.quantization.plan import Range
from edgemill_converters.quantization.sensitivity import (
    find_groups,
    halves,
    levelled,
    loss_by_layer,
    noise_of,
    relative_error,
    weight_noise,
)
from edgemill_converters.quantization.trials import bounded
from edgemill_converters.recipe import read_recipe
from edgemill_core.budget import Budget, Judgement, Outcome, judge
from edgemill_core.errors import DataError, RecipeError
from edgemill_core.samples import Sample, Truth
from edgemill_core.statistics import PairedCounts
from edgemill_core.verdict import Decision, Verdict
from edgemill_runtimes.engines.facts import NodeTime
from edgemill_runtimes.frames import encode_png

NAMES = [f"layer{index}" for index in range(12)]
loss_tables = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 10), min_size=2)


def settled_at(left: list[float], added: list[float], threshold: int) -> tuple[int, list[int]]:
    """What the choice ends at when exactly the mixes with ``threshold`` layers or more in float are inside."""
    failing, passing, tried = 0, len(left) - 1, []
    while not is_settled(failing, passing, added, 10.0):
        count = next_count(left, failing, passing)
        tried.append(count)
        failing, passing = (failing, count) if count >= threshold else (count, passing)
    return passing, tried


@pytest.mark.parametrize("layers", range(1, 10))
def test_the_shortest_beginning_that_is_inside_is_found_whatever_it_is(layers: int) -> None:
    left = remaining(NAMES[:layers], {name: 2.0**-index for index, name in enumerate(NAMES)})
    added = [float(count) for count in range(layers + 1)]
    for threshold in range(1, layers + 1):
        found, tried = settled_at(left, added, threshold)
        assert found == threshold
        assert len(tried) == len(set(tried)) <= max(layers - 1, 0)


def test_few_beginnings_are_tried_of_many_layers() -> None:
    names = [f"layer{index}" for index in range(64)]
    left = remaining(names, {name: 0.8**index for index, name in enumerate(names)})
    assert max(len(settled_at(left, [float(c) for c in range(65)], t)[1]) for t in range(1, 65)) <= 12


@given(loss_tables, st.data())
def test_a_try_lies_between_one_that_failed_and_one_that_passed(losses: dict[str, float], data: st.DataObject) -> None:
    costs = {name: data.draw(st.floats(-1, 5)) for name in losses}
    order = by_gain(losses, costs)
    assert sorted(order) == sorted(losses)
    left = remaining(order, losses)
    failing = data.draw(st.integers(0, len(order) - 2))
    passing = data.draw(st.integers(failing + 2, len(order)))
    assert failing < next_count(left, failing, passing) < passing


@given(loss_tables, st.data())
def test_what_loses_more_and_costs_less_goes_first(losses: dict[str, float], data: st.DataObject) -> None:
    costs = {name: data.draw(st.floats(-1, 5)) for name in losses}
    order = by_gain(losses, costs)
    for early, late in itertools.pairwise(order):
        assert losses[early] >= losses[late] or costs[early] <= costs[late] or costs[late] < 1


def test_a_large_loss_waits_where_it_costs_too_much() -> None:
    losses, costs = (
        {"dear": 3.0, "cheap": 2.0, "same": 2.0, "none": 0.0},
        {"dear": 9.0, "cheap": 1.0, "same": 2.0, "none": 1.0},
    )
    assert by_gain(losses, costs) == ["cheap", "same", "dear", "none"]


def test_time_that_is_not_worth_a_run_ends_the_choice() -> None:
    assert is_settled(2, 5, [0, 0, 0, 0.01, 0.02, 0.03, 0.04], 10.0)
    assert not is_settled(2, 5, [0, 0, 0, 0.1, 0.2, 0.3, 0.4], 10.0)
    assert is_settled(2, 3, [0, 0, 0, 9.0, 9.0], 10.0)
    assert not is_settled(2, 6, [0, 0, 0, 0.01, 0.02, 0.03, 0.04], 10.0), "all float is no mix"


def answers(right: int, of: int) -> list[Verdict]:
    return [Verdict(Decision.PASS, (), 0.9, {"class": "a" if index < right else "b"}) for index in range(of)]


@pytest.mark.parametrize("right", range(91))
def test_inside_is_the_judges_word_where_the_set_is_large_enough_for_one(right: int) -> None:
    truths, budget = [Truth(True, class_name="a")] * 90, [Budget(metric="class_rate", max_drop=0.05)]
    unchanged = judge(budget, truths, answers(90, 90), answers(90, 90))
    ruling = judge(budget, truths, answers(90, 90), answers(right, 90))
    assert unchanged.outcome is Outcome.PASS
    assert is_inside(ruling, unchanged) == (ruling.outcome is Outcome.PASS) == (right == 90)


@pytest.mark.parametrize("right", range(41))
def test_on_a_small_set_the_drop_that_was_seen_has_to_do_with_a_margin(right: int) -> None:
    truths, budget = [Truth(True, class_name="a")] * 40, [Budget(metric="class_rate", max_drop=0.05)]
    unchanged = judge(budget, truths, answers(40, 40), answers(40, 40))
    assert unchanged.outcome is Outcome.UNDECIDED
    assert is_inside(judge(budget, truths, answers(40, 40), answers(right, 40)), unchanged) == (right >= 39)


@given(loss_tables)
def test_halves_are_the_fairest_cut_of_a_row(weight: dict[str, float]) -> None:
    row = list(weight)
    first, second = halves(row, weight)
    assert first
    assert second
    assert [*first, *second] == row

    def unfair(cut: int) -> float:
        return abs(sum(weight[name] for name in row[:cut]) - sum(weight[name] for name in row[cut:]))

    assert unfair(len(first)) <= min(unfair(cut) for cut in range(1, len(row))) + 1e-9


@pytest.mark.parametrize("scale", [1e-3, 1.0])
@given(place=st.integers(0, 11), data=st.data())
def test_the_one_layer_that_loses_is_found_wherever_it_is(scale: float, place: int, data: st.DataObject) -> None:
    weight = {name: data.draw(st.floats(0, 1)) for name in NAMES}
    losing = NAMES[place]
    runs: list[tuple[str, ...]] = []

    def measure(layers: tuple[str, ...]) -> float:
        runs.append(layers)
        return scale * (0.9 if losing in layers else 0.001 * len(layers))

    weight = levelled(weight)
    groups = find_groups(NAMES, 0.9 * scale, weight, measure, 40)
    assert sorted(name for group in groups for name in group.layers) == sorted(NAMES)
    found = loss_by_layer(groups, weight)
    assert max(found, key=lambda name: found[name][0]) == losing
    assert found[losing] == (pytest.approx(0.9 * scale, rel=0.02), True)
    assert len(runs) == len(set(runs)) <= 22


def test_small_losses_are_told_apart_with_one_run_a_cut() -> None:
    losses = {name: 1e-4 * 2.0**index for index, name in enumerate(NAMES[:6])}
    groups = find_groups(NAMES[:6], sum(losses.values()), losses, lambda names: sum(losses[n] for n in names), 6)
    found = loss_by_layer(groups, losses)
    assert [found[name][0] for name in NAMES[3:6]] == [pytest.approx(losses[name]) for name in NAMES[3:6]]


def test_what_does_not_add_up_is_not_laid_on_the_last_layer() -> None:
    def measure(names: tuple[str, ...]) -> float:
        return 1e-3 * (NAMES[0] in names) + 1e-5 * len(names) ** 2

    groups = find_groups(NAMES, measure(tuple(NAMES)), dict.fromkeys(NAMES, 1.0), measure, 40)
    found = loss_by_layer(groups, dict.fromkeys(NAMES, 1.0))
    assert max(loss for name, (loss, _) in found.items() if name != NAMES[0]) < 1e-4


def test_large_losses_that_saturate_are_not_taken_for_a_difference() -> None:
    losing = {NAMES[0], NAMES[11]}
    runs = 0

    def measure(layers: tuple[str, ...]) -> float:
        nonlocal runs
        runs += 1
        return 0.9 if losing & set(layers) else 0.001

    found = loss_by_layer(find_groups(NAMES, 0.9, dict.fromkeys(NAMES, 1.0), measure, 40), dict.fromkeys(NAMES, 1.0))
    assert {name for name, (loss, known) in found.items() if loss > 0.5 and known} == losing


@given(st.integers(0, 8))
def test_no_more_runs_than_allowed(runs: int) -> None:
    seen: list[tuple[str, ...]] = []
    find_groups(NAMES, 1.0, dict.fromkeys(NAMES, 1.0), lambda layers: seen.append(layers) or 0.5, runs)
    assert len(seen) == runs


def test_noise_counts_rounding_and_clipping() -> None:
    values = np.linspace(0, 1, 1001)
    error, power = noise_of(values, Range(0, 1))
    assert error / len(values) == pytest.approx((1 / 255) ** 2 / 12, rel=0.02)
    assert power == pytest.approx(float((values**2).sum()))
    clipped, _ = noise_of(values, Range(0, 0.5))
    assert clipped > 1000 * error


EACH = np.array([[1, 0.3, 0.27], [100, 31, 29]], np.float32)
"""Weights of two outputs."""


@pytest.mark.parametrize(
    ("op", "weights", "told"),
    [
        ("Conv", EACH[:, :, None, None], {}),
        ("MatMul", EACH.T, {}),
        ("Gemm", EACH.T, {}),
        ("Gemm", EACH, {"transB": 1}),
    ],
)
def test_weights_have_a_scale_for_each_output(op: str, weights: np.ndarray, told: dict[str, int]) -> None:
    step = EACH.max(axis=1, keepdims=True) / 127
    error = float(np.square(np.round(EACH / step) * step - EACH).sum() / np.square(EACH).sum())
    found = weight_noise(helper.make_node(op, ["x", "w"], ["y"], **told), weights, 8)
    assert found == pytest.approx(error, rel=1e-3)


def test_each_sample_counts_and_what_is_not_a_number_is_the_largest_loss() -> None:
    exact = np.array([[1.0, 2.0], [0.1, 0.2]])
    assert relative_error(np.array([[1.0, np.nan], [0.1, 0.2]]), exact) == 1e9
    assert relative_error(np.array([[1.0, 1.0], [0.1, 0.1]]), exact) == pytest.approx(0.2)
    assert relative_error(np.array([[1.0, 2.0], [0.1, 0.1]]), exact) == pytest.approx(0.1)


COMPILED = st.lists(
    st.builds(
        NodeTime,
        st.lists(
            st.sampled_from(["conv0_token_1", "z0_nchwc", "bad/WithoutBiases", "what", "z9_3", "edgemill_mul_q"]),
            min_size=1,
        ).map(tuple),
        st.just(""),
        st.booleans(),
        st.floats(0, 9),
    ),
    min_size=1,
)


@given(COMPILED, COMPILED)
def test_no_time_is_lost_or_charged_twice(in_float: list[NodeTime], in_int8: list[NodeTime]) -> None:
    model, plan = TINY
    costs = layer_costs(model.graph.graph, plan.layers, in_float, in_int8)
    difference = sum(node.ms for node in in_float) - sum(node.ms for node in in_int8)
    assert sum(costs.values()) == pytest.approx(difference, abs=1e-6)


def test_nodes_of_the_compiled_graph_are_charged_to_their_layers() -> None:
    model, plan = TINY
    owner = owners(model.graph.graph, plan.layers)
    times = [
        NodeTime(("edgemill_cast",), "Cast", False, 1.0),
        NodeTime(("y0_DequantizeLinear",), "DequantizeLinear", False, 2.0),
        NodeTime(("conv1_token_3",), "QLinearConv", True, 4.0),
        NodeTime(("z2_nchwc",), "Conv", True, 8.0),
        NodeTime(("reorder_of_something",), "Reorder", False, 16.0),
        NodeTime(("z2/what_is_read", "product"), "MatMul", True, 32.0),
    ]
    found = charged(times, owner, plan.layers)
    assert found == {"conv0": 3.0, "conv1": 4.0, "bad": 24.0, "conv3": 0.0, "product": 32.0}


TINY = tiny_mix.baked()


def test_notes_survive_a_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    notes = Notes(path)
    for index in range(3):
        notes.find(f"n{index}", lambda index=index: {"found": index})
    whole = path.read_bytes()
    for cut in range(0, len(whole), 5):
        path.write_bytes(whole[:cut])
        again = Notes(path)
        kept = whole[:cut].count(b"\n")
        assert [again.find(f"n{index}", lambda: "sought") for index in range(3)] == [
            {"found": index} if index < kept else "sought" for index in range(3)
        ]
        assert again.recalled == kept
        assert [json.loads(line)["name"] for line in path.read_bytes().splitlines()] == ["n0", "n1", "n2"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_layer_that_cannot_bear_int8_is_found_and_left_in_float(runtime: str, tmp_path: Path) -> None:
    found = tiny_mix.searched(tmp_path, runtime)
    assert found.plan is not None
    assert tiny_mix.BAD not in found.plan.layers
    assert found.kept_float == tuple(effect.layer for effect in found.layers if effect.layer not in found.plan.layers)
    assert max(found.layers, key=lambda effect: effect.loss).layer == tiny_mix.BAD
    by_label = {mix.label: mix for mix in found.tried}
    assert by_label["all float"].inside
    assert not by_label["all INT8"].inside
    assert [mix.inside for mix in found.tried if mix.kept_float == found.kept_float] != [False]
    assert found.graphs == 1 + len(found.tried) + 1 + 2 + _losses(found)
    json.dumps(found.as_dict(), allow_nan=False)


def _losses(found: FallbackFound) -> int:
    """Graphs that were run for losses, by what the inferences leave over."""
    rest = found.inferences - 90 * (1 + len(found.tried)) - 8 - 2 * 20
    assert rest % 32 == 0
    return rest // 32


def test_where_plain_int8_is_inside_nothing_is_sought(tmp_path: Path) -> None:
    found = tiny_mix.searched(tmp_path, outlier=0)
    assert found.plan is None
    assert found.layers == ()
    assert [mix.label for mix in found.tried] == ["all float", "all INT8"]
    assert found.graphs == 3
    assert "plain INT8 is inside" in found.reasons[0]


def test_where_not_even_float_is_inside_it_says_so_at_once(tmp_path: Path) -> None:
    wrong = list(tiny_mix.CLASSES) * 20
    found = tiny_mix.searched(
        tmp_path, count=60, labels=wrong[1:61], budget=Budget(metric="class_rate", max_drop=0.05, floor=0.9)
    )
    assert found.plan is None
    assert [mix.label for mix in found.tried] == ["all float"]
    assert "no mix can help" in found.reasons[0]


@pytest.mark.parametrize(
    ("metric", "floor", "kept"),
    [
        ("class_rate", None, True),
        ("class_rate", 0.9, True),
        ("class_rate", 0.91, False),
        ("escape_rate", 0.09, True),
        ("escape_rate", 0.11, False),
    ],
)
def test_a_floor_is_kept_by_what_was_seen(metric: str, floor: float | None, kept: bool) -> None:
    budget = Budget(metric=metric, max_drop=0.05, floor=floor)
    seen = Judgement(budget, Outcome.UNDECIDED, "", None, PairedCounts(90, 0, 0), 1.0, 0.9, 0.1, 0.2, 0.95)
    assert keeps_floor(budget, seen) is kept


def test_where_only_all_float_is_inside_there_is_no_mix(tmp_path: Path) -> None:
    found = tiny_mix.searched(tmp_path, evaluations=8)
    assert found.plan is None or tiny_mix.BAD not in found.plan.layers
    stopped = [reason for reason in found.reasons if "as the recipe says" in reason]
    assert bool(stopped) == (found.plan is None)


def test_a_search_that_was_killed_repeats_at_most_what_was_cut(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    command = [sys.executable, tiny_mix.__file__, str(tmp_path / "pictures"), str(memory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for count, _ in enumerate(child.stdout, 1):
            if count == 5:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    noted = len(next(memory.glob("*.jsonl")).read_text().splitlines())
    assert noted >= 4
    ran: list[str] = []
    resumed = tiny_mix.searched(tmp_path / "pictures", memory=memory, progress=ran.append)
    assert resumed.resumed == noted
    assert len(ran) == resumed.graphs - 1 - noted
    whole = tiny_mix.searched(tmp_path / "pictures")
    assert tiny_mix.BAD in resumed.kept_float
    assert set(resumed.kept_float) <= {effect.layer for effect in whole.layers}
    assert {e.layer: e.loss for e in resumed.layers} == pytest.approx({e.layer: e.loss for e in whole.layers})


def test_notes_of_other_data_are_not_taken(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    tiny_mix.searched(tmp_path / "a", memory=memory)
    again = tiny_mix.searched(tmp_path / "a", memory=memory)
    other = tiny_mix.searched(tmp_path / "b", memory=memory, count=87)
    assert again.resumed == again.graphs - 1
    assert other.resumed == 0


@pytest.mark.slow
def test_a_build_ships_the_mix_where_plain_int8_fails(tmp_path: Path) -> None:
    built = build(tiny_mix.write_workshop(tmp_path), tmp_path / "out")
    outcomes = {variant.name: variant.ruling.outcome for variant in built.variants}
    yardstick = {"onnxruntime-cpu-fp32": Outcome.PASS}  # measured beside the others, not asked for
    assert outcomes == {
        "onnxruntime-cpu-int8": Outcome.FAIL,
        "onnxruntime-cpu-int8-mixed": Outcome.PASS,
        **yardstick,
    }
    assert built.chosen is not None
    assert built.chosen.name == "onnxruntime-cpu-int8-mixed"
    assert "layers left in float" in built.chosen.steps
    assert [one.target for one in built.fallbacks] == ["onnxruntime-cpu"]


def test_a_fallback_without_a_search_set_is_refused(tmp_path: Path) -> None:
    data = {name: {"labels": name} for name in ("calibration", "judge")}
    with pytest.raises(RecipeError, match="data: search:"):
        read_recipe(tiny_mix.write_workshop(tmp_path, data=data))


def test_a_search_set_without_labels_is_refused(tmp_path: Path) -> None:
    data = {"calibration": {"pictures": "calibration"}, "search": {"pictures": "search"}, "judge": {"labels": "judge"}}
    with pytest.raises(DataError, match=r"metric class_rate needs labels that the search set does not have"):
        build(tiny_mix.write_workshop(tmp_path, data=data), tmp_path / "out")


@pytest.mark.parametrize(("metric", "looked"), [("class_rate", False), ("f1", True)])
def test_a_search_set_looks_at_what_budgets_ask_for(tmp_path: Path, metric: str, looked: bool) -> None:
    samples = []
    for number, (image, name) in enumerate(zip(*tiny_mix.pictures(3, 1), strict=True)):
        (tmp_path / f"{number}.png").write_bytes(encode_png(image))
        samples.append(Sample(str(number), tmp_path / f"{number}.png", truth=Truth(name == "red", class_name=name)))
    budget, model = [Budget(metric=metric, max_drop=0.05)], tiny_mix.baked()[0]
    found = search_set(model, tiny_mix.INPUT, tiny_mix.TASK, samples, budget, lambda _: None)
    assert found.sight is not None
    assert (found.sight.reference is not None) == looked


@pytest.mark.parametrize(("figure", "kept"), [(0.25, 0.25), (float("inf"), 1e9), (float("nan"), 1e9)])
def test_notes_hold_the_figure_of_a_mix_that_overflows(tmp_path: Path, figure: float, kept: float) -> None:
    notes = Notes(tmp_path / "notes.jsonl")
    assert notes.find("one", lambda: {"metric": bounded(figure)}) == {"metric": kept}
