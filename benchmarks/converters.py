"""INT8 by our dialects against FP32, ONNX Runtime's own QDQ and NNCF's OpenVINO model, in turns, batch 1.

Each engine has a process of its own, and only one runs at any moment. One plan per model; every dialect is written from
it. About 6 minutes. ``tensorrt_rtx`` builds the TensorRT dialect where it is installed; it cannot run here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
import onnx
from compressible import Model, missing, models
from form import Row, at_least, at_most, main, stated
from rivals import by_nncf, by_onnxruntime
from tensorrt_plans import build_seconds_and_bytes

from edgemill_converters.choosing import Choice, Entrant, choose
from edgemill_converters.measuring import Measurement, Subject, measure
from edgemill_converters.quantization.calibration import calibrate
from edgemill_converters.quantization.dialects import DIALECTS, WriteQdq, unfused_of
from edgemill_converters.quantization.plan import Plan
from edgemill_core.budget import Outcome
from edgemill_core.statistics import upper_bound
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load
from edgemill_runtimes.isolation import EngineProcess
from edgemill_runtimes.machine import this_machine

RUNTIMES = ("onnxruntime", "openvino")
OTHERWISE = 0.10
"""Most of the decisions that a chosen INT8 variant may change, at 95 %; a build's own budget is about true labels."""


def run() -> list[Row]:
    rows = [stated(f"pcb {name}", "not under bench-out/pcb, left out", "models", 0, 0) for name in missing()]
    for model in models():
        with tempfile.TemporaryDirectory() as folder:
            rows += _rows(model, Path(folder))
    return rows


def _rows(model: Model, folder: Path) -> list[Row]:
    print(f"{model.name} …", file=sys.stderr, flush=True)
    bits = this_machine().int8_weight_bits
    plan = calibrate(model.graph, (picture[None] for picture in model.calibration), bits, model.quantization)
    graphs = _graphs(model, plan, folder)
    inputs = folder / "compared.npy"
    np.save(inputs, model.compared, allow_pickle=False)
    subjects = {
        name: Subject(name.split(", ")[1], "CPU", file, _size(file))
        for name, file in graphs.items()
        if not name.endswith("tensorrt")
    }
    measured = measure(subjects, inputs)
    outputs = {name: _outputs(subject, inputs, folder) for name, subject in subjects.items()}
    decided = {name: [model.decide(one) for one in found] for name, found in outputs.items()}
    rows = [row for runtime in RUNTIMES for row in _runtime(model, runtime, measured, decided)]
    rows += _fused(model, plan, graphs) + _agreement(model, outputs, decided) + _against_rivals(model, measured)
    return [*rows, *_tensorrt(model, graphs["ours, tensorrt"])]


def _graphs(model: Model, plan: Plan, folder: Path) -> dict[str, Path]:
    """By "maker, runtime"."""
    fp32 = folder / "fp32.onnx"
    onnx.save(model.graph, fp32)
    graphs = {f"fp32, {runtime}": fp32 for runtime in RUNTIMES}
    for runtime, dialect in DIALECTS.items():
        graphs[f"ours, {runtime}"] = folder / f"{runtime}.onnx"
        onnx.save(WriteQdq(plan, dialect)(model.graph), folder / f"{runtime}.onnx")
    graphs["its own QDQ, onnxruntime"] = by_onnxruntime(fp32, model.calibration, folder / "rival.onnx")
    graphs["NNCF, openvino"] = by_nncf(fp32, model.calibration, folder / "nncf.xml")
    return graphs


def _size(graph: Path) -> int:
    weights = graph.with_suffix(".bin")
    return graph.stat().st_size + (weights.stat().st_size if weights.is_file() else 0)


def _outputs(subject: Subject, inputs: Path, folder: Path) -> Array:
    with EngineProcess(subject.runtime, subject.graph) as child:
        into = folder / "outputs.npy"
        asked = {"command": "outputs", "inputs": str(inputs), "output": child.outputs[0].name, "into": str(into)}
        child.ask(asked)
        found: Array = np.load(into, allow_pickle=False)
        return found


def _runtime(
    model: Model, runtime: str, measured: Mapping[str, Measurement], decided: Mapping[str, list[Hashable]]
) -> list[Row]:
    """FP32 against INT8 and against what is chosen of the two."""
    case, fp32, int8 = f"{model.name}, {runtime}", f"fp32, {runtime}", f"ours, {runtime}"
    slow, fast = measured[fp32], measured[int8]
    runs, count = len(fast.latencies_ms), len(model.compared)
    others = _others(decided[fp32], decided[int8])
    bound = upper_bound(others, count, 0.95)
    chosen = _choice(slow, fast, bound).shipped[0]
    ratio = slow.p50_ms / measured[f"{'ours' if chosen == 'int8' else 'fp32'}, {runtime}"].p50_ms
    speed = "FP32 over INT8, p50"
    best = min(RUNTIMES, key=lambda one: measured[f"ours, {one}"].p50_ms)
    is_stated = (model.name, runtime) != ("lite0", best)
    return [
        stated(case, "INT8, p50", "ms", fast.p50_ms, runs, slow.p50_ms),
        stated(case, "INT8, p99", "ms", fast.p99_ms, runs, slow.p99_ms),
        stated(case, speed, "×", slow.p50_ms / fast.p50_ms, runs)
        if is_stated
        else at_least(case, f"{speed}, best runtime", "×", slow.p50_ms / fast.p50_ms, 1.8, runs),
        stated(case, "INT8, size", "MB", fast.size_bytes / 1e6, 1, slow.size_bytes / 1e6),
        stated(case, f"INT8 decides otherwise ({model.decision})", "share", others / count, count),
        stated(case, "the same, upper bound at 95 %", "share", bound, count),
        at_least(case, f"FP32 over chosen ({chosen}), p50", "×", ratio, 1, runs),
    ]


def _choice(fp32: Measurement, int8: Measurement, bound: float) -> Choice:
    outcome = Outcome.PASS if bound <= OTHERWISE else Outcome.FAIL
    return choose(
        [
            Entrant("fp32", "here", fp32.p50_ms, Outcome.PASS, ""),
            Entrant("int8", "here", int8.p50_ms, outcome, f"may decide {bound:.1%} otherwise"),
        ]
    )


def _others(known: list[Hashable], found: list[Hashable]) -> int:
    return sum(a != b for a, b in zip(known, found, strict=True))


def _fused(model: Model, plan: Plan, graphs: Mapping[str, Path]) -> list[Row]:
    rows = []
    for runtime in RUNTIMES:
        with load(runtime, graphs[f"ours, {runtime}"]) as engine:
            unfused = unfused_of(engine.facts(), plan)
            share = engine.facts().macs.get("int8", 0.0)
        case = f"{model.name}, {runtime}"
        rows.append(at_most(case, f"unfused of {len(plan.layers)} layers", "layers", len(unfused), 0, 1))
        rows.append(stated(case, "INT8's share of multiply-accumulates", "share", share, 1))
    return rows


def _agreement(model: Model, outputs: Mapping[str, Array], decided: Mapping[str, list[Hashable]]) -> list[Row]:
    """The dialects against each other, beside how far each is from FP32."""
    ours = [f"ours, {runtime}" for runtime in RUNTIMES]
    apart = float(np.abs(outputs[ours[0]] - outputs[ours[1]]).max())
    far = max(float(np.abs(outputs[name] - outputs["fp32, onnxruntime"]).max()) for name in ours)
    flips, count = _others(*(decided[name] for name in ours)), len(model.compared)
    return [
        stated(f"{model.name}, dialects", "largest difference (reference: to FP32)", "", apart, count, round(far, 5)),
        stated(f"{model.name}, dialects", "decisions that differ", "share", flips / count, count),
    ]


def _against_rivals(model: Model, measured: Mapping[str, Measurement]) -> list[Row]:
    ours = min(measured[f"ours, {runtime}"].p50_ms for runtime in RUNTIMES)
    rivals = ("its own QDQ, onnxruntime", "NNCF, openvino")
    fastest = min(measured[name].p50_ms for name in rivals)
    runs = len(measured[rivals[0]].latencies_ms)
    rows = [at_least(model.name, "speed over the fastest rival's, p50", "×", fastest / ours, 0.95, runs)]
    for name in rivals:
        runtime = name.split(", ")[1]
        there, here = measured[name].p50_ms, measured[f"ours, {runtime}"].p50_ms
        rows.append(stated(f"{model.name}, {runtime}", f"speed over {name}", "×", there / here, runs))
    return rows


def _tensorrt(model: Model, graph: Path) -> list[Row]:
    built = build_seconds_and_bytes(graph, ("8.6", "8.9"))
    if built is None:
        return [stated(f"{model.name}, tensorrt", "TensorRT-RTX is not installed, not built", "engines", 0, 0)]
    case = f"{model.name}, tensorrt"
    size = stated(case, "engine for SM86 and SM89", "MB", built[1] / 1e6, 1)
    return [at_least(case, "built for SM86 and SM89", "engines", 1, 1, 1), size]


if __name__ == "__main__":
    main(run)
