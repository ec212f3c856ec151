"""What our Engine costs over the native call, in turns, and what a process of its own adds.

Native is ONNX Runtime with I/O binding, and OpenVINO's infer request with its inputs and outputs shared; streams run
against OpenVINO's own benchmark_app, and against as many ONNX Runtime sessions' threads as there are cores. Models:
efficientnet-lite0 and PP-OCRv6 recognition (FP32, and INT8 in each runtime's dialect) and an MLP of 16 × 16.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import skimage
from form import Row, at_least, at_most, main, stated
from onnx import TensorProto, helper, numpy_helper
from torch_models import efficientnet_lite0

from edgemill.demo.lot_code import write_recipe
from edgemill_converters.bake import bake
from edgemill_converters.importers import import_model
from edgemill_converters.passes.bake_input import BakeInput
from edgemill_converters.passes.base import Sequential
from edgemill_converters.passes.fix_shape import FixShape
from edgemill_converters.passes.fold import Fold
from edgemill_converters.passes.upgrade_opset import UpgradeOpset
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq
from edgemill_converters.quantization.plan import Plan
from edgemill_converters.recipe import read_recipe
from edgemill_core.picture_input import Normalise, PictureInput
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.frames import prepare

Call = Callable[[], object]
RUNTIMES = ("onnxruntime", "openvino")


def measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, graphs, feed in (*_classifier(folder), *_recognition(folder), _mlp(folder)):
            for runtime in RUNTIMES:
                rows.append(_run(f"{case}, {runtime}", runtime, graphs[runtime], feed))
                if not case.startswith("mlp"):
                    rows.append(_stream(f"{case}, {runtime}", runtime, graphs[runtime], feed))
        rows += [_isolated(runtime, _frame(folder)) for runtime in RUNTIMES]
    return rows


def _run(case: str, runtime: str, graph: Path, feed: Array) -> Row:
    small = case.startswith("mlp")
    with load(runtime, graph) as engine, NATIVE[runtime](graph, feed) as native:
        feeds = {engine.inputs[0].name: feed}
        ours, bare, runs = _in_turns(lambda: engine.run(feeds), native, 40 if small else 12, 500 if small else 25)
    if small:
        return at_most(case, "run, p50 over native", "µs", (ours - bare) * 1e6, 15, runs)
    return at_most(case, "run, p50 as a ratio to native", "×", ours / bare, 1.03, runs)


def _stream(case: str, runtime: str, graph: Path, feed: Array) -> Row:
    """Against as many native requests as the runtime asks for, each started again as soon as it is done."""
    turns, seconds = 5, 5.0
    found: dict[str, list[float]] = {"ours": [], "native": []}
    with load(runtime, graph, EngineSettings(mode="throughput")) as engine:
        feeds = {engine.inputs[0].name: feed}

        def ours() -> float:
            end, count, start = time.perf_counter() + seconds, 0, time.perf_counter()
            for _ in engine.stream(_until(end, feeds)):
                count += 1
            return count / (time.perf_counter() - start)

        calls = {"ours": ours, "native": lambda: SATURATED[runtime](graph, feed, seconds)}
        for turn in range(turns):
            for name in calls if turn % 2 else reversed(calls):
                found[name].append(calls[name]())
    ratio = statistics.median(found["ours"]) / statistics.median(found["native"])
    if runtime == "openvino":
        return at_least(case, "stream, throughput as a ratio to benchmark_app", "×", ratio, 0.97, turns)
    return stated(case, "stream, throughput as a ratio to native", "×", ratio, turns)


def _until(end: float, feeds: dict[str, Array]) -> Iterator[dict[str, Array]]:
    while time.perf_counter() < end:
        yield feeds


def _isolated(runtime: str, graph: Path) -> Row:
    frame = np.random.default_rng(0).integers(0, 255, (1, 640, 640, 3), dtype=np.uint8)
    with load(runtime, graph) as inside, load(runtime, graph, isolated=True) as outside:
        feeds = {inside.inputs[0].name: frame}
        ours, bare, runs = _in_turns(lambda: outside.run(feeds), lambda: inside.run(feeds), 20, 50)
    return at_most(f"frame 640×640×3, {runtime}", "isolated run, p50 over not", "ms", (ours - bare) * 1e3, 0.5, runs)


def _in_turns(ours: Call, bare: Call, turns: int, runs: int) -> tuple[float, float, int]:
    """Medians in seconds over all turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for call in (ours, bare):
        for _ in range(runs):
            call()
    for turn in range(turns):
        for index in (0, 1) if turn % 2 else (1, 0):
            for _ in range(runs):
                start = time.perf_counter()
                (ours, bare)[index]()
                found[index].append(time.perf_counter() - start)
    return statistics.median(found[0]), statistics.median(found[1]), turns * runs


@contextmanager
def _ort(graph: Path, feed: Array) -> Iterator[Call]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, feed)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    yield lambda: session.run_with_iobinding(binding)


@contextmanager
def _openvino(graph: Path, feed: Array) -> Iterator[Call]:
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
    feeds = [feed]
    yield lambda: request.infer(feeds, share_inputs=True, share_outputs=True)


def _ort_saturated(graph: Path, feed: Array, seconds: float) -> float:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    feeds, end = {session.get_inputs()[0].name: feed}, time.perf_counter() + seconds

    def work() -> int:
        count = 0
        while time.perf_counter() < end:
            session.run(None, feeds)
            count += 1
        return count

    threads, start = 2, time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(lambda _: work(), range(threads)))
    return done / (time.perf_counter() - start)


def _benchmark_app(graph: Path, _: Array, seconds: float) -> float:
    """Runs per second that OpenVINO's own tool reaches in the same mode, on inputs of its own."""
    tool = Path(sys.executable).with_name("benchmark_app")
    options = ["-d", "CPU", "-hint", "throughput", "-infer_precision", "f32", "-t", f"{seconds:g}"]
    done = subprocess.run([tool, "-m", graph, *options], check=True, capture_output=True, text=True)
    told = re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)
    assert told is not None, done.stdout
    return float(told[1])


NATIVE = {"onnxruntime": _ort, "openvino": _openvino}
SATURATED = {"onnxruntime": _ort_saturated, "openvino": _benchmark_app}
Case = tuple[str, dict[str, Path], Array]


def _recognition(folder: Path) -> Iterator[Case]:
    recipe = read_recipe(write_recipe(folder))
    baked = bake(import_model(recipe), recipe.input, recipe.make_task()).graph
    shape = [size.dim_value for size in baked.graph.input[0].type.tensor_type.shape.dim]
    pictures = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(4)]
    plan = calibrate(baked, pictures, 7)
    onnx.save(baked, folder / "fp32.onnx")
    yield "rec fp32", dict.fromkeys(RUNTIMES, folder / "fp32.onnx"), pictures[0]
    yield "rec int8", _quantized(baked, plan, folder / "rec"), pictures[0]


def _classifier(folder: Path) -> Iterator[Case]:
    declared = PictureInput(size=(224, 224), normalise=Normalise(mean=(127,), std=(128,)))
    model = FixShape(declared)(onnx.load(efficientnet_lite0()))
    baked = Sequential([UpgradeOpset(), BakeInput(declared), Fold()])(model)
    pictures = [
        prepare(np.ascontiguousarray(photo()[..., ::-1]), declared)
        for photo in (skimage.data.chelsea, skimage.data.coffee, skimage.data.astronaut, skimage.data.rocket)
    ]
    onnx.save(baked, folder / "lite0.onnx")
    yield "lite0 fp32", dict.fromkeys(RUNTIMES, folder / "lite0.onnx"), pictures[0]
    yield "lite0 int8", _quantized(baked, calibrate(baked, pictures, 7), folder / "lite0"), pictures[0]


def _quantized(baked: onnx.ModelProto, plan: Plan, stem: Path) -> dict[str, Path]:
    """Written in each runtime's dialect."""
    graphs = {runtime: stem.with_name(f"{stem.name}-{runtime}.onnx") for runtime in RUNTIMES}
    for runtime, path in graphs.items():
        onnx.save(WriteQdq(plan, DIALECTS[runtime])(baked), path)
    return graphs


def _mlp(folder: Path) -> Case:
    weights = np.random.default_rng(0).standard_normal((2, 16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    known = [numpy_helper.from_array(one, name) for one, name in zip(weights, "ab", strict=True)]
    path = _save(folder / "mlp.onnx", nodes, known, ([1, 16], TensorProto.FLOAT), [1, 16])
    return "mlp 16×16", dict.fromkeys(RUNTIMES, path), np.ones((1, 16), np.float32)


def _frame(folder: Path) -> Path:
    """Takes a frame and does next to nothing with it."""
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "axes"], ["part"]),
        helper.make_node("Cast", ["part"], ["y"], to=TensorProto.FLOAT),
    ]
    known = [
        numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("start", [0, 0]), ("end", [8, 8]), ("axes", [1, 2]))
    ]
    return _save(folder / "frame.onnx", nodes, known, ([1, 640, 640, 3], TensorProto.UINT8), [1, 8, 8, 3])


def _save(
    path: Path, nodes: list[onnx.NodeProto], known: list[TensorProto], takes: tuple[list[int], int], gives: list[int]
) -> Path:
    x = helper.make_tensor_value_info("x", takes[1], takes[0])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)
    graph = helper.make_graph(nodes, "g", [x], [y], known)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


if __name__ == "__main__":
    main(measure)
