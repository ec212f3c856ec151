"""Timing until settled: the decision, what goes in, the energy counters, and real engines."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_text import tiny_model
from toy_runtime import distribution

from edgemill_core.errors import EngineCrashed, EngineTimeout, InputError
from edgemill_core.tensors import TensorSpec
from edgemill_runtimes.benching import Subject, Timed, bench, time_runs, timing
from edgemill_runtimes.benching.energy import joules, read_counters
from edgemill_runtimes.benching.feeds import drawn, parse_shape, read_samples
from edgemill_runtimes.benching.settling import LEAST_RUNS, settling
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess


def window(p50: float, p99: float, runs: int = 200) -> np.ndarray:
    """Runs of which these are median and 99th percentile."""
    slow = runs // 50
    return np.array([p50] * (runs - slow) + [p99] * slow)


@pytest.mark.parametrize("count", range(3))
def test_less_than_three_windows_have_not_settled(count: int) -> None:
    found = settling([window(1, 2)] * count)
    assert not found.settled
    assert found.windows == 0


@pytest.mark.parametrize(
    ("p50s", "p99s", "settled"),
    [
        ((10, 10, 10), (20, 20, 20), True),
        ((10, 10.4, 10), (20, 20, 20), True),
        ((10, 10.6, 10), (20, 20, 20), False),
        ((9.7, 10.3, 10), (20, 20, 20), False),
        ((10, 10, 10), (20, 23.9, 20), True),
        ((10, 10, 10), (20, 24.1, 20), False),
        ((10, 10, 10), (24.1, 20, 20), False),
        ((10, 10, 10), (20, 20, 15.9), False),
        ((0, 0, 0), (0, 0, 0), True),
    ],
)
def test_three_windows_must_agree_in_both_figures(
    p50s: tuple[float, ...], p99s: tuple[float, ...], settled: bool
) -> None:
    found = settling([window(p50, p99) for p50, p99 in zip(p50s, p99s, strict=True)])
    assert found.settled is settled
    assert found.windows == 3


def test_only_the_latest_windows_count() -> None:
    assert settling([window(99, 999), *[window(10, 20)] * 3]).windows == 3
    assert not settling([*[window(10, 20)] * 3, window(99, 999)]).settled


def test_what_wavers_is_given_longer_parts() -> None:
    wavering = [window(10, 20), window(10, 30)]
    assert not settling(wavering * 2).settled
    found = settling(wavering * 3)
    assert found.settled
    assert found.windows == 6
    assert settling((wavering[:1] * 2 + wavering[1:] * 2) * 3).windows == 12


def test_a_drift_never_settles() -> None:
    windows = [window(10 * 1.05**step, 20) for step in range(40)]
    assert not any(settling(windows[:count]).settled for count in range(41))


def test_a_window_with_too_few_runs_has_no_99th_percentile() -> None:
    few = [window(10, 20, LEAST_RUNS - 1)] * 3
    assert settling(few).windows == 0
    assert settling(few * 2).windows == 6
    assert settling([window(10, 20, LEAST_RUNS)] * 3).settled


def test_settling_does_not_ask_in_which_order_runs_came_or_in_which_unit() -> None:
    rng = np.random.default_rng(0)
    for size, scale in itertools.product((3, 5, 6, 13), (1e-3, 1.0, 1e3)):
        windows = [rng.lognormal(0, 0.05, 150) for _ in range(size)]
        shuffled = [rng.permutation(one) * scale for one in windows]
        assert settling(windows).p99_spread == pytest.approx(settling(shuffled).p99_spread)
        assert settling(windows).settled == settling(shuffled).settled


def counters(root: Path, **microjoules: int) -> Path:
    for name, value in microjoules.items():
        zone = root / name.replace("_", ":").replace("rapl:", "rapl:").replace("intel:", "intel-")
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "energy_uj").write_text(f"{value}\n")
        (zone / "max_energy_range_uj").write_text("1000000\n")
    return root


def test_energy_is_summed_over_packages_and_survives_a_full_counter(tmp_path: Path) -> None:
    root = counters(tmp_path, intel_rapl_0=900_000, intel_rapl_1=100_000, intel_rapl_0_0=5)
    before, why = read_counters(root)
    assert sorted(before) == ["intel-rapl:0", "intel-rapl:1"]
    assert not why
    after, _ = read_counters(counters(tmp_path, intel_rapl_0=100_000, intel_rapl_1=400_000, intel_rapl_0_0=900))
    assert joules(before, after, root) == pytest.approx(0.2 + 0.3)


def test_no_counters_and_unreadable_ones_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_counters(tmp_path)[1].startswith("no RAPL counters")
    root = counters(tmp_path, intel_rapl_0=1)
    (root / "intel-rapl:0" / "energy_uj").write_text("?")
    assert read_counters(root) == ({}, f"{root / 'intel-rapl:0' / 'energy_uj'} cannot be read")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert read_counters(root)[1].startswith("only root may read")


OPEN = TensorSpec("x", "float32", (None, 3))


def test_shapes_are_read_and_wrong_ones_refused() -> None:
    assert parse_shape("a=b=1x3") == ("a=b", (1, 3))
    for wrong in ("x", "x=", "=1x3", "x=1x", "x=1xa", "x=0x3", "x=-1x3"):
        with pytest.raises(InputError, match="cannot be read"):
            parse_shape(wrong)


def test_numbers_are_drawn_for_every_kind_of_input() -> None:
    specs = (OPEN, TensorSpec("b", "uint8", (2,)), TensorSpec("i", "int64", (1,)), TensorSpec("f", "bool", (1,)))
    found = drawn(specs, {"x": (4, 3)})
    assert [(one.dtype.name, one.shape[1:]) for one in found.values()] == [
        ("float32", (4, 3)),
        ("uint8", (2,)),
        ("int64", (1,)),
        ("bool", (1,)),
    ]
    assert found["x"].std() > 0.5
    assert len({one.tobytes() for one in found["x"]}) > 1
    assert not found["i"].any()
    assert np.array_equal(drawn(specs, {"x": (4, 3)})["x"], found["x"])


@pytest.mark.parametrize(
    ("spec", "shapes", "said"),
    [
        (OPEN, {}, "--shape x=1x3"),
        (OPEN, {"x": (1, 4)}, r"float32\[\?, 3\]"),
        (OPEN, {"x": (1, 3), "y": (1,)}, "takes no 'y'"),
        (TensorSpec("t", "string", (1,)), {}, "--inputs"),
    ],
)
def test_what_cannot_be_drawn_is_said(spec: TensorSpec, shapes: dict[str, tuple[int, ...]], said: str) -> None:
    spec = TensorSpec("t", "tensor(string)", (1,)) if spec.dtype == "string" else spec
    with pytest.raises(InputError, match=said):
        drawn([spec], shapes)


def test_samples_are_read_with_or_without_an_axis_that_counts_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.ones((2, 3), np.float32))
    np.savez(tmp_path / "many.npz", x=np.ones((5, 2, 3), np.float32))
    assert read_samples(tmp_path / "one.npz", [OPEN])["x"].shape == (1, 2, 3)
    assert read_samples(tmp_path / "many.npz", [OPEN])["x"].shape == (5, 2, 3)


def test_wrong_samples_are_refused(tmp_path: Path) -> None:
    right, b = np.ones((5, 2, 3), np.float32), TensorSpec("b", "uint8", (2,))
    (tmp_path / "text.npz").write_text("x")
    np.save(tmp_path / "single.npy", right)
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    np.savez(tmp_path / "double.npz", x=right.astype(np.float64))
    np.savez(tmp_path / "other.npz", y=right)
    np.savez(tmp_path / "more.npz", x=right, y=right)
    np.savez(tmp_path / "shape.npz", x=right[..., :2])
    np.savez(tmp_path / "none.npz", x=right[:0])
    np.savez(tmp_path / "uneven.npz", x=right, b=np.zeros((4, 2), np.uint8))
    for name in ("gone.npz", "text.npz", "single.npy", "pickled.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            read_samples(tmp_path / name, [OPEN])
    for name in ("double.npz", "other.npz", "more.npz", "shape.npz", "none.npz"):
        with pytest.raises(InputError, match="does not hold"):
            read_samples(tmp_path / name, [OPEN])
    with pytest.raises(InputError, match="does not hold"):
        read_samples(tmp_path / "uneven.npz", [OPEN, b])


def two_inputs(folder: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "two.onnx")
    return folder / "two.onnx"


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_real_engines_are_timed_in_turns(tmp_path: Path, mode: str) -> None:
    graph, said = two_inputs(tmp_path), []
    settings = EngineSettings(threads=1, mode=mode)  # type: ignore[arg-type]
    shapes = {"a": (2, 4), "b": (2, 4)}
    subjects = {r: Subject(r, graph, settings, shapes=shapes) for r in ("onnxruntime", "openvino")}
    root = counters(tmp_path / "powercap", intel_rapl_0=5)
    found = bench(subjects, tmp_path, 3, 0.05, said.append, root)
    assert "onnxruntime: window 2" in said[4]
    assert "openvino: window 2" in said[5]
    for runtime, one in found.items():
        told = one.as_dict()
        assert (told["runtime"], told["device"], told["mode"], told["threads"]) == (runtime, "CPU", mode, 1)
        assert told["p50_ms"] <= told["p90_ms"] <= told["p99_ms"]
        assert one.settling.settled is not bool(one.note)
        assert told["runs"] == len(one.latencies_ms) >= 300
        assert told["throughput_per_s"] == pytest.approx(told["runs"] / told["seconds"])
        assert told["peak_memory_mb"] > 20
        assert (told["energy_j_per_run"], told["energy_note"]) == (0.0, "")


def test_too_little_time_is_said_and_the_figures_are_of_all_runs(tmp_path: Path) -> None:
    onnx.save(tiny_model(), tmp_path / "g.onnx")
    subject = Subject("onnxruntime", tmp_path / "g.onnx", shapes={"x": (1, 3, 8, 32)})
    one = bench({"one": subject}, tmp_path, 1, powercap=tmp_path)["one"]
    assert one.windows == 1
    assert "too few to compare" in one.note
    told = one.as_dict()
    assert (told["settled"], told["p50_spread"], told["energy_j_per_run"]) == (False, None, None)
    assert told["energy_note"].startswith("no RAPL")
    assert told["runs"] > LEAST_RUNS


def toy(folder: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> Subject:
    distribution(folder)
    monkeypatch.syspath_prepend(folder)
    (folder / "graph").write_text(order)
    return Subject("toy", folder / "graph", shapes={"x": (1, 4)})


def test_a_runtime_that_dies_under_the_bench_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineCrashed, match="died"):
        bench({"toy": toy(tmp_path, "segfault", monkeypatch)}, tmp_path)


def test_warm_up_runs_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = toy(tmp_path, "slow start", monkeypatch)
    np.save(tmp_path / "in.npy", np.zeros((1, 4), np.uint8))
    with EngineProcess("toy", subject.graph) as child:
        assert time_runs(child, tmp_path / "in.npy", 5, warmup=3).latencies_ms.max() < 100
    with EngineProcess("toy", subject.graph) as child:
        assert np.sum(time_runs(child, tmp_path / "in.npy", 5).latencies_ms > 100) == 3


def test_at_once_means_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = toy(tmp_path, "slow", monkeypatch)
    np.save(tmp_path / "in.npy", np.zeros((1, 4), np.uint8))
    with EngineProcess("toy", subject.graph) as child:
        # More runs than threads: every few of them, one waits for another.
        together = time_runs(child, tmp_path / "in.npy", 12, depth=0)
        assert np.sum(together.latencies_ms > 90) >= 3


def test_a_runtime_that_hangs_under_the_bench_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PATIENCE_S", 0.5)
    with pytest.raises(EngineTimeout, match="hung"):
        bench({"toy": toy(tmp_path, "hang", monkeypatch)}, tmp_path, 1)


def test_timing_ends_with_runs_and_seconds_or_when_time_is_over(tmp_path: Path) -> None:
    onnx.save(tiny_model(), tmp_path / "g.onnx")
    np.save(tmp_path / "in.npy", np.zeros((3, 3, 8, 32), np.float32))
    with EngineProcess("onnxruntime", tmp_path / "g.onnx") as child:
        assert len(time_runs(child, tmp_path / "in.npy", 7, warmup=2).latencies_ms) == 7
        longer = time_runs(child, tmp_path / "in.npy", 7, seconds=0.3)
        assert longer.seconds >= 0.3
        assert len(longer.latencies_ms) > 7
        cut = time_runs(child, tmp_path / "in.npy", 10**9, most_seconds=0.3, depth=3)
        assert 0.3 <= cut.seconds < 5
        assert len(cut.latencies_ms) > 7
        assert len(time_runs(child, tmp_path / "in.npy", 7, depth=0).latencies_ms) == 7


def test_only_the_windows_that_settled_make_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(tiny_model(), tmp_path / "g.onnx")
    root, spent = counters(tmp_path / "powercap", intel_rapl_0=0), itertools.accumulate([500_000, 200, 200, 200])
    told = iter([window(90, 99), *[window(10, 20)] * 3])

    def timed(*_: object) -> Timed:
        counters(root, intel_rapl_0=next(spent))
        return Timed(next(told), 2.0, 55.5)

    monkeypatch.setattr(sys.modules["edgemill_runtimes.benching.bench"], "time_runs", timed)
    subject = Subject("onnxruntime", tmp_path / "g.onnx", shapes={"x": (1, 3, 8, 32)})
    one = bench({"one": subject}, tmp_path, 60, powercap=root)["one"]
    assert (one.windows, one.settling.windows, one.note) == (4, 3, "")
    assert (one.percentile(50), len(one.latencies_ms), one.throughput_per_s) == (10, 600, 100)
    assert one.joules_per_run == pytest.approx(1e-6)
    assert one.peak_memory_mb == 55.5


def test_time_that_is_over_ends_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(tiny_model(), tmp_path / "g.onnx")
    told = (window(10 * 1.1**step, 99) for step in itertools.count())
    module = sys.modules["edgemill_runtimes.benching.bench"]
    monkeypatch.setattr(module, "time_runs", lambda *_: Timed(next(told), 2.0, 1.0))
    subject = Subject("onnxruntime", tmp_path / "g.onnx", shapes={"x": (1, 3, 8, 32)})
    one = bench({"one": subject}, tmp_path, 9, powercap=tmp_path)["one"]
    assert (one.windows, len(one.latencies_ms), one.seconds) == (5, 1000, 10)
    assert one.note.startswith("not settled: p50 wavers by")
