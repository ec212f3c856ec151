"""Calibration: memory from 32 to 1,000 samples, method by method, and time against plain inference.

ONNX Runtime's own entropy calibrator stands beside it, at 8 and 32 samples: it keeps every activation. Each memory
figure comes from a process of its own. Takes about 10 minutes.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from form import Row, at_most, main, stated
from onnx import TensorProto, helper, numpy_helper

from edgemill_converters.passes.fold import Fold
from edgemill_converters.quantization.calibration import collect, plan_from
from edgemill_converters.quantization.methods import METHODS
from edgemill_converters.quantization.settings import Quantization
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load

FEW, MANY = 32, 1_000
SIDE, CONVOLUTIONS, CHANNELS = 320, 12, 8
LIMIT_MB, THEIR_SAMPLES, TIMED, TURNS = 20, (8, 32), 100, 3
LITE = Path(__file__).parents[1] / "bench-out" / "torch" / "efficientnet-lite0.onnx"


def convolutions() -> onnx.ModelProto:
    """Twelve small convolutions with a ReLU each: ``x: float32[1, 3, 320, 320]``."""
    rng = np.random.default_rng(0)
    nodes, weights, name, given = [], [], "x", 3
    for index in range(CONVOLUTIONS):
        scaled = rng.normal(size=(CHANNELS, given, 3, 3)) / np.sqrt(given * 9 / 2)
        weights.append(numpy_helper.from_array(scaled.astype(np.float32), f"w{index}"))
        nodes.append(helper.make_node("Conv", [name, f"w{index}"], [f"c{index}"], f"conv{index}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"))
        name, given = f"r{index}", CHANNELS
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pictures(model: onnx.ModelProto, count: int) -> Iterator[Array]:
    """Noise in the shape of the model's input; each picture is made when it is asked for."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.standard_normal(shape, np.float32)


def ours(graph: Path, method: str, few: int, many: int) -> float:
    """By how many MB the peak of this process's memory grows in one pass, from the sample ``few`` to the plan."""
    model, peaks = onnx.load(graph), []

    def watched() -> Iterator[Array]:
        for index, picture in enumerate(pictures(model, many)):
            if index == few:
                peaks.append(peak_mb())
            yield picture

    settings = Quantization.model_validate({"method": method, "bias_correction": True})
    plan_from(model, collect(model, watched()), 8, settings)
    return peak_mb() - peaks[0]


def theirs(graph: Path, samples: int) -> float:
    """By how many MB ONNX Runtime's entropy calibrator makes the peak grow while it collects."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    model = onnx.load(graph)

    class Reader:
        def __init__(self) -> None:
            self.left = pictures(model, samples)

        def get_next(self) -> dict[str, Array] | None:
            picture = next(self.left, None)
            return None if picture is None else {model.graph.input[0].name: picture}

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(graph, ["Conv"], str(Path(folder, "a.onnx")), CalibrationMethod.Entropy)
        before = peak_mb()
        calibrator.collect_data(Reader())
        return peak_mb() - before


def peak_mb() -> float:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(*words: object) -> float:
    """What ``python calibration.py child …`` measures."""
    command = [sys.executable, __file__, "child", *map(str, words)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said.splitlines()[-1]))  # ONNX Runtime's calibrator talks before


def seconds_per_hundred(graph: Path) -> tuple[float, float]:
    """Calibration and plain inference, in turns; medians. Making the pictures counts for neither."""
    model = onnx.load(graph)
    fed = list(pictures(model, 10)) * (TIMED // 10)
    found = []
    with load("onnxruntime", graph) as engine:
        for _ in range(TURNS):
            start = time.perf_counter()
            collect(model, fed)
            between = time.perf_counter()
            for picture in fed:
                engine.run({engine.inputs[0].name: picture})
            found.append((between - start, time.perf_counter() - between))
    return tuple(statistics.median(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        graphs = {"12 convolutions": Path(folder, "convolutions.onnx")}
        onnx.save(convolutions(), graphs["12 convolutions"])
        if LITE.is_file():
            graphs["efficientnet-lite0"] = Path(folder, "lite0.onnx")
            onnx.save(Fold()(onnx.load(LITE)), graphs["efficientnet-lite0"])
        figure = f"memory from {FEW} to {MANY:,} samples"
        for name, graph in graphs.items():
            for method in METHODS if name == "12 convolutions" else ("entropy",):
                grown = in_a_process("ours", graph, method, FEW, MANY)
                rows.append(at_most(f"{name}, {method}", figure, "MB", grown, LIMIT_MB, 1))
        for samples in THEIR_SAMPLES:
            grown = in_a_process("theirs", graphs["12 convolutions"], samples)
            rows.append(stated("ONNX Runtime's own, entropy", f"memory while taking {samples} samples", "MB", grown, 1))
        for name, graph in graphs.items():
            own, plain = seconds_per_hundred(graph)
            rows.append(stated(name, f"{TIMED} samples, beside plain inference", "s", own, TURNS, round(plain, 5)))
    return rows


def child(kind: str, graph: str, *words: str) -> None:
    """One memory figure, as JSON."""
    if kind == "ours":
        method, few, many = words
        print(json.dumps(ours(Path(graph), method, int(few), int(many))))
    else:
        print(json.dumps(theirs(Path(graph), int(words[0]))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main(measure)
