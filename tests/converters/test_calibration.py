"""Calibration: one pass, small statistics, ranges as whole data would give them; errors that name the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_boards import board, detector, write_board_recipe

from edgemill_converters.build import build
from edgemill_converters.passes.fold import Fold
from edgemill_converters.quantization.bias import ShiftBias, bias_shifts, rounding_errors
from edgemill_converters.quantization.calibration import Calibration, calibrate, collect, plan_from, quantizable_layers
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.final import SIGMOID, Domain, final_range, final_tensors, stand_ins
from edgemill_converters.quantization.histogram import BINS, StreamingHistogram
from edgemill_converters.quantization.methods import METHODS, method_of
from edgemill_converters.quantization.methods.averaged import Averaged
from edgemill_converters.quantization.methods.base import Method
from edgemill_converters.quantization.methods.entropy import Entropy, best_bins
from edgemill_converters.quantization.methods.mse import LEVELS, MeanSquaredError
from edgemill_converters.quantization.methods.percentile import Percentile
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.quantization.settings import Quantization
from edgemill_converters.quantization.statistics import RunningStatistics, Statistics
from edgemill_converters.quantization.watching import SAMPLE
from edgemill_core.errors import DataError, ModelError, PassError
from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import encode_png

_WIDE = {"width": 32, "allow_nan": False, "allow_infinity": False}
floats = st.one_of(
    st.just(0.0),
    st.floats(min_value=2.0**-50, max_value=2.0**40, **_WIDE),
    st.floats(min_value=-(2.0**40), max_value=-(2.0**-50), **_WIDE),
)


def statistics(values: np.ndarray) -> Statistics:
    """Of the rows of ``values``, one a picture."""
    running = RunningStatistics()
    for row in values.astype(np.float32):
        running.add(float(row.min()), float(row.max()), np.array([row.mean()]), row)
    return running.found


SHAPES = {
    "normal": lambda rng: rng.normal(size=(20, 3000)),
    "heavy tails": lambda rng: rng.laplace(size=(20, 3000)) ** 3,
    "behind a relu": lambda rng: np.maximum(rng.normal(size=(20, 3000)), 0),
    "off centre": lambda rng: rng.normal(3, 1, size=(20, 3000)),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def drawn(request: pytest.FixtureRequest) -> np.ndarray:
    found: np.ndarray = request.param(np.random.default_rng(5))
    return found


# --- the streaming histogram


@given(st.lists(st.lists(floats, max_size=20), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_stream_is_counted_like_the_whole(chunks: list[list[float]]) -> None:
    stream = StreamingHistogram()
    for chunk in chunks:
        stream.add(np.array(chunk, np.float32))
    whole = np.array([value for chunk in chunks for value in chunk], np.float64)
    found = stream.found
    places = np.minimum(np.searchsorted(found.edges, whole, side="right") - 1, BINS - 1)
    assert found.counts.tolist() == np.bincount(places, minlength=BINS).tolist()
    most = np.abs(whole).max(initial=0)
    assert most <= found.limit
    assert found.limit <= max(2 * most, 2.0**-59)
    assert found.magnitudes.sum() == whole.size


def test_a_range_that_grows_forever_keeps_every_count_and_its_place() -> None:
    stream = StreamingHistogram()
    values = [0.0] * 7 + [(-1.5) ** exponent for exponent in range(60)]
    for value in values:
        stream.add(np.array([value], np.float32))
    assert stream.found.counts.sum() == len(values)
    assert stream.found.counts[BINS // 2 :].sum() == 7 + 30


# --- methods: from a histogram to a range


def test_averaged_and_min_max_are_exact(drawn: np.ndarray) -> None:
    rows = drawn.astype(np.float32)
    averaged, outer = (METHODS[name](Quantization()).range_of(statistics(drawn)) for name in ("averaged", "min_max"))
    assert averaged.high == pytest.approx(rows.max(axis=1).mean())
    assert averaged.low == pytest.approx(min(rows.min(axis=1).mean(), 0))
    assert (outer.low, outer.high) == (min(rows.min(), 0), rows.max())


@pytest.mark.parametrize("percent", [90, 99.9, 99.99])
def test_a_percentile_is_that_of_all_data_to_a_bin(drawn: np.ndarray, percent: float) -> None:
    seen = statistics(drawn)
    found = Percentile(percent).range_of(seen)
    low, high = np.percentile(drawn, [(100 - percent) / 2, 50 + percent / 2], method="inverted_cdf")
    low, high = min(low, 0), max(high, 0)
    # Outward by one bin at most, and by no more than the next value there is.
    outward = seen.histogram.width + max(np.diff(np.sort(drawn.ravel()))[[0, -1]])
    assert low - outward <= found.low <= low + 1e-6
    assert high - 1e-6 <= found.high <= high + outward
    inside = ((drawn >= found.low) & (drawn <= found.high)).mean()
    assert inside >= percent / 100 - 1e-9


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / LEVELS
    zero = round(-low / step)
    return float(((np.clip(np.rint(values / step), -zero, LEVELS - zero) * step - values) ** 2).mean())


def test_mse_finds_what_a_search_over_all_data_finds(drawn: np.ndarray) -> None:
    found = MeanSquaredError().range_of(statistics(drawn))
    least, most = min(drawn.min(), 0), max(drawn.max(), 0)
    shares = np.linspace(0.05, 1, 20)
    lows = least * shares[::2] if least < 0 else [0.0]
    best = min(squared_error(drawn, low, high) for low in lows for high in most * shares[::2])
    assert squared_error(drawn, found.low, found.high) <= 1.02 * best


def test_entropy_agrees_with_a_search_in_the_open(drawn: np.ndarray) -> None:
    """Every threshold, level by level and bin by bin, as the paper has it."""
    counts = np.histogram(np.abs(drawn), 256)[0].astype(float)
    counts[0] = counts[1]

    def loss(bins: int, levels: int = 32) -> float:
        p, q = counts[:bins].copy(), np.zeros(bins)
        for level in range(levels):
            members = range(level * bins // levels, (level + 1) * bins // levels)
            clipped = [m for m in members if counts[m] or (m == bins - 1 and counts[bins:].any())]
            for member in clipped:
                q[member] = sum(counts[m] for m in members) / len(clipped)
        p[-1] += counts[bins:].sum()
        shares = [np.where(d == 0, 1e-4, d - 1e-4 * (d == 0).sum() / (d != 0).sum()) for d in (p, q)]
        p, q = (np.maximum(d, 1e-4) / np.maximum(d, 1e-4).sum() for d in shares)
        return float((p * np.log(p / q)).sum())

    most = int(np.flatnonzero(counts)[-1]) + 1
    losses = {bins: loss(bins) for bins in range(32, most + 1)}
    assert best_bins(np.histogram(np.abs(drawn), 256)[0], 32) == min(losses, key=losses.__getitem__)


def test_entropy_clips_tails_and_keeps_what_has_none() -> None:
    rng = np.random.default_rng(2)
    tails = statistics(np.where(rng.random((20, 3000)) < 1e-4, 50.0, rng.normal(size=(20, 3000))))
    assert Entropy().range_of(tails).high < 6
    flat = statistics(rng.uniform(-1, 1, size=(20, 3000)))
    assert Entropy().range_of(flat).high > 0.95
    assert Entropy().range_of(statistics(np.zeros((2, 5)))) == Range(0, 0)


@given(st.lists(st.lists(floats, min_size=1, max_size=30), min_size=1, max_size=4), st.sampled_from(list(METHODS)))
@settings(max_examples=60, deadline=None)
def test_every_range_is_within_what_was_seen_and_holds_zero(rows: list[list[float]], name: str) -> None:
    running = RunningStatistics()
    for row in rows:
        values = np.array(row, np.float32)
        running.add(float(values.min()), float(values.max()), np.zeros(1), values)
    found = method_of(Quantization.model_validate({"method": name})).range_of(running.found)
    everything = [0.0, *(np.float32(value) for row in rows for value in row)]
    assert min(everything) <= found.low <= 0 <= found.high <= max(everything)


# --- one pass over a real graph


def fed_to_the_detector(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255))


def layered(side: int = 40) -> onnx.ModelProto:
    """Two convolutions with a ReLU between, a third behind ``Log``: ``x: float32[1, 3, side, side]``."""
    rng = np.random.default_rng(3)
    weights = {
        "w1": rng.normal(size=(4, 3, 3, 3)),
        "b1": rng.normal(size=4),
        "w2": rng.normal(size=(2, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "first", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second"),
        helper.make_node("Log", ["x"], ["l"], "log"),
        helper.make_node("Conv", ["l", "w3"], ["c3"], "third"),
        helper.make_node("Add", ["c2", "c3"], ["y"], "add"),
    ]
    weights["w3"] = rng.normal(size=(2, 3, 1, 1))
    graph = helper.make_graph(
        nodes,
        "layered",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, side, side])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pictures(count: int, side: int = 40) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield (rng.random((1, 3, side, side)) ** 2 + 0.01).astype(np.float32)


def activations(model: onnx.ModelProto, tensor: str, fed: Iterator[np.ndarray], folder: Path) -> np.ndarray:
    """Every value of ``tensor``, ``[pictures, …]``."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    onnx.save(copy, folder / "m.onnx")
    with load("onnxruntime", folder / "m.onnx") as engine:
        return np.concatenate([engine.run({"x": picture})[tensor] for picture in fed])


@pytest.fixture(scope="module")
def seen() -> Calibration:
    return collect(layered(), pictures(12))


def test_extremes_and_means_are_those_of_every_value(seen: Calibration, tmp_path: Path) -> None:
    assert list(seen.tensors) == ["x", "r1", "c2", "l", "c3"]
    whole = activations(layered(), "r1", pictures(12), tmp_path)
    found = seen.tensors["r1"]
    assert found.high == pytest.approx(whole.max(), rel=1e-6)
    assert found.mean_high == pytest.approx(whole.reshape(12, -1).max(axis=1).mean(), rel=1e-6)
    assert found.channel_means == pytest.approx(whole.mean(axis=(0, 2, 3)), rel=1e-5)
    assert seen.samples == 12


def test_a_large_tensor_is_sampled_evenly_and_a_small_one_is_taken_whole(seen: Calibration, tmp_path: Path) -> None:
    whole = activations(layered(), "l", pictures(12), tmp_path)
    found = seen.tensors["l"]
    assert whole[0].size > SAMPLE
    assert found.histogram.counts.sum() == 12 * SAMPLE
    share = np.histogram(whole, 8, range=(whole.min(), whole.max()))[0] / whole.size
    bins = np.histogram(
        (found.histogram.edges[:-1] + found.histogram.edges[1:]) / 2,
        8,
        range=(whole.min(), whole.max()),
        weights=found.histogram.counts,
    )[0]
    assert bins / bins.sum() == pytest.approx(share, abs=0.02)
    small = detector("yolov8")
    rng = np.random.default_rng(1)
    feeds = [fed_to_the_detector(board([(1, 2, "short")], rng)) for _ in range(3)]
    assert collect(small, feeds).tensors["logits"].histogram.counts.sum() == 3 * 2 * 64


def test_the_same_pictures_give_the_same_plan_and_progress_is_told() -> None:
    told: list[str] = []
    names = [f"{index}.png" for index in range(1, 42)]
    plans = [
        calibrate(layered(), pictures(41), 8, Quantization(method="mse"), names=names, progress=told.append)
        for _ in range(2)
    ]
    assert plans[0] == plans[1]
    assert told[:3] == ["calibrating, 0 of 41", "calibrating, 20 of 41", "calibrating, 40 of 41"]


@pytest.mark.parametrize(("ours", "theirs"), [(Percentile(99), "Percentile"), (Entropy(), "Entropy")])
def test_ranges_agree_with_onnx_runtime_s_own_calibrators(ours: Method, theirs: str, tmp_path: Path) -> None:
    """They keep every activation, so they say what whole data gives."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    onnx.save(layered(20), tmp_path / "m.onnx")

    class Reader:
        def __init__(self) -> None:
            self.left = pictures(12, 20)

        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(self.left, None)
            return None if picture is None else {"x": picture}

    options = {
        "Percentile": {"num_bins": 4096, "percentile": 99, "symmetric": False},
        "Entropy": {"num_bins": 512, "num_quantized_bins": 256},
    }
    calibrator = create_calibrator(
        tmp_path / "m.onnx",
        ["Conv"],
        str(tmp_path / "a.onnx"),
        CalibrationMethod[theirs],
        extra_options=options[theirs],
    )
    calibrator.collect_data(Reader())
    expected = calibrator.compute_data().data
    found = collect(layered(20), pictures(12, 20)).tensors
    for tensor in ("x", "c2", "l"):
        low, high = (float(end) for end in expected[tensor].range_value)
        got = ours.range_of(found[tensor])
        tolerance = (0.002 if theirs == "Percentile" else 0.03) * (high - low)
        assert (got.low, got.high) == pytest.approx((min(low, 0), max(high, 0)), abs=tolerance), tensor


# --- tensors behind which no layer comes


def scored(model: onnx.ModelProto, picture: np.ndarray, folder: Path) -> np.ndarray:
    onnx.save(model, folder / "scored.onnx")
    with load("onnxruntime", folder / "scored.onnx") as engine:
        return engine.run({"x": picture})["found"][0, 4:]


@pytest.mark.parametrize("with_defects", [1, 0])
@pytest.mark.parametrize("method", ["averaged", "percentile", "entropy", "mse"])
def test_a_rare_high_score_is_not_clipped(with_defects: int, method: str, tmp_path: Path) -> None:
    """One board in 24 has a defect, or none: INT8 must still be sure of one when it comes."""
    rng = np.random.default_rng(4)
    model = Fold()(detector("yolov8"))

    def feed(defects: list[tuple[int, int, str]]) -> np.ndarray:
        return fed_to_the_detector(board(defects, rng))

    calibration = [feed([(2, 3, "short")] if index < with_defects else []) for index in range(24)]
    found = collect(model, calibration)
    plan = plan_from(model, found, 8, Quantization.model_validate({"method": method}))
    # The input is no matter here: no method can know of a colour that calibration never showed.
    ranges = {**plan.ranges, "mean": Range(0, 1)}
    layers, samples = plan.layers, plan.samples
    picture = feed([(5, 1, "short")])
    fp32 = scored(model, picture, tmp_path)
    written = WriteQdq(Plan(ranges, layers, 8, "", samples), DIALECTS["onnxruntime"])(model)
    assert fp32.max() > 0.99
    assert scored(written, picture, tmp_path) == pytest.approx(fp32, abs=0.02)
    # The averaged range of the logits is what spoiled detectors.
    ranges["logits"] = Averaged().range_of(found.tensors["logits"])
    spoiled = WriteQdq(Plan(ranges, layers, 8, "", samples), DIALECTS["onnxruntime"])(model)
    assert scored(spoiled, picture, tmp_path).max() < 0.6


def graph_of(*nodes: onnx.NodeProto, outputs: str = "y") -> onnx.GraphProto:
    weights = [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")]
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()]
    return helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 1, 4, 4])], told, weights)


def node(kind: str, inputs: str, output: str, **attributes: float) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


HARD = Domain(Range(-2.5, 2.5), Range(-2.5, 2.5))


@pytest.mark.parametrize(
    ("nodes", "outputs", "expected"),
    [
        ([node("Conv", "x w", "a"), node("Sigmoid", "a", "y")], "y", {"a": SIGMOID}),
        (
            [
                node("Conv", "x w", "a"),
                node("Transpose", "a", "t"),
                node("Concat", "t t", "c", axis=1),
                node("Sigmoid", "c", "s"),
                node("Mul", "s s", "y"),
            ],
            "y",
            {"a": SIGMOID},
        ),
        ([node("Conv", "x w", "a"), node("HardSigmoid", "a", "y")], "y", {"a": HARD}),
        ([node("Conv", "x w", "a"), node("Sigmoid", "a", "s"), node("Mul", "a s", "y")], "y", {"a": None}),
        ([node("Conv", "x w", "a"), node("Sigmoid", "a", "y")], "y a", {"a": None}),
        ([node("Conv", "x w", "a"), node("Softmax", "a", "y")], "y", {"a": None}),
        ([node("Conv", "x w", "a"), node("Sigmoid", "a", "s"), node("Conv", "s w", "y")], "y", {"y": None}),
        (
            [node("Conv", "x w", "a"), node("Relu", "a", "r"), node("Conv", "r w", "b"), node("Add", "b r", "y")],
            "y r",
            {"b": None},
        ),
        ([node("Conv", "x w", "a"), node("LSTM", "a w w", "y")], "y", {"y": None}),
        ([node("Relu", "x", "y")], "y", {}),
    ],
)
def test_what_is_final(nodes: list[onnx.NodeProto], outputs: str, expected: dict[str, Domain | None]) -> None:
    assert final_tensors(graph_of(*nodes, outputs=outputs)) == expected


def test_what_is_final_holds_all_that_was_seen_and_the_domain_behind_it() -> None:
    quiet, loud = statistics(np.array([[-3.0, -1.0]])), statistics(np.array([[-90.0, 6.0], [-1, 0]]))
    assert final_range(loud, None) == Range(-90, 6)
    assert final_range(loud, SIGMOID) == Range(-8, 6)
    assert final_range(quiet, SIGMOID) == SIGMOID.needed
    assert final_range(quiet, None) == Range(-3, 0)


def test_a_layer_whose_output_is_cut_has_the_range_of_what_is_left(seen: Calibration) -> None:
    plan = plan_from(layered(), seen, 8)
    assert plan.ranges["c1"] == plan.ranges["r1"]
    assert plan.ranges["r1"].low == 0
    both_read = [node("Conv", "x w", "a"), node("Relu", "a", "r"), node("Add", "a r", "y")]
    assert stand_ins(graph_of(*both_read)) == {}
    assert stand_ins(graph_of(*both_read[:2], outputs="r a")) == {}
    assert stand_ins(graph_of(*both_read[:2], outputs="r")) == {"a": "r"}
    assert stand_ins(graph_of(*both_read[:2], node("Clip", "r", "y"))) == {"a": "y"}


@pytest.mark.parametrize(("task", "method"), [("object-detection", "min_max"), ("text-recognition", "averaged")])
def test_the_task_suggests_a_method_and_the_recipe_decides(task: str, method: str) -> None:
    assert Quantization().for_task(task).method == method
    assert Quantization(method="mse").for_task(task).method == "mse"


# --- what cannot be calibrated on


def test_a_value_that_is_no_number_names_picture_and_layer() -> None:
    fed = list(pictures(3))
    fed[1][0, 0, 7, 7] = -1
    with pytest.raises(DataError, match=r"not numbers, on b\.png") as caught:
        collect(layered(), fed, names=["a.png", "b.png", "c.png"])
    assert "'l', given by layer 'log' (Log)" in caught.value.got
    fed[1][0, 0, 7, 7] = np.inf
    with pytest.raises(DataError, match="on picture 2") as caught:
        collect(layered(), fed)
    assert "'x', the model's input" in caught.value.got


@pytest.mark.parametrize(
    "picture",
    [np.zeros((1, 3, 41, 40), np.float32), np.zeros((1, 1, 40, 40), np.float32), np.zeros((1, 3, 40, 40), np.uint8)],
    ids=["size", "channels", "type"],
)
def test_a_picture_that_does_not_fit_is_named(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"b\.png does not fit the model") as caught:
        collect(layered(), [next(pictures(1)), picture], names=["a.png", "b.png"])
    assert "input:" in caught.value.fix


def test_a_model_that_no_dialect_can_quantize_names_its_layers() -> None:
    graph = graph_of(node("Relu", "x", "a"), node("MatMul", "a x", "b"), node("Relu", "b", "y"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="no layer that can be quantized") as caught:
        collect(model, pictures(1))
    assert caught.value.got == "2 Relu, 1 MatMul"


def test_a_build_names_the_file_that_breaks_the_model(tmp_path: Path) -> None:
    weights = {"w": np.ones((2, 3, 8, 8), np.float32), "most": np.full(1, 0.9, np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], "mean"),
        helper.make_node("Sub", ["most", "mean"], ["room"], "room"),
        helper.make_node("Sqrt", ["room"], ["root"], "root"),
        helper.make_node("Mul", ["x", "root"], ["weighed"], "weigh"),
        helper.make_node("Conv", ["weighed", "w"], ["logits"], "conv", strides=[8, 8]),
    ]
    graph = helper.make_graph(
        nodes,
        "rooted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, 8, 8])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    task = {"name": "segmentation", "classes": ["short", "open"], "head": "independent"}
    recipe = write_board_recipe(tmp_path, model, task, judge=2)
    (tmp_path / "calibration" / "0003.png").write_bytes(encode_png(np.full((64, 64, 3), 255, np.uint8)))
    with pytest.raises(DataError, match=r"not numbers, on .*calibration/0003\.png") as caught:
        build(recipe)
    assert "layer 'weigh' (Mul)" in caught.value.got


# --- bias correction


@pytest.mark.parametrize("bits", [8, 7])
def test_rounding_errors_are_those_that_the_writer_makes(bits: int) -> None:
    model = layered()
    written = WriteQdq(calibrate(model, pictures(2), bits), DIALECTS["onnxruntime"])(model)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    plain = next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == "w1")
    stored, scale = next(
        (held[reading.input[0]], held[reading.input[1]])
        for reading in written.graph.node
        if reading.op_type == "DequantizeLinear" and held.get(reading.input[0], np.zeros(0)).shape == plain.shape
    )
    assert rounding_errors(plain, bits) == pytest.approx(plain - stored * scale.reshape(-1, 1, 1, 1), abs=1e-6)


FORMS: dict[str, tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]], list[int]]] = {
    "pointwise": ([node("Conv", "x w b", "y")], {"w": (4, 6, 1, 1), "b": (4,)}, [1, 6, 5, 5]),
    "without a bias": ([node("Conv", "x w", "y")], {"w": (4, 6, 1, 1)}, [1, 6, 5, 5]),
    "groups": ([node("Conv", "x w b", "y", group=3)], {"w": (6, 2, 1, 1), "b": (6,)}, [1, 6, 5, 5]),
    "gemm": ([node("Gemm", "x w b", "y")], {"w": (6, 4), "b": (4,)}, [3, 6]),
    "gemm, turned": ([node("Gemm", "x w b", "y", transB=1)], {"w": (4, 6), "b": (4,)}, [3, 6]),
    "product and sum": ([node("MatMul", "x w", "m"), node("Add", "b m", "y")], {"w": (6, 4), "b": (4,)}, [1, 7, 6]),
}


@pytest.mark.parametrize("form", FORMS)
def test_shifted_biases_bring_the_mean_back(form: str, tmp_path: Path) -> None:
    """With coarsely rounded weights and a shift, the mean output of each channel is that of the true weights."""
    nodes, sizes, shape = FORMS[form]
    nodes[0].name = "layer"
    rng = np.random.default_rng(6)
    held = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    fed = [rng.normal(1, 1, size=shape).astype(np.float32) for _ in range(5)]

    def model_with(weights: np.ndarray) -> onnx.ModelProto:
        tensors = [numpy_helper.from_array(array, name) for name, array in {**held, "w": weights}.items()]
        outer = [*shape[:-1], 4] if len(shape) < 4 else [1, sizes["w"][0], 5, 5]
        taken, told = helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, outer)
        graph = helper.make_graph(nodes, "g", [taken], [told], tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def mean_of(model: onnx.ModelProto) -> np.ndarray:
        onnx.save(model, tmp_path / "m.onnx")
        with load("onnxruntime", tmp_path / "m.onnx") as engine:
            outputs = np.stack([engine.run({"x": picture})["y"] for picture in fed])
        axis = 2 if len(shape) == 4 else outputs.ndim - 1
        return np.asarray(outputs.mean(axis=tuple(i for i in range(outputs.ndim) if i != axis)))

    exact = model_with(held["w"])
    turned = form in ("gemm", "product and sum")
    errors = rounding_errors(held["w"].T if turned else held["w"], 7)
    rounded = (held["w"] - (errors.T if turned else errors)).astype(np.float32)
    shifts = bias_shifts(exact.graph, quantizable_layers(exact.graph), collect(exact, fed).tensors, 7)
    assert np.abs(mean_of(model_with(rounded)) - mean_of(exact)).max() > 1e-3
    plan = Plan({}, ("layer",), 7, "", 5, shifts)
    assert mean_of(ShiftBias(plan)(model_with(rounded))) == pytest.approx(mean_of(exact), abs=1e-5)


def test_a_shift_for_a_layer_that_is_not_there_is_a_broken_promise() -> None:
    with pytest.raises(PassError, match="shift-bias"):
        ShiftBias(Plan({}, ("gone",), 8, "", 1, {"gone": (1.0,)}))(layered())


def test_a_layer_that_stays_in_float_keeps_its_bias() -> None:
    shifts = {"first": (1.0,) * 4, "second": (2.0, 2.0)}
    shifted = ShiftBias(Plan({}, ("first",), 8, "", 1, shifts))(layered())
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in shifted.graph.initializer}
    before = next(numpy_helper.to_array(t) for t in layered().graph.initializer if t.name == "b1")
    assert held[shifted.graph.node[0].input[2]] == pytest.approx(before + 1)
    assert list(shifted.graph.node[2].input) == ["r1", "w2"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_writer_shifts_before_it_quantizes(dialect: str, tmp_path: Path) -> None:
    plan = calibrate(layered(), pictures(2), 8, Quantization(bias_correction=False))
    means = []
    for shifts in ({}, {"second": (1.5, -0.5)}):
        onnx.save(WriteQdq(replace(plan, bias_shifts=shifts), DIALECTS[dialect])(layered()), tmp_path / "m.onnx")
        with load("onnxruntime", tmp_path / "m.onnx") as engine:
            means.append(engine.run({"x": next(pictures(1))})["y"].mean(axis=(0, 2, 3)))
    assert means[1] - means[0] == pytest.approx([1.5, -0.5], abs=0.02)


def test_a_plan_with_shifts_is_another_plan() -> None:
    found = collect(layered(), pictures(2))
    plain, shifted = (plan_from(layered(), found, 8, Quantization(bias_correction=on)) for on in (False, True))
    assert set(shifted.bias_shifts) == {"first", "second", "third"}
    assert plain.digest != shifted.digest
    assert plain.ranges == shifted.ranges
