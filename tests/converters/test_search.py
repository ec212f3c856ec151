"""The search for better INT8 forms: what is asked, what nothing beats, and what a kill leaves behind."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_mix
import tiny_search
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_converters.build import build
from edgemill_converters.quantization.calibration import collect, plan_from
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.recipe import Objective, Target, read_recipe
from edgemill_converters.report import pareto_front
from edgemill_converters.searching import evaluating
from edgemill_converters.searching.asking import BATCH, Told, ask
from edgemill_converters.searching.evaluating import Figures, ratios
from edgemill_converters.searching.found import Proposal, SearchFound, Seen, Trial, searched_variants
from edgemill_converters.searching.front import beats, front, spread
from edgemill_converters.searching.proposing import account, going_on, proposal_of, unbeaten
from edgemill_converters.searching.search import search_targets
from edgemill_converters.searching.space import Choice, Space, sample_counts, spread_over
from edgemill_converters.searching.transforming import Transformed, packed, transform, unpacked
from edgemill_core.budget import Outcome
from edgemill_core.errors import InputError, MissingPartError, RecipeError, StepCrashed
from edgemill_runtimes.machine import this_machine

small = st.integers(0, 3)
points = st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[small] * n), max_size=8))


@given(points)
def test_the_front_is_what_nothing_beats_and_beats_all_others(values: list[tuple[int, ...]]) -> None:
    kept = front(values)
    assert kept == sorted(set(kept))
    for place, value in enumerate(values):
        by = [other for other in values if beats(other, value)]
        assert (place in kept) == (not by)
        assert not by or any(beats(values[best], value) for best in kept)


@given(st.lists(st.tuples(small, small), max_size=8))
def test_in_two_objectives_it_is_the_reports_front(values: list[tuple[int, int]]) -> None:
    theirs = pareto_front.front([(cost, -loss) for cost, loss in values])
    assert sorted(theirs) == front(values)


@given(st.lists(st.floats(0, 10), max_size=9), st.integers(1, 8))
def test_of_many_the_cheapest_the_dearest_and_some_between_go_on(costs: list[float], most: int) -> None:
    kept = spread(costs, most)
    assert len(set(kept)) == len(kept) == min(most, len(costs))
    assert [costs[place] for place in kept] == sorted(costs[place] for place in kept)
    if costs:
        assert costs[kept[0]] == min(costs)
        assert most == 1 or costs[kept[-1]] == max(costs)


@pytest.mark.parametrize("pictures", range(1, 60))
def test_fewer_pictures_are_spread_over_all(pictures: int) -> None:
    counts = sample_counts(pictures)
    assert counts[-1] == pictures
    assert counts[0] >= min(8, pictures)
    for count in counts:
        chosen = spread_over(range(pictures), count)
        assert len(set(chosen)) == count
        assert max(b - a for a, b in itertools.pairwise([*chosen, pictures])) <= -(-pictures // count)


PLAIN = Choice("int8", "averaged", None, 40, True)
SPACE = Space(("int8-weights",), (10, 20, 40), 12, PLAIN)


def told(choices: list[Choice], loss: Any = lambda _: 1.0) -> list[Told]:
    return [Told(one, (loss(one), 1.0)) for one in choices]


def played(seed: int, count: int, loss: Any = lambda choice: float(choice.float_layers)) -> list[Choice]:
    found: list[Choice] = []
    while len(found) < count:
        found += ask(SPACE, seed, told(found, loss), BATCH)
    return found


def test_equal_results_ask_for_equal_trials_and_another_seed_for_others() -> None:
    one = played(5, 24)
    assert one == played(5, 24)
    assert one[:2] == [PLAIN, Choice("int8-weights")]
    assert one[2:4] != played(6, 4)[2:4]
    assert len(set(one)) == len(one), "nothing is tried twice while there is something new"


def test_what_came_of_the_trials_decides_what_is_asked() -> None:
    asked = played(1, 16)
    same = ask(SPACE, 1, told(asked), BATCH)
    assert same != ask(SPACE, 1, told(asked, lambda choice: choice.samples), BATCH)
    assert same != ask(SPACE, 1, told(asked[:-BATCH]), BATCH)


def test_good_forms_are_asked_more_often() -> None:
    asked = played(2, 36, lambda choice: 0.01 if choice.method == "mse" else 1.0)
    late = [choice.method for choice in asked[20:]]
    assert late.count("mse") > len(late) / 2


@settings(deadline=None, max_examples=25)  # a study is made anew each time
@given(st.integers(0, 2**32), st.integers(0, 12))
def test_every_choice_is_in_the_space(seed: int, most_float: int) -> None:
    space = replace(SPACE, most_float=most_float)
    asked = ask(space, seed, [], 6)
    for one in asked[2:]:
        assert one.samples in space.samples
        assert 0 <= one.float_layers <= most_float
        assert (one.clipped is not None) == (one.method == "percentile")
        assert one.order == "gain" or one.float_layers
        assert one.quantization.method == one.method
        assert one.words


def test_trials_that_could_not_be_run_are_no_obstacle() -> None:
    asked = played(4, 12)
    failed = [Told(one, None if place % 3 else (1.0, 1.0)) for place, one in enumerate(asked)]
    assert len(ask(SPACE, 4, failed, BATCH)) == BATCH
    assert len(ask(SPACE, 4, [Told(one, None) for one in asked], BATCH)) == BATCH


def test_nothing_is_tried_twice_while_there_is_something_new() -> None:
    """The sampler would come back to what was best: twice eight forms, and no end of percentiles."""
    narrow = Space((), (4,), 0, Choice("int8", "averaged", None, 4, True))
    asked: list[Choice] = []
    for _ in range(3):
        asked += ask(narrow, 0, told(asked), 8)
    assert len(set(asked)) == 24


def test_a_space_that_is_used_up_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Space, "methods", ["mse", "min_max"])
    narrow = Space((), (4,), 0, Choice("int8", "mse", None, 4, True))
    asked = ask(narrow, 0, [], 6)
    assert len(asked) == 6
    assert len(set(asked)) == 4


def test_the_space_is_what_the_target_asks_for() -> None:
    target = Target(runtime="openvino", precisions=("fp32", "int8", "int8-weights"))
    space = Space.of(target, Quantization(method="percentile", percentile=99.9), 100, 50)
    assert space.others == ("int8-weights",)
    assert (space.samples, space.most_float) == ((25, 50, 100), 25)
    assert space.plain == Choice("int8", "percentile", 0.1, 100, True)
    assert space.plain.quantization.percentile == pytest.approx(99.9)


def seen(loss: float, p50: float, inside: bool = True) -> Seen:
    values: dict[Any, float] = {"loss": loss, "latency_p99": p50 / 10}
    return Seen(Outcome.PASS, inside, {"class_rate": 1.0}, "", values, p50, 2 * p50, 10.0, 20.0, 1000, 30)


def trial(number: int, loss: float, p50: float, inside: bool = True, graph: str = "") -> Trial:
    choice = Choice("int8", "mse", None, 40, False, number)
    return Trial(number, choice, graph or f"graph {number}", seen(loss, p50, inside))


def values_of(trials: list[Trial]) -> dict[int, tuple[float, ...] | None]:
    return {one.number: tuple(one.seen.values.values()) if one.seen else None for one in trials}


def test_what_goes_on_is_inside_new_and_different() -> None:
    trials = [
        trial(0, 3.0, 4.0),
        trial(1, 9.0, 1.0, inside=False),
        trial(2, 2.0, 5.0),
        trial(3, 2.0, 5.0, graph="graph 2"),
        replace(trial(4, 0.5, 0.5), choice=Choice("bf16")),
        trial(5, 1.0, 6.0, graph="graph 0"),
        replace(trial(6, 0.0, 0.0), seen=None, refused="no"),
        trial(7, 0.1, 9.0),
    ]
    numbers = [one.number for one in going_on(trials, range(8), Objective.LATENCY_P50, 3)]
    assert numbers == [2, 7]
    best = unbeaten(values_of(trials))
    assert best == [4, 7]
    said = " | ".join(account(trials, values_of(trials), []))
    assert "plain INT8 (trial 0) is beaten by trial 4" in said
    assert "1 could not be made or run" in said


def test_the_first_of_those_that_go_on_is_the_fastest_by_the_recipes_objective() -> None:
    slow_p99 = replace(seen(1.0, 3.0), p99_ms=50.0)
    trials = [trial(0, 9.0, 9.0), replace(trial(1, 0, 0), seen=slow_p99), trial(2, 1.0, 4.0)]
    by = {objective: going_on(trials, [1, 2], objective, 1)[0].number for objective in Objective}
    assert by == {Objective.LATENCY_P50: 1, Objective.LATENCY_P99: 2}


def test_a_transform_that_gives_something_else_than_before_is_no_candidate() -> None:
    with pytest.raises(StepCrashed, match="gave another graph"):
        proposal_of(trial(1, 1.0, 1.0), Transformed(b"other", None))


def test_ratios_are_of_the_same_turns_and_less_is_better() -> None:
    fp32 = Figures([[10.0, 10.0], [20.0, 20.0], [10.0, 10.0]], 200.0, 4000, 100.0)
    half = Figures([[5.0, 5.0], [10.0, 10.0], [9.0, 9.0]], 100.0, 1000, 200.0)
    found = ratios(half, fp32)
    assert found["latency_p50"] == 0.5
    assert (found["size"], found["memory"], found["throughput"]) == (0.25, 0.5, 0.5)
    assert "throughput" not in ratios(replace(half, rate=None), replace(fp32, rate=None))


def test_statistics_come_back_as_they_were() -> None:
    model, _ = tiny_mix.baked()
    before = collect(model.graph, (row[None] for row in tiny_mix.pictures(9, 1)[0]), threads=1)
    content = packed(before)
    assert content == packed(before)
    after = unpacked(content)
    assert packed(after) == content
    for method in ("averaged", "percentile", "entropy", "mse"):
        settings = Quantization(method=method)
        assert plan_from(model.graph, before, 8, settings) == plan_from(model.graph, after, 8, settings)


def test_a_precision_that_does_not_fit_is_refused_and_no_end() -> None:
    model, _ = tiny_mix.baked()
    graph = model.graph.SerializeToString()
    one_product = transform(graph, None, Choice("int8-dynamic"), (), "onnxruntime", 8, this_machine())
    assert one_product.refused or one_product.graph
    empty = tiny_mix.tiny_mix()
    del empty.graph.node[:-2]
    got = transform(empty.SerializeToString(), None, Choice("int8-dynamic"), (), "onnxruntime", 8, this_machine())
    assert got.refused
    assert not got.digest


@pytest.mark.parametrize("order", ["gain", "loss"])
@pytest.mark.parametrize("choice", [Choice("int8", "mse", None, 9, True, 2), Choice("int8", "percentile", 0.5, 9)])
def test_a_trial_is_made_as_its_choice_says(choice: Choice, order: Any) -> None:
    model, plan = tiny_mix.baked(8)
    seen_before = collect(model.graph, (row[None] for row in tiny_mix.pictures(9, 1)[0]), threads=1)
    orders = {"gain": plan.layers, "loss": plan.layers[::-1]}
    content, choice = model.graph.SerializeToString(), replace(choice, order=order)
    made = transform(content, packed(seen_before), choice, orders[order], "openvino", 8, this_machine())
    wanted = plan_from(model.graph, seen_before, 8, choice.quantization)
    kept = orders[order][: choice.float_layers]
    assert made.plan == replace(wanted, layers=tuple(name for name in wanted.layers if name not in kept))
    assert made.plan.samples == 9
    assert made.digest
    assert onnx.load_from_string(made.graph).graph.node


@pytest.fixture
def hurried() -> Iterator[None]:
    kept = evaluating.TURNS, evaluating.RUNS, evaluating.WARMUP
    tiny_search.hurry()
    yield
    evaluating.TURNS, evaluating.RUNS, evaluating.WARMUP = kept


def until_gone(mark: str) -> None:
    """Wait until no process carries ``mark`` in its environment."""
    for _ in range(400):
        environments = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                environments.append(path.read_bytes())
        if not any(mark.encode() in one for one in environments):
            return
        time.sleep(0.025)
    raise AssertionError("a process outlived the search that was killed")


class Damaging(ThreadPoolExecutor):
    """Gives no graph, but other bytes, for what has layers in float."""

    def submit(self, work: Any, /, *given: Any, **more: Any) -> Future[Any]:
        if work is transform and given[2].float_layers:
            work = lambda *_: Transformed(b"no graph", None)  # noqa: E731
        return super().submit(work, *given, **more)


def test_what_cannot_be_run_is_said_and_the_search_goes_on(tmp_path: Path, hurried: None) -> None:
    search = {**tiny_search.SEARCH, "trials": 5}
    recipe = tiny_search.write_workshop(tmp_path / "workshop", search=search)
    with Damaging(1) as executor:
        crew = tiny_search.in_this_process(executor)
        (found,) = search_targets(tiny_search.given(recipe, tmp_path / "memory"), crew)
    refused = [one for one in found.trials if one.choice.float_layers]
    assert refused
    assert all(one.seen is None and one.refused for one in refused)
    assert all(one.seen is not None for one in found.trials if one not in refused)
    assert not {one.number for one in refused} & set(found.front)
    assert f"{len(refused)} could not be made or run" in found.reasons


def test_killed_at_random_moments_it_ends_with_the_same_trials(tmp_path: Path, hurried: None) -> None:
    """Killed in other processes with other transforms beside it, and compared with a search that nobody disturbed."""
    recipe = tiny_search.write_workshop(tmp_path / "workshop")
    whole = tiny_search.searched(recipe, tmp_path / "whole")
    counts = {path: int(path.stem.partition("-")[2]) for path in (tmp_path / "whole").glob("*.npz")}
    assert {path: unpacked(path.read_bytes()).samples for path in counts} == counts
    assert set(counts.values()) == {one.choice.samples for one in whole.trials} == {8, 12}
    memory = tiny_search.with_order_of(tmp_path / "whole", tmp_path / "memory")
    notes, chance = memory / "trials-onnxruntime-cpu.jsonl", random.Random(11)
    kept: list[bytes] = []
    mark = {"EDGEMILL_TEST": str(uuid.uuid4())}
    for after in (1, 3):
        command = [sys.executable, tiny_search.__file__, str(recipe), str(memory)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **mark}) as child:
            while not notes.is_file() or notes.read_bytes().count(b'"name": "trial ') < after:
                assert child.poll() is None
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.4))
            child.send_signal(signal.SIGKILL)
        until_gone(mark["EDGEMILL_TEST"])
        kept.append(notes.read_bytes().rpartition(b"\n")[0])
    resumed = tiny_search.searched(recipe, memory)
    assert [tiny_search.same_of(one) for one in resumed.trials] == [tiny_search.same_of(one) for one in whole.trials]
    assert resumed.front == whole.front
    assert [one.plan for one in resumed.proposals] == [one.plan for one in whole.proposals]
    assert all(notes.read_bytes().startswith(lines) for lines in kept), "what was found is never found again"
    names = [json.loads(line)["name"] for line in notes.read_bytes().splitlines()]
    assert len(names) == len(set(names))
    assert resumed.resumed >= 3


@pytest.mark.slow
def test_a_build_searches_and_its_proposals_are_judged_as_rivals(tmp_path: Path) -> None:
    objectives = ["loss", "latency_p99", "throughput", "size", "memory"]
    search = {**tiny_search.SEARCH, "trials": 2, "keep": 1, "objectives": objectives}
    recipe = tiny_search.write_workshop(tmp_path / "workshop", search=search)
    built = build(recipe, tmp_path / "out")
    (found,) = built.searches
    assert [one.number for one in found.trials] == [0, 1]
    assert all(one.seen is not None and set(one.seen.values) == set(objectives) for one in found.trials)
    names = {f"onnxruntime-cpu-int8-trial-{one.number}" for one in found.proposals}
    assert names <= {variant.name for variant in built.variants}
    rivals = 1 + len(names)
    level = built.variant("onnxruntime-cpu-int8").ruling.judgements[0].confidence
    assert level == pytest.approx(1 - 0.05 / rivals)
    assert 'id="trials"' in built.report.read_text()
    again = build(recipe, tmp_path / "out")
    assert "forms" in again.cached
    assert again.searches == built.searches


def test_a_search_without_int8_or_without_a_set_is_refused(tmp_path: Path) -> None:
    data = {name: {"labels": name} for name in ("calibration", "judge")}
    with pytest.raises(RecipeError, match="search: needs labelled samples of its own"):
        read_recipe(tiny_search.write_workshop(tmp_path / "a", data=data))
    only = [{"runtime": "onnxruntime", "precisions": ["fp32"]}]
    with pytest.raises(RecipeError, match="search: looks for forms of INT8"):
        read_recipe(tiny_search.write_workshop(tmp_path / "b", targets=only))


@pytest.mark.parametrize(
    ("search", "key"),
    [
        ({"objectives": ["speed"]}, "search.objectives.0"),
        ({"objectives": ["loss", "loss"]}, "search.objectives"),
        ({"trials": 1}, "search.trials"),
        ({"trial": 30}, "search.trial"),
        (7, "search"),
    ],
)
def test_wrong_keys_are_named_with_their_line(tmp_path: Path, search: object, key: str) -> None:
    with pytest.raises(RecipeError, match=rf"line \d+: wrong at '{key}'"):
        read_recipe(tiny_search.write_workshop(tmp_path, search=search))


def test_true_is_the_defaults(tmp_path: Path) -> None:
    recipe = read_recipe(tiny_search.write_workshop(tmp_path, search=True))
    assert recipe.search is not None
    assert recipe.search.trials == 40


def test_without_optuna_it_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPartError) as caught:
        build(tiny_search.write_workshop(tmp_path))
    assert "edgemill[search]" in str(caught.value.fix)


def test_without_dask_it_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPartError) as caught:
        build(tiny_search.write_workshop(tmp_path), cluster="tcp://127.0.0.1:1")
    assert "edgemill[cluster]" in str(caught.value.fix)


@pytest.mark.parametrize("cluster", ["127.0.0.1:8786", "http://host:1", "tcp://", "tcp://a b:1", "tcp://h:1/x"])
def test_what_is_no_address_is_refused(tmp_path: Path, cluster: str) -> None:
    with pytest.raises(InputError, match="no address of a Dask scheduler"):
        build(tiny_search.write_workshop(tmp_path), cluster=cluster)


def test_a_cluster_without_anything_to_send_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to send there"):
        build(tiny_mix.write_workshop(tmp_path), cluster="tcp://127.0.0.1:8786")


def test_candidates_are_named_by_their_trials() -> None:
    _, plan = tiny_mix.baked()
    found = SearchFound("t", 1, ("loss",), (), (), (), 1, 1, 0, 1.0, ())
    proposed = replace(found, proposals=(Proposal(5, "as it is", plan),))
    (variant,) = searched_variants([proposed])
    assert (variant.label, variant.target, variant.why) == ("trial-5", 1, "as it is")
    assert variant.change(replace(plan, layers=())) is plan
